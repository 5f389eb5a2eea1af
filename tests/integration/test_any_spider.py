"""Unmodified spiders give in every mode what plain Scrapy gives."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.support.crawls import Result, crawl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SAME = (
    "asynchronous",
    "closes",
    "closesatonce",
    "closures",
    "counts",
    "drops",
    "errors",
    "foreign",
    "idle",
    "jars",
    "login",
    "meta",
    "names",
    "offsite",
    "pagination",
    "pauses",
    "redirects",
    "rules",
    "selectors",
    "sitemap",
    "stamped",
    "updates",
    "writes",
)


ONCE = pytest.mark.once


@pytest.fixture(scope="module")
def plain(
    site: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Result]:
    """Return how a spider does without concurcrawl's modes; each runs once."""

    @cache
    def run(spider: str) -> Result:
        return crawl(spider, site, tmp_path_factory.mktemp(spider))

    return run


#: What each spider is crawled in, one of each line: one process; several; several with
#: a frontier that lasts. Each set-up has several spiders; all with all take too long.
ONE = ("serial", "concurrent", "async")
SEVERAL = ("parallel", "hybrid", "parallel spawned", "hybrid spawned")
LASTING = ("hybrid in JOBDIR", "parallel spawned in JOBDIR", "async in JOBDIR")

#: How many of the last are crawled on each Python.
LASTING_ON_EACH = 6


def cells() -> Iterator[Any]:
    """Yield spiders and set-ups, a spider's together: for it plain Scrapy runs once."""
    for number, spider in enumerate(SAME):
        last = () if number < LASTING_ON_EACH else (ONCE,)
        yield pytest.param(spider, ONE[number % len(ONE)], marks=ONCE)
        yield pytest.param(spider, SEVERAL[number % len(SEVERAL)])
        yield pytest.param(spider, LASTING[number % len(LASTING)], marks=last)


@pytest.mark.parametrize(("spider", "setup"), [*cells()])
def test_the_same_items_pipeline_stats_and_exit_code(
    spider: str, setup: str, site: str, tmp_path: Path, plain: Callable[[str], Result]
) -> None:
    expected = plain(spider)
    assert expected.stats["finish_reason"]
    options = ["-s", f"MODE={setup.split(maxsplit=1)[0]}"]
    if "spawned" in setup:
        options += ["-s", "CONCURCRAWL_START_METHOD=spawn"]
    if "in JOBDIR" in setup:
        options += ["-s", f"JOBDIR={tmp_path / 'job'}"]
    found = crawl(spider, site, tmp_path, *options)
    assert found.comparable() == expected.comparable()


@ONCE
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-s", "SCHEDULER_MEMORY_QUEUE=scrapy.squeues.FifoMemoryQueue"),
        ("-s", "SCHEDULER_START_MEMORY_QUEUE=scrapy.squeues.LifoMemoryQueue"),
        ("-s", "SCHEDULER_START_MEMORY_QUEUE="),
    ],
    ids=["default", "breadth first", "last start first", "no queue of starts"],
)
def test_serial_asks_for_pages_in_the_order_of_scrapy_with_one_at_a_time(
    options: tuple[str, ...], site: str, tmp_path: Path
) -> None:
    orders = []
    for one_at_a_time in ("CONCURRENT_REQUESTS=1", "MODE=serial"):
        ask(f"{site}/forget")
        crawl("ordered", site, tmp_path, "-s", one_at_a_time, *options)
        orders.append([visit["path"] for visit in json.loads(ask(f"{site}/log"))])
    plain, serial = orders
    assert len(plain) > 10
    assert serial == plain


@pytest.mark.parametrize(
    ("spider", "mode", "counted", "least"),
    [
        ("itemcount", "serial", "item_scraped_count", 10),
        ("itemcount", "async", "item_scraped_count", 10),
        ("itemcount", "hybrid", "item_scraped_count", 10),
        ("pagecount", "concurrent", "response_received_count", 7),
        ("pagecount", "parallel", "response_received_count", 7),
        ("errorcount", "serial", "spider_exceptions/count", 3),
        ("errorcount", "async", "spider_exceptions/count", 3),
    ],
)
def test_limits_by_count_end_the_crawl_early(
    spider: str, mode: str, counted: str, least: int, site: str, tmp_path: Path
) -> None:
    found = crawl(spider, site, tmp_path, "-s", f"MODE={mode}")
    assert found.exit_code == 0
    assert found.stats["finish_reason"] == f"closespider_{spider}"
    in_flight = 16
    assert least <= found.stats[counted] <= least + 2 * in_flight
    assert found.items.total() == found.stats.get("item_scraped_count", 0)


@pytest.mark.parametrize(("mode", "lent"), [("parallel", 2 * 2), ("hybrid", 2 * 10)])
def test_nothing_is_lent_once_a_crawl_has_too_many_errors(
    mode: str, lent: int, site: str, tmp_path: Path
) -> None:
    # Each of two workers has what it works on and, ahead, 1 or a quarter of that.
    two = ("-s", "CONCURCRAWL_WORKERS=2", "-s", "CONCURRENT_REQUESTS=16")
    found = crawl("errorcount", site, tmp_path, "-s", f"MODE={mode}", *two)
    limit = 3  # the third was lent too
    assert limit <= found.stats["spider_exceptions/count"] < limit + lent


@ONCE
def test_a_feed_of_several_workers_is_one_valid_feed(site: str, tmp_path: Path) -> None:
    names = [f"feed.{extension}" for extension in ("json", "csv", "xml", "jsonl")]
    folders = [tmp_path / mode for mode in ("plain", "parallel")]
    for folder, options in zip(folders, ([], ["-s", "MODE=parallel"]), strict=True):
        feeds = [word for name in names for word in ("-O", str(folder / name))]
        crawl("jars", site, folder, *feeds, *options)
    for name in names:
        plain, parallel = ((one / name).read_text(encoding="utf-8") for one in folders)
        # Items come in another order; head, tail and each item are the same.
        assert len(plain) > 100
        assert (parallel[:3], parallel[-3:]) == (plain[:3], plain[-3:])
        assert sorted(re.split(r"[\n,]", parallel)) == sorted(re.split(r"[\n,]", plain))


def test_log_lines_of_workers_are_in_the_one_log_with_the_worker_named(
    site: str, tmp_path: Path
) -> None:
    found = crawl(
        "errors", site, tmp_path, "-s", "MODE=parallel", "-s", "LOG_LEVEL=DEBUG"
    )
    crawled = [line for line in found.log.splitlines() if "Crawled (" in line]
    assert crawled
    assert all("] DEBUG: [worker-" in line for line in crawled)
    assert found.log.count("ValueError: as planned") == 1
    assert found.stats["log_count/ERROR"] >= 1


def ask(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body
