"""The page about plugins says what their tests expect."""

from __future__ import annotations

import pytest

from tests.plugins.cases import CASES, Case
from tests.plugins.document import PATH, text, versions
from tests.plugins.verdicts import SETUPS
from tests.support.crawls import ROOT


def test_the_page_about_plugins_is_what_make_compatibility_writes() -> None:
    assert PATH.read_text(encoding="utf-8") == text()


def test_each_plugin_is_pinned_and_each_case_has_a_name_of_its_own() -> None:
    used = {package for case in CASES for package in case.packages}
    assert used <= set(versions())
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_verdict_of_a_case_is_seen_in_a_crawl(case: Case) -> None:
    in_set_ups = {case.verdict(setup) for setup in SETUPS}
    assert {case.verdict(setup) for setup in case.crawled} == in_set_ups


def test_a_case_whose_plain_crawl_is_that_of_another_names_it() -> None:
    plain = {case.plain for case in CASES} - {""}
    assert plain <= {case.name for case in CASES if not case.plain}


def test_the_manual_links_the_page() -> None:
    assert "(docs/compatibility.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
