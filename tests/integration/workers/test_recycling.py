"""Workers replaced after so many requests, and those that keep a crawl from ending."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_stop import wait_for_pages
from tests.integration.watchdog.test_stalls import setup_of
from tests.support.crawls import alive, crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

SOON = ("-s", "CONCURCRAWL_STOP_TIMEOUT_S=1", "-s", "CLOSESPIDER_TIMEOUT=2")


@pytest.mark.parametrize("setup", ["hybrid", "async in JOBDIR"])
def test_workers_are_replaced_after_so_many_requests_and_nothing_is_lost(
    setup: str, site: str, tmp_path: Path
) -> None:
    chosen = (*setup_of(setup, tmp_path), "-a", "wait=0.02")
    after = ("-s", "CONCURCRAWL_WORKER_MAX_REQUESTS=7")
    never = ("-s", "CONCURCRAWL_MAX_RESTARTS=0")
    with crawling("slow", site, tmp_path, *chosen, *after, *never) as running:
        found = running.finish()
        assert alive(running.tree()) == []
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(40)}
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "finished")
    assert found.stats["response_received_count"] == 40
    assert found.stats["item_scraped_count"] == 40
    assert found.stats["concurcrawl/workers_recycled"] >= 4
    assert "has ended after 7 requests." in found.log
    assert found.stats.get("log_count/ERROR", 0) == 0, found.log


def test_a_worker_can_be_replaced_after_each_request(site: str, tmp_path: Path) -> None:
    """A session's cookie, which the first worker got, is there in all."""
    gate = tmp_path / "gate"
    chosen = (*setup_of("parallel", tmp_path), "-a", f"gate={gate}")
    each = ("-s", "CONCURCRAWL_WORKER_MAX_REQUESTS=1")
    with crawling("begins", site, tmp_path, *chosen, *each) as run:
        wait_for_pages(run, 6)
        gate.touch()
        found = run.finish()
    assert found.stats["finish_reason"] == "finished", found.log
    assert found.items.total() == 20
    late = {f'{{"page": {n}, "who": "ann"}}' for n in range(5, 10)}
    assert late <= found.items.keys()


@pytest.mark.parametrize("setup", ["parallel", "hybrid"])
def test_a_callback_that_hangs_after_a_stop_costs_its_worker(
    setup: str, site: str, tmp_path: Path
) -> None:
    with crawling("hangs", site, tmp_path, *setup_of(setup, tmp_path), *SOON) as run:
        found = run.finish()
        assert alive(run.tree()) == []
    reason = found.stats["finish_reason"]
    assert (found.exit_code, reason) == (0, "closespider_timeout")
    assert found.items.total() == found.stats["item_scraped_count"]
    assert found.stats["concurcrawl/unfinished"] >= 1
    assert "is killed: 1 s after the crawl was told to stop" in found.log
    (line,) = [line for line in found.log.splitlines() if "which are lost: " in line]
    assert "status/200?loop>" in line


def test_what_hung_is_done_again_in_the_next_run(site: str, tmp_path: Path) -> None:
    setup = setup_of("serial in JOBDIR", tmp_path)
    first = crawl("hangs", site, tmp_path, *setup, *SOON)
    assert first.stats["finish_reason"] == "closespider_timeout"
    assert "which are kept to be done later: <GET" in first.log
    timeout = ("-s", "CONCURCRAWL_CALLBACK_TIMEOUT_S=1")
    second = crawl("hangs", site, tmp_path, *setup, *timeout)
    assert second.stats["finish_reason"] == "finished"
    assert second.items == {f'{{"page": "{n}"}}': 1 for n in range(12)}
    assert second.stats["concurcrawl/dead_lettered"] == 1


@pytest.mark.parametrize("mode", ["concurrent", "async"])
def test_in_one_process_it_fails_and_the_crawl_ends(
    mode: str, site: str, tmp_path: Path
) -> None:
    with crawling("hangs", site, tmp_path, *setup_of(mode, tmp_path), *SOON[:2]) as run:
        # Pages before it may be answered later, and are not heard of then.
        wait_for_pages(run, 1, "?loop")
        run.send(signal.SIGTERM)
        found = run.finish()
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "shutdown")
    assert found.items.total() == found.stats["item_scraped_count"]
    assert found.stats["spider_exceptions/BlockedError"] == 1
    assert "in Hangs.loop had blocked the process for 1 s after" in found.log


def test_in_one_process_a_stop_that_is_overdue_counts_too(
    site: str, tmp_path: Path
) -> None:
    found = crawl("hangs", site, tmp_path, *setup_of("serial", tmp_path), *SOON)
    reason = found.stats["finish_reason"]
    assert (found.exit_code, reason) == (0, "closespider_timeout")
    assert found.stats["spider_exceptions/BlockedError"] == 1


def test_a_stop_that_moves_slowly_is_not_cut(site: str, tmp_path: Path) -> None:
    """Pages that take three times as long as callbacks may."""
    slow = ("-a", "pages=400", "-a", "wait=3", "-s", "CONCURCRAWL_STOP_TIMEOUT_S=1")
    with crawling("slow", site, tmp_path, *setup_of("hybrid", tmp_path), *slow) as run:
        wait_for_pages(run, 1)
        run.send(signal.SIGINT)
        found = run.finish()
    assert found.stats["finish_reason"] == "shutdown"
    assert found.items.total() == found.stats["response_received_count"] >= 1
    assert "concurcrawl/unfinished" not in found.stats
