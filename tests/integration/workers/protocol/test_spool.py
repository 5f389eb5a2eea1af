"""What a page with very many products comes to, and how it goes over in parts."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from concurcrawl.workers.protocol.messages.results import Product
from concurcrawl.workers.protocol.spool import Spool
from tests.support.crawls import DEADLINE_S, Result, crawl, crawling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.redis import RedisServer

LINKS = 60


def product(name: str) -> Product:
    return Product(name.startswith("item"), name.encode())


@contextmanager
def limited(what: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@pytest.fixture
def parts() -> Iterator[Spool]:
    parts = Spool()
    yield parts
    parts.close()


def test_parts_are_read_in_their_order_any_number_of_times(parts: Spool) -> None:
    parts.add([product("item 1"), product("request 1"), product("item 2")])
    assert [*parts.items()] == [b"item 1", b"item 2"]
    parts.add([product("request 2"), product("item 3")])
    for _ in range(2):
        assert [*parts.items()] == [b"item 1", b"item 2", b"item 3"]
        assert [p.payload for p in parts.requests()] == [b"request 1", b"request 2"]
    assert (len(parts.items()), len(parts.requests())) == (3, 2)


def test_parts_are_read_while_others_read_them(parts: Spool) -> None:
    parts.add([product("item 1")])
    parts.add([product("item 2")])
    pairs = [*zip(parts.items(), parts.items(), strict=True)]
    assert pairs == [(b"item 1", b"item 1"), (b"item 2", b"item 2")]


def test_parts_that_found_no_room_are_missed_by_whoever_reads(parts: Spool) -> None:
    parts.add([product("item 1")])
    with limited(resource.RLIMIT_FSIZE, 1000):
        parts.add([Product(is_item=True, payload=bytes(100_000))])
    parts.add([product("item 2")])
    with pytest.raises(OSError, match="too large"):
        next(iter(parts.items()))


def test_parts_whose_end_finds_no_room_are_let_go_of(parts: Spool) -> None:
    parts.add([product("item 1")])  # it is in a buffer yet
    with limited(resource.RLIMIT_FSIZE, 0):
        parts.close()


def test_parts_for_which_there_is_no_file_are_in_memory(parts: Spool) -> None:
    with limited(resource.RLIMIT_NOFILE, 3):
        parts.add([product("item 1")])
    assert [*parts.items()] == [b"item 1"]


def options(folder: Path, *others: str, dies: str = "nobody") -> list[str]:
    return [
        *("-s", "MODE=hybrid", "-s", "CONCURCRAWL_WORKERS=2"),
        *("-s", "CONCURRENT_REQUESTS=4", "-a", f"folder={folder}"),
        *("-a", f"links={LINKS}", "-a", f"dies={dies}", *others),
    ]


def durable(folder: Path, dies: str = "nobody") -> list[str]:
    return options(folder, "-s", f"JOBDIR={folder / 'job'}", dies=dies)


def see_that_each_is_there_once(found: Result) -> None:
    assert (found.exit_code, found.stats["finish_reason"]) == (0, "finished"), found.log
    items = [json.loads(line) for line in found.items.elements()]
    names = Counter(
        (kind, item[kind])
        for item in items
        for kind in ("listed", "page")
        if kind in item
    )
    expected = {(kind, n): 1 for kind in ("listed", "page") for n in range(LINKS)}
    assert names == expected, found.log


def test_what_comes_in_parts_is_there_once(site: str, tmp_path: Path) -> None:
    found = crawl("parted", site, tmp_path, *options(tmp_path))
    see_that_each_is_there_once(found)
    assert found.stats["scheduler/enqueued"] == 1 + LINKS
    assert found.stats["item_scraped_count"] == 2 * LINKS


def test_the_parts_of_a_worker_that_dies_are_dropped(site: str, tmp_path: Path) -> None:
    found = crawl("parted", site, tmp_path, *options(tmp_path, dies="worker"))
    assert (tmp_path / "sent").exists()
    assert "died with" in found.log
    see_that_each_is_there_once(found)


def test_a_crawl_that_is_killed_among_parts_goes_on(site: str, tmp_path: Path) -> None:
    with crawling("parted", site, tmp_path, *durable(tmp_path, "all")) as running:
        deadline_s = time.monotonic() + DEADLINE_S
        while not (tmp_path / "sent").exists():
            assert time.monotonic() < deadline_s, running.log
            time.sleep(0.01)
        running.send(signal.SIGKILL)
        running.process.wait(DEADLINE_S)
    see_that_each_is_there_once(crawl("parted", site, tmp_path, *durable(tmp_path)))


def test_a_crawl_that_is_killed_while_parts_are_applied_goes_on(
    site: str, tmp_path: Path
) -> None:
    killed = crawl("parted", site, tmp_path, *durable(tmp_path, "supervisor"))
    assert killed.exit_code == -signal.SIGKILL, killed.log
    see_that_each_is_there_once(crawl("parted", site, tmp_path, *durable(tmp_path)))


def test_parts_are_one_exchange_with_redis(
    site: str, redis_frontiers: RedisServer, tmp_path: Path
) -> None:
    redis_frontiers.client.flushall()
    shared = ("-s", f"CONCURCRAWL_FRONTIER_URL={redis_frontiers.url}")
    see_that_each_is_there_once(
        crawl("parted", site, tmp_path, *options(tmp_path, *shared))
    )


def test_a_supervisor_is_no_larger_for_very_many_links(
    site: str, tmp_path: Path
) -> None:
    peaks_kb: list[int] = []
    for links in (10, 50_000):
        folder = tmp_path / str(links)
        many = options(folder, "-a", f"links={links}", dies="")
        found = crawl("many_links", site, folder, *many)
        assert found.stats["finish_reason"] == "seen", found.log
        assert found.stats["scheduler/enqueued"] == 1 + links
        peak_kb, has_pycurl = (folder / "supervisor").read_text().split()
        assert has_pycurl == "False"  # it is 7 MB, and nothing is downloaded here
        peaks_kb.append(int(peak_kb))
    assert peaks_kb[1] - peaks_kb[0] < 12_000, peaks_kb  # 30 MB of requests
