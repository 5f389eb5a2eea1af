"""What one process of a crawl sets, counts or starts, the others find or end."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.integration.test_starts import wait_for_files
from tests.support.crawls import alive, crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

TWO = ("-s", "CONCURCRAWL_WORKERS=2")


@pytest.mark.parametrize("setup", ["hybrid", "async in JOBDIR"])
def test_what_a_pipeline_sets_on_the_spider_reaches_callbacks(
    setup: str, site: str, tmp_path: Path
) -> None:
    mode, _, is_durable = setup.partition(" in ")
    job = ("-s", f"JOBDIR={tmp_path / 'job'}") if is_durable else ()
    found = crawl("flagged", site, tmp_path, "-s", f"MODE={mode}", *TWO, *job)
    assert found.stats["finish_reason"] == "flagged"


def test_a_stat_is_the_total_of_the_crawl_and_nothing_twice(
    site: str, tmp_path: Path
) -> None:
    found = crawl("totals", site, tmp_path, "-s", "MODE=parallel", *TWO)
    items = [json.loads(line) for line in found.items]
    seen = {item["number"]: item["seen"] for item in items}
    assert seen == {number: [number] * 4 for number in range(1, 11)}


def test_a_budget_that_is_counted_in_the_stats_is_kept_by_all_workers(
    site: str, tmp_path: Path
) -> None:
    found = crawl("frugal", site, tmp_path, "-s", "MODE=hybrid", *TWO)
    assert found.stats["budget"] == 401
    # Not known to a worker is what the other has in flight, or has been given ahead.
    assert 50 <= found.items.total() < 100


def test_what_workers_start_ends_with_them_and_closed_is_named(
    site: str, tmp_path: Path
) -> None:
    options = ("-s", "MODE=parallel", *TWO, "-a", f"folder={tmp_path}")
    found = crawl("opening", site, tmp_path, *options)
    assert found.exit_code == 0
    assert found.items.total() == 8
    assert len(started(tmp_path)) == 3
    assert not alive(running(tmp_path))
    assert len([*tmp_path.glob("closed-*")]) == 1
    assert found.log.count("closed()=anyspider.spiders.sharing.Opening: it is ") == 2
    assert found.log.count("its own self.browser;") == 1
    assert found.log.count("(self.urls)") == 1


def test_closed_runs_in_workers_that_are_asked_to(site: str, tmp_path: Path) -> None:
    found = crawl(
        "opening",
        site,
        tmp_path,
        *("-s", "MODE=parallel", *TWO, "-a", f"folder={tmp_path}", "-a", "fails=1"),
        *("-s", "CONCURCRAWL_CLOSED_IN_WORKERS=1"),
        *("-s", "CLOSESPIDER_ITEMCOUNT=4"),
    )
    reasons = [path.read_text() for path in tmp_path.glob("closed-*")]
    assert reasons == ["closespider_itemcount"] * 3
    assert not alive(running(tmp_path))
    assert found.log.count("RuntimeError: as it closes") == 3
    assert "it is called in the supervisor only" not in found.log


def test_what_workers_started_ends_when_the_supervisor_is_killed(
    site: str, tmp_path: Path
) -> None:
    options = ("-s", "MODE=parallel", *TWO, "-a", f"folder={tmp_path}")
    with crawling("opening", site, tmp_path, *options) as running_crawl:
        wait_for_files(tmp_path, "callback", 1)
        own = running_crawl.process.pid
        started_by_workers = [one for one in running(tmp_path) if one.ppid() != own]
        assert started_by_workers
        running_crawl.send(signal.SIGKILL)
        assert not alive(started_by_workers)
        for one in running(tmp_path):  # the supervisor's own
            one.kill()


def started(folder: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in folder.glob("started-*")]


def running(folder: Path) -> list[psutil.Process]:
    found = []
    for pid in started(folder):
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found
