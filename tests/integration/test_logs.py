"""Records of workers arrive as they were made."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import crawl

if TYPE_CHECKING:
    from pathlib import Path


def records(site: str, folder: Path, *options: str) -> Counter[str]:
    """Crawl; return what a handler of the project's own found in each record."""
    apart = ("-s", f"APART={folder / 'apart'}")
    crawl("logged", site, folder, *apart, *options)
    return Counter((folder / "apart").read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def plain(site: str, tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    return records(site, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize(
    "setup", ["serial", "async", "parallel", "hybrid", "async in JOBDIR"]
)
def test_a_handler_finds_in_each_record_what_it_finds_without_a_mode(
    setup: str, plain: Counter[str], site: str, tmp_path: Path
) -> None:
    mode, _, is_durable = setup.partition(" in ")
    job = ("-s", f"JOBDIR={tmp_path / 'job'}") if is_durable else ()
    found = records(site, tmp_path / mode, "-s", f"MODE={mode}", *job)
    assert found == plain
    assert plain.total() == 9


def test_the_worker_is_in_the_text_and_not_in_what_records_are_grouped_by(
    site: str, tmp_path: Path
) -> None:
    found = crawl(
        "logged",
        site,
        tmp_path,
        *("-s", f"APART={tmp_path / 'apart'}", "-s", "MODE=parallel"),
    )
    assert "INFO: [worker-" in found.log
    assert "] seen 1\n" in found.log
    assert "ValueError: boom 1\n" in found.log
    assert "[worker-" not in (tmp_path / "apart").read_text(encoding="utf-8")
