"""The page about plugins says what their tests expect."""

from __future__ import annotations

from tests.plugins.cases import CASES
from tests.plugins.document import PATH, text, versions
from tests.support.crawls import ROOT


def test_the_page_about_plugins_is_what_make_compatibility_writes() -> None:
    assert PATH.read_text(encoding="utf-8") == text()


def test_each_plugin_is_pinned_and_each_case_has_a_name_of_its_own() -> None:
    used = {package for case in CASES for package in case.packages}
    assert used <= set(versions())
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_manual_links_the_page() -> None:
    assert "(docs/compatibility.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
