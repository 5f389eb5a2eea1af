"""MEMUSAGE_* counts all processes of a crawl, and replaces workers that grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scrapy.extensions.memusage import MemoryUsage
from scrapy.settings import Settings

from concurcrawl.integrations.finding import HAS_WORKERS
from concurcrawl.integrations.settings_findings import find_in_settings
from concurcrawl.workers.supervisor.memory import TreeMemoryUsage, memory_of
from tests.integration.watchdog.test_stalls import setup_of
from tests.support.crawls import crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

OFTEN = ("-s", "MEMUSAGE_CHECK_INTERVAL_SECONDS=0.2")
_MIB = 1 << 20


def limit(mib: int) -> tuple[str, ...]:
    return (*OFTEN, "-s", f"MEMUSAGE_LIMIT_MB={mib}")


def test_a_crawl_ends_when_all_processes_together_are_above_the_limit(
    site: str, tmp_path: Path
) -> None:
    """The supervisor alone takes about 60 MB, each worker 30 more."""
    many = ("-a", "pages=4000", "-s", "CONCURCRAWL_WORKERS=4")
    found = crawl(
        "slow", site, tmp_path, "-s", "MODE=parallel", *many, *limit(110), *OFTEN
    )
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "memusage_exceeded")
    assert found.stats["memusage/limit_reached"] == 1
    assert found.stats["memusage/max"] > 110 * _MIB
    assert "Memory usage exceeded 110MiB. Shutting down Scrapy..." in found.log


@pytest.mark.parametrize("setup", ["parallel", "async in JOBDIR"])
def test_a_worker_above_its_share_is_replaced_and_nothing_is_lost(
    setup: str, site: str, tmp_path: Path
) -> None:
    chosen = (*setup_of(setup, tmp_path), "-s", "CONCURCRAWL_WORKERS=1")
    never = ("-s", "CONCURCRAWL_MAX_RESTARTS=0", "-s", "CONCURRENT_REQUESTS=2")
    found = crawl("leaks", site, tmp_path, *chosen, *never, *limit(400))
    assert found.stats["finish_reason"] == "finished", found.log
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(40)}
    assert found.stats["response_received_count"] == 40
    assert found.stats["concurcrawl/workers_recycled"] >= 1
    assert "more than its share of MEMUSAGE_LIMIT_MB" in found.log
    assert "died" not in found.log
    assert found.stats["memusage/max"] > found.stats["memusage/startup"]


def test_what_a_crawl_takes_is_the_sum_of_its_processes(
    site: str, tmp_path: Path
) -> None:
    options = (*setup_of("parallel", tmp_path), "-a", "pages=400", *OFTEN)
    with crawling("slow", site, tmp_path, *options) as running:
        while "Crawled (200)" not in running.log:
            assert running.process.poll() is None
        tree = {process.pid for process in running.tree()} | {running.process.pid}
        sizes = memory_of(tree)
        running.process.terminate()
        found = running.finish()
    assert len(sizes) == 4  # the fork server, and two workers
    assert found.stats["memusage/startup"] > 0.6 * sum(sizes.values())
    assert found.stats["memusage/max"] > 1.3 * sizes[running.process.pid]


class Mailing(MemoryUsage):
    """As projects have it that send their reports elsewhere."""


class Counting(TreeMemoryUsage):
    """One that does what the finding asks for."""


def test_an_extension_that_measures_only_the_supervisor_is_named() -> None:
    extensions = {Mailing: 1, Counting: 2, TreeMemoryUsage: 3}
    settings = Settings({"EXTENSIONS": extensions, HAS_WORKERS: True})
    (finding,) = find_in_settings(settings)
    assert str(finding) == (
        "EXTENSIONS=tests.integration.workers.test_memory.Mailing: it measures the "
        "supervisor, not its workers; derive it from "
        "concurcrawl.workers.supervisor.memory.TreeMemoryUsage, which counts all "
        "processes."
    )
    settings[HAS_WORKERS] = False
    assert [*find_in_settings(settings)] == []
