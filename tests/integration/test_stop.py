"""Signals and deaths: nothing is lost that need not be, and nobody is left."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import DEADLINE_S, Crawl, alive, crawling

if TYPE_CHECKING:
    from pathlib import Path

WITH_WORKERS = ("parallel", "hybrid")


def wait_for_pages(crawl: Crawl, count: int, part: str = "") -> None:
    """Wait until the log tells of *count* pages whose URLs contain *part*."""
    crawled = re.compile(rf"Crawled \(200\) <GET [^>]*{re.escape(part)}")
    deadline_s = time.monotonic() + DEADLINE_S
    while len(crawled.findall(crawl.log)) < count:
        assert time.monotonic() < deadline_s, crawl.log
        assert crawl.process.poll() is None, crawl.log
        time.sleep(0.02)


def options(mode: str) -> list[str]:
    return ["-s", f"MODE={mode}", "-s", "LOG_LEVEL=DEBUG"]


@pytest.mark.parametrize("mode", WITH_WORKERS)
def test_requests_of_a_killed_worker_are_done_by_another(
    mode: str, site: str, tmp_path: Path
) -> None:
    with crawling("slow", site, tmp_path, *options(mode)) as crawl:
        wait_for_pages(crawl, 4)
        victim = crawl.workers()[0]
        victim.kill()
        found = crawl.finish()
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(40)}
    assert found.stats["finish_reason"] == "finished"
    assert f"(process {victim.pid}) died with" in found.log


@pytest.mark.parametrize("mode", WITH_WORKERS)
def test_nobody_outlives_a_supervisor_that_is_killed(
    mode: str, site: str, tmp_path: Path
) -> None:
    with crawling("slow", site, tmp_path, *options(mode), "-a", "pages=400") as crawl:
        wait_for_pages(crawl, 2)
        tree = crawl.tree()
        crawl.send(signal.SIGKILL)
        assert len(tree) >= 2
        assert alive(tree) == []


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        ("serial", signal.SIGINT),
        ("concurrent", signal.SIGTERM),
        ("async", signal.SIGINT),
        ("parallel", signal.SIGTERM),
        ("hybrid", signal.SIGINT),
    ],
)
def test_one_signal_finishes_what_is_in_flight(
    mode: str, number: signal.Signals, site: str, tmp_path: Path
) -> None:
    with crawling("slow", site, tmp_path, *options(mode), "-a", "pages=400") as crawl:
        wait_for_pages(crawl, 2)
        tree = crawl.tree()
        crawl.send(number)
        found = crawl.finish()
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "shutdown")
    assert found.items.total() == found.stats["item_scraped_count"]
    assert found.items.total() == found.stats["response_received_count"] < 400
    assert alive(tree) == []


@pytest.mark.parametrize("mode", WITH_WORKERS)
def test_ctrl_c_in_a_terminal_reaches_all_and_still_ends_cleanly(
    mode: str, site: str, tmp_path: Path
) -> None:
    with crawling("slow", site, tmp_path, *options(mode), "-a", "pages=400") as crawl:
        wait_for_pages(crawl, 2)
        tree = crawl.tree()
        for process in tree:
            os.kill(process.pid, signal.SIGINT)
        crawl.send(signal.SIGINT)
        found = crawl.finish()
    assert found.stats["finish_reason"] == "shutdown"
    assert found.items.total() == found.stats["response_received_count"]
    assert alive(tree) == []


@pytest.mark.parametrize("mode", WITH_WORKERS)
def test_a_second_signal_ends_it_now(mode: str, site: str, tmp_path: Path) -> None:
    slow = ("-a", "pages=400", "-a", "wait=120")
    with crawling("slow", site, tmp_path, *options(mode), *slow) as crawl:
        deadline_s = time.monotonic() + DEADLINE_S
        while "Spider opened" not in crawl.log:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        tree = crawl.tree()
        crawl.send(signal.SIGINT)
        while "shutting down gracefully" not in crawl.log:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        crawl.send(signal.SIGINT)
        crawl.process.wait(60)  # the pages in flight would take 120 s
    assert alive(tree) == []


@pytest.mark.parametrize("mode", WITH_WORKERS)
def test_a_request_that_kills_its_workers_is_set_aside(
    mode: str, site: str, tmp_path: Path
) -> None:
    failures = tmp_path / "failures.jsonl"
    poison = ["-a", "pages=8", "-a", "poison=1"]
    poison += ["-s", f"CONCURCRAWL_FAILURES={failures}"]
    with crawling("slow", site, tmp_path, *options(mode), *poison) as crawl:
        found = crawl.finish()
    reason = "3 workers died while they handled this request"
    assert json.loads(failures.read_text(encoding="utf-8")) == {
        "url": f"{site}/status/200?poison",
        "reason": reason,
    }
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(8)}
    assert found.stats["finish_reason"] == "finished"
    assert found.stats["concurcrawl/dead_lettered"] == 1
    assert "status/200?poison> is dead-lettered: 3 workers died" in found.log


def test_workers_that_keep_dying_end_the_crawl_with_a_reason(
    site: str, tmp_path: Path
) -> None:
    poison = ("-a", "pages=8", "-a", "poison=1", "-s", "CONCURCRAWL_MAX_RESTARTS=1")
    with crawling("slow", site, tmp_path, *options("parallel"), *poison) as crawl:
        found = crawl.finish()
    assert found.stats["finish_reason"] == "workers_failed"
    assert "2 workers died; the crawl ends." in found.log


@pytest.mark.parametrize("mode", WITH_WORKERS)
def test_a_start_that_never_waits_holds_up_neither_workers_nor_signals(
    mode: str, site: str, tmp_path: Path
) -> None:
    many = ("-a", "pages=1000000", "-a", "wait=0.02")
    with crawling("slow", site, tmp_path, *options(mode), *many) as crawl:
        wait_for_pages(crawl, 20)
        tree = crawl.tree()
        crawl.send(signal.SIGTERM)
        found = crawl.finish()
    assert found.stats["finish_reason"] == "shutdown"
    assert found.items.total() == found.stats["response_received_count"]
    assert alive(tree) == []
