"""Crawls that wait for nothing end by themselves, and say why."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_stop import options, wait_for_pages
from tests.support.crawls import alive, crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

SOON = ("-s", "CONCURCRAWL_STALL_TIMEOUT_S=2")


def setup_of(name: str, folder: Path) -> list[str]:
    mode, _, is_durable = name.partition(" in ")
    return [
        *options(mode),
        *("-s", "CONCURCRAWL_WORKERS=2"),
        *(("-s", f"JOBDIR={folder / 'job'}") if is_durable else ()),
    ]


@pytest.mark.parametrize(
    "setup", ["serial", "concurrent", "async", "hybrid", "serial in JOBDIR"]
)
def test_a_stalled_crawl_ends_and_names_who_waits_for_what(
    setup: str, site: str, tmp_path: Path
) -> None:
    with crawling(
        "with_stuck", site, tmp_path, *setup_of(setup, tmp_path), *SOON
    ) as run:
        found = run.finish()
        assert alive(run.tree()) == []
    assert found.exit_code == 1
    assert found.stats["finish_reason"] == "stalled", found.log
    assert "The crawl has stalled: 1 request(s) have been in progress for 2 s" in (
        found.log
    )
    assert f"<GET {site}/hang?s=0.01&3> waits in a downloader middleware" in found.log
    assert "waiting.py:" in found.log
    assert "in Stuck.process_request" in found.log
    assert '{"page": "3"}' not in found.items


@pytest.mark.parametrize("mode", ["serial", "hybrid"])
def test_what_stalled_is_done_when_the_crawl_is_resumed(
    mode: str, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setup_of(f"{mode} in JOBDIR", tmp_path)
    first = crawl("with_stuck", site, tmp_path, *setup, *SOON)
    assert first.stats["finish_reason"] == "stalled", first.log
    monkeypatch.setenv("MENDED", "1")
    second = crawl("with_stuck", site, tmp_path, *setup, *SOON)
    assert second.stats["finish_reason"] == "finished", second.log
    assert second.items == {f'{{"page": "{n}"}}': 1 for n in range(16)}


@pytest.mark.parametrize("setup", ["async", "parallel", "serial in JOBDIR"])
def test_one_interrupt_ends_a_crawl_that_waits_for_nothing(
    setup: str, site: str, tmp_path: Path
) -> None:
    chosen = setup_of(setup, tmp_path)
    with crawling("with_stuck", site, tmp_path, *chosen) as run:
        wait_for_pages(run, 3 if "serial" in setup else 14)
        tree = run.tree()
        run.send(signal.SIGINT)
        found = run.finish()
        assert alive(tree) == []
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "shutdown")
    assert "The crawl has stalled" in found.log


@pytest.mark.parametrize("mode", ["serial", "async", "hybrid"])
def test_a_middleware_that_sleeps_is_waited_for(
    mode: str, site: str, tmp_path: Path
) -> None:
    found = crawl("with_patience", site, tmp_path, *options(mode), *SOON)
    assert found.stats["finish_reason"] == "finished", found.log
    assert found.items.total() == 16


@pytest.mark.parametrize("mode", ["concurrent", "async", "parallel"])
def test_a_crawl_that_waits_for_its_site_or_a_delay_has_not_stalled(
    mode: str, site: str, tmp_path: Path
) -> None:
    delay = ("-s", "DOWNLOAD_DELAY=3", "-s", "RANDOMIZE_DOWNLOAD_DELAY=0")
    short = ("-s", "CONCURCRAWL_STALL_TIMEOUT_S=1", "-a", "pages=2", "-a", "wait=2")
    found = crawl("slow", site, tmp_path, *options(mode), *delay, *short)
    assert found.stats["finish_reason"] == "finished", found.log
    assert found.items.total() == 2


def test_a_request_of_start_that_cannot_travel_calls_its_errback(
    site: str, tmp_path: Path
) -> None:
    found = crawl("carrying_from_start", site, tmp_path / "no job", *options("hybrid"))
    assert found.items == {'{"failed": "NotShippableError"}': 16}
    assert found.stats["concurcrawl/not_shippable"] == 16
    assert "or use MODE=serial, concurrent or async, which stay" in found.log


def test_the_remedy_for_such_a_request_works_for_a_crawl_with_a_jobdir(
    site: str, tmp_path: Path
) -> None:
    setup = setup_of("async in JOBDIR", tmp_path)
    found = crawl("carrying_from_start", site, tmp_path / "job", *setup)
    assert found.items == {'{"failed": "NotShippableError"}': 16}
    remedy = "or leave out JOBDIR, with which every mode has worker processes, and use "
    assert f"{remedy}MODE=serial, concurrent or async." in found.log
    carrying = crawl(
        "carrying_from_start", site, tmp_path / "no job", *options("async")
    )
    assert carrying.items.total() == 16
    assert "concurcrawl/not_shippable" not in carrying.stats


@pytest.mark.parametrize("setup", ["parallel", "hybrid", "serial in JOBDIR"])
def test_an_item_that_cannot_be_read_back_fails_its_request_alone(
    setup: str, site: str, tmp_path: Path
) -> None:
    failures = tmp_path / "failures.jsonl"
    found = crawl(
        "yields_unreadable",
        site,
        tmp_path,
        *setup_of(setup, tmp_path),
        *("-s", f"CONCURCRAWL_FAILURES={failures}"),
    )
    pages = set(range(16)) - {1}
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in pages}
    assert found.stats["finish_reason"] == "finished"
    assert found.stats["concurcrawl/results_failed"] == 3
    assert found.stats["concurcrawl/not_shippable"] == 1  # a request of page 2
    assert found.stats["response_received_count"] == 15
    page = f"{site}/hang?s=0.01&1"
    sentence = "could not be applied: an item cannot be read back in another process ("
    assert f"The results of <GET {page}> {sentence}" in found.log
    assert page in failures.read_text(encoding="utf-8")
    assert "a request cannot be read back in another process (" in found.log


@pytest.mark.parametrize("setup", ["hybrid", "serial in JOBDIR"])
def test_results_that_cannot_be_applied_end_no_crawl(
    setup: str, site: str, tmp_path: Path
) -> None:
    """An own filter fails for one link; its page is tried again, then dead-lettered."""
    failures = tmp_path / "failures.jsonl"
    found = crawl(
        "filtered_badly",
        site,
        tmp_path,
        *setup_of(setup, tmp_path),
        *("-s", f"CONCURCRAWL_FAILURES={failures}"),
    )
    assert found.stats["finish_reason"] == "finished", found.log
    assert found.items.total() == 15
    assert found.stats["concurcrawl/results_failed"] == 3
    page = f"{site}/hang?s=0.01&2"
    assert f"The results of <GET {page}> could not be applied" in found.log
    assert page in failures.read_text(encoding="utf-8")
