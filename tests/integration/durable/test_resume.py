"""Crawls with a JOBDIR that end in the middle and go on, however the start changes."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.crawls import MODES, Crawl, Result, crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.redis import RedisServer

#: As many as each source of the spider yields.
COUNT = 40

KINDS = {
    "rows": 1,
    "shuffled": 1,
    "unordered": 1,
    "queue": 1,
    "items": 1,
    "thrice": 3,
    "kwargs_alone": 1,
    "broken": 1,
}


def options(folder: Path, mode: str, *others: str) -> list[str]:
    """Return what makes a crawl of *mode* durable, in *folder*."""
    return [
        *("-s", f"MODE={mode}", "-s", "CONCURCRAWL_WORKERS=2"),
        *("-s", f"JOBDIR={folder / 'job'}", "-a", f"folder={folder}"),
        *("-o", str(folder / "more.csv"), *others),
    ]


def ended(spider: str, site: str, folder: Path, *others: str) -> Result:
    """Run a crawl that ends itself before its time."""
    with crawling(spider, site, folder, *others) as running:
        return _finished(running)


def _finished(running: Crawl) -> Result:
    result = running.finish()
    assert result.exit_code == -9 or result.stats["finish_reason"] != "finished"
    return result


def numbers(result: Result) -> Counter[str]:
    """Return the numbers of the items in the feed."""
    found = Counter[str]()
    for line, times in result.items.items():
        found[str(json.loads(line)["number"])] += times
    return found


def each(times: int) -> Counter[str]:
    return Counter({str(number): times for number in range(COUNT)})


@pytest.mark.parametrize(
    ("kind", "mode", "how"),
    [
        (kind, MODES[number % 5], how)
        for number, kind in enumerate(KINDS)
        for how in ("SIGKILL", "SIGINT")
        if how == "SIGKILL" or kind in ("rows", "items")
    ],
)
def test_what_start_yields_is_done_as_often_though_it_comes_otherwise(
    kind: str, mode: str, how: str, site: str, tmp_path: Path
) -> None:
    (tmp_path / "queue").write_text("\n".join(map(str, range(COUNT))))
    now = options(tmp_path, mode, "-a", f"kind={kind}", "-a", f"how={how}")
    ended("source", site, tmp_path, *now)
    found = crawl("source", site, tmp_path, *now)
    while kind == "broken" and found.stats.get("finish_reason") != "finished":
        # It is ended twice, in either order.
        assert found.exit_code == -9 or found.stats["finish_reason"] == "start_error"
        found = crawl("source", site, tmp_path, *now)
    assert found.stats["finish_reason"] == "finished", found.log
    assert numbers(found) == each(KINDS[kind])


def test_rows_that_came_after_start_had_ended_are_crawled(
    site: str, tmp_path: Path
) -> None:
    lines = tmp_path / "queue"
    lines.write_text("1\n2\n3\n")
    now = options(tmp_path, "async", "-a", "kind=queue", "-s", "CONCURRENT_REQUESTS=1")
    first = crawl(
        "source", site, tmp_path, *now, "-s", "CLOSESPIDER_ITEMCOUNT=1", "-a", "at=0"
    )
    assert first.stats["finish_reason"] == "closespider_itemcount"
    lines.write_text("4\n5\n")
    found = crawl("source", site, tmp_path, *now, "-a", "at=0")
    assert numbers(found) == Counter("12345")


@pytest.mark.parametrize("mode", ["", "serial", "hybrid"])
def test_a_finished_crawl_begins_anew_and_filters_what_it_knows(
    mode: str, site: str, tmp_path: Path
) -> None:
    job = ("-s", f"MODE={mode}", "-s", f"JOBDIR={tmp_path / 'job'}")
    feeds = []
    appended = ("-o", str(tmp_path / "more.jsonl"))
    for links, options in ((2, ()), (3, appended), (3, ())):
        if options:
            (tmp_path / "items.jsonl").write_text('{"link": "before"}\n')
        found = crawl("news", site, tmp_path, *job, "-a", f"links={links}", *options)
        assert found.stats["finish_reason"] == "finished"
        feeds.append([json.loads(line)["link"] for line in found.items])
    assert [sorted(feed) for feed in feeds] == [["0", "1"], ["2", "before"], []]
    assert found.stats["dupefilter/filtered"] == 3
    assert ("begins anew" in found.log) == bool(mode)


# The spider's state -------------------------------------------------------------------


def state_of(folder: Path) -> dict[str, Any]:
    found = pickle.loads((folder / "job" / "spider.state").read_bytes())
    assert type(found) is dict
    return dict(found)


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("serial", "SIGKILL"),
        ("async", "SIGINT"),
        ("parallel", "SIGKILL"),
        ("hybrid", "SIGKILL"),
        ("hybrid", "SIGINT"),
    ],
)
def test_state_is_where_callbacks_are_and_survives(
    mode: str, how: str, site: str, tmp_path: Path
) -> None:
    now = options(tmp_path, mode, "-a", f"how={how}", "-s", "CONCURRENT_REQUESTS=4")
    ended("stateful", site, tmp_path, *now)
    found = crawl("stateful", site, tmp_path, *now)
    assert found.stats["finish_reason"] == "finished", found.log
    assert numbers(found) == each(1)
    state = state_of(tmp_path)
    assert state.pop("closed") == (1 if how == "SIGKILL" else 2)
    assert sorted(state.pop("order")) == list(range(COUNT))
    assert state == {
        "starts": 2,
        "pages": COUNT,
        "seen": set(range(COUNT)),
        "kinds": Counter(number % 3 for number in range(COUNT)),
    }


def test_state_of_plain_scrapy_is_read_and_what_cannot_be_kept_is_named_once(
    site: str, tmp_path: Path
) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "ended").touch()
    (tmp_path / "job" / "spider.state").write_bytes(pickle.dumps({"pages": 1000}))
    now = options(tmp_path, "parallel", "-a", "bad=1")
    found = crawl("stateful", site, tmp_path, *now)
    assert numbers(found) == each(1)
    assert found.log.count("spider.state['bad'] cannot be kept") == 1
    state = state_of(tmp_path)
    assert (state["pages"], "bad" in state) == (1000 + COUNT, False)


@pytest.mark.parametrize("mode", ["async", "hybrid"])
def test_without_a_jobdir_there_is_no_state(
    mode: str, site: str, tmp_path: Path
) -> None:
    found = crawl("stateful", site, tmp_path, "-s", f"MODE={mode}")
    assert "no attribute 'state'" in found.log.replace("has no", "no")
    assert found.stats["finish_reason"] == "start_error"


# A duplicate filter of the project's own ----------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode", "at"),
    [("ByPath", "serial", "n1"), ("ByLine", "parallel", "n25")],
)
def test_a_page_that_an_own_filter_has_noted_is_not_lost(
    kind: str, mode: str, at: str, site: str, tmp_path: Path
) -> None:
    own = ("-s", f"DUPEFILTER_CLASS=anyspider.spiders.resumed.{kind}")
    now = options(tmp_path, mode, *own, "-a", f"at={at}")
    ended("filtered", site, tmp_path, *now)
    found = crawl("filtered", site, tmp_path, *now)
    assert found.stats["finish_reason"] == "finished", found.log
    assert numbers(found) == Counter(str(number) for number in range(1, 64))


@pytest.mark.parametrize(
    ("own", "is_refused"),
    [
        ("anyspider.spiders.resumed.ByPath", True),
        ("scrapy.dupefilters.BaseDupeFilter", False),
    ],
)
def test_an_own_filter_is_refused_where_nodes_share_a_crawl(
    own: str, is_refused: bool, site: str, tmp_path: Path, redis_frontiers: RedisServer
) -> None:
    shared = (
        "-s",
        "MODE=async",
        "-s",
        f"CONCURCRAWL_FRONTIER_URL={redis_frontiers.url}",
    )
    found = crawl(
        "pagination",
        site,
        tmp_path,
        *shared,
        "-s",
        f"DUPEFILTER_CLASS={own}",
        "-s",
        "CLOSESPIDER_PAGECOUNT=30",
    )
    assert found.exit_code == (1 if is_refused else 0), found.log
    sentence = (
        "DUPEFILTER_CLASS='anyspider.spiders.resumed.ByPath': must be Scrapy's own"
    )
    assert (sentence in found.log) == is_refused
    assert "Traceback" not in found.log


# Over Redis ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shuffled", "queue"])
def test_a_node_that_comes_back_goes_on_with_a_start_that_changes(
    kind: str, site: str, tmp_path: Path, redis_frontiers: RedisServer
) -> None:
    (tmp_path / "queue").write_text("\n".join(map(str, range(COUNT))))
    now = [
        *("-s", "MODE=hybrid", "-s", f"CONCURCRAWL_FRONTIER_URL={redis_frontiers.url}"),
        *("-s", "CONCURCRAWL_WORKERS=2", "-s", "CONCURCRAWL_FRONTIER_LEASE_S=2"),
        *("-s", "CONCURCRAWL_FRONTIER_NODE=one", "-a", f"folder={tmp_path}"),
        *("-a", f"kind={kind}", "-o", str(tmp_path / "more.csv")),
    ]
    ended("source", site, tmp_path, *now)
    found = crawl("source", site, tmp_path, *now)
    assert found.stats["finish_reason"] == "finished", found.log
    assert numbers(found) == each(1)


# What start() returns -----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["", "hybrid", "async"])
def test_a_start_that_returns_a_list_is_told_of_in_scrapys_words(
    mode: str, site: str, tmp_path: Path
) -> None:
    job = ("-s", f"JOBDIR={tmp_path / 'job'}") if mode == "async" else ()
    found = crawl("listed", site, tmp_path, "-s", f"MODE={mode}", *job)
    assert "Listed.start() must be an asynchronous generator" in found.log
    assert found.stats["finish_reason"] == "start_error"
