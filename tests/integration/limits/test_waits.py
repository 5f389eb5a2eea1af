"""Requests that wait for other downloads: they all end, and no limit is exceeded."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.support.crawls import MODES, crawl
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.redis import RedisServer

#: The last two have their robots.txt elsewhere.
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.6", "127.0.0.7")

#: A crawl that hangs is ended by the watchdog, soon, so that its log tells why.
SOON = ("-s", "CONCURCRAWL_STALL_TIMEOUT_S=10")

SETUPS = (*MODES, "serial in JOBDIR", "hybrid in JOBDIR", "hybrid over Redis")


@pytest.fixture(scope="module")
def hosts() -> Iterator[str]:
    with serving("tests.support.site.server", *HOSTS) as url:
        yield url


@pytest.fixture
def fresh(hosts: str) -> str:
    """The URL of a site of several hosts that has seen nothing yet."""
    ask(f"{hosts}/forget")
    return hosts


def ask(url: str) -> Any:
    with urlopen(url, timeout=30) as answer:
        return answer.read()


def visits(site: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask(f"{site}/log"))
    return found


def peak(seen: list[dict[str, Any]]) -> int:
    """Return how many requests were at the site at a time."""
    steps = [(visit["came_s"], 1) for visit in seen]
    steps += [(visit["went_s"], -1) for visit in seen]
    most = now = 0
    for _, step in sorted(steps):  # of two at one time the end comes first
        now += step
        most = max(most, now)
    return most


@pytest.fixture
def setup(
    request: pytest.FixtureRequest, tmp_path: Path, redis_frontiers: RedisServer
) -> list[str]:
    """Options of one of SETUPS, which each test chooses."""
    mode, _, place = request.param.partition(" ")
    found = ["-s", f"MODE={mode}"]
    if place == "in JOBDIR":
        found += ["-s", f"JOBDIR={tmp_path / 'job'}"]
    elif place == "over Redis":
        found += ["-s", f"CONCURCRAWL_FRONTIER_URL={redis_frontiers.url}"]
    return found


def limited(count: int) -> list[str]:
    """Options that let *count* requests be in flight, in every mode but serial."""
    return [
        *("-s", f"CONCURRENT_REQUESTS={count}", "-s", f"CONCURCRAWL_THREADS={count}"),
        *("-s", f"CONCURCRAWL_WORKERS={min(count, 2)}"),
    ]


def trees(seed: int, site: str) -> list[dict[str, Any]]:
    """Return random trees of pages, with what is downloaded around each."""
    numbers = random.Random(seed)
    port = site.rpartition(":")[2]
    names = iter(range(10_000))

    def url() -> str:
        host = numbers.choice(HOSTS)
        name = next(names)
        kind = numbers.choice((f"hang?s=0.01&{name}", f"away?s=0&{name}"))
        return f"http://{host}:{port}/{kind}"

    def some() -> list[str]:
        count = numbers.choice((0, 0, 0, 1, 1, 3))
        return [url() for _ in range(count)]

    def node(depth: int) -> dict[str, Any]:
        return {
            "id": next(names),
            "url": url(),
            "before": some(),
            "after": some(),
            "called": some(),
            "piped": some(),
            "children": [node(depth - 1) for _ in range(numbers.randrange(3))]
            if depth
            else [],
        }

    return [node(2) for _ in range(numbers.randrange(2, 9))]


def ids(nodes: list[dict[str, Any]]) -> list[int]:
    return [i for node in nodes for i in (node["id"], *ids(node["children"]))]


@pytest.mark.parametrize(
    ("seed", "setup"),
    [
        *((0, setup) for setup in SETUPS),
        *((3, setup) for setup in ("concurrent", "parallel", "hybrid in JOBDIR")),
    ],
    indirect=["setup"],
)
def test_random_trees_of_downloads_end_and_never_exceed_the_limit(
    seed: int, setup: list[str], fresh: str, tmp_path: Path
) -> None:
    limit = 1 + seed
    planted = trees(seed, fresh)
    (tmp_path / "trees.json").write_text(json.dumps(planted), encoding="utf-8")
    found = crawl(
        "trees",
        fresh,
        tmp_path,
        *setup,
        *limited(limit),
        *SOON,
        *("-a", f"trees={tmp_path / 'trees.json'}"),
    )
    assert found.stats["finish_reason"] == "finished", found.log
    assert found.items == {f'{{"page": {i}}}': 1 for i in ids(planted)}
    assert peak(visits(fresh)) <= limit


@pytest.mark.parametrize(
    ("spider", "setup"),
    [
        ("with_token", "async"),
        ("with_token", "parallel"),
        ("with_token", "hybrid over Redis"),
        ("with_background_token", "serial"),
        ("with_background_token", "hybrid"),
        ("with_background_token", "serial in JOBDIR"),
        ("with_captcha", "concurrent"),
        ("with_captcha", "parallel"),
        ("with_captcha", "hybrid in JOBDIR"),
    ],
    indirect=["setup"],
)
def test_a_page_whose_middleware_downloads_is_crawled(
    spider: str, setup: list[str], fresh: str, tmp_path: Path
) -> None:
    found = crawl(spider, fresh, tmp_path, *setup, *limited(4), *SOON)
    assert found.items == {f'{{"page": "{n}"}}': 1 for n in range(16)}
    assert found.stats["finish_reason"] == "finished"
    assert peak(visits(fresh)) <= 4


@pytest.mark.parametrize(
    "setup", ["serial", "parallel", "hybrid over Redis"], indirect=True
)
def test_a_robots_txt_that_is_elsewhere_is_found(
    setup: list[str], fresh: str, tmp_path: Path
) -> None:
    moved = fresh.replace("127.0.0.1", HOSTS[-1])
    found = crawl("obeying", moved, tmp_path, *setup, *SOON)
    assert found.items.total() == 16
    assert found.stats["finish_reason"] == "finished"


@pytest.mark.parametrize(
    ("host", "setup"),
    [
        (HOSTS[0], "async"),
        (HOSTS[0], "parallel"),
        (HOSTS[0], "hybrid in JOBDIR"),
        (HOSTS[-1], "concurrent"),
        (HOSTS[-1], "hybrid"),
        (HOSTS[-1], "serial in JOBDIR"),
    ],
    indirect=["setup"],
)
def test_pages_that_wait_for_robots_txt_together_obey_it(
    host: str, setup: list[str], fresh: str, tmp_path: Path
) -> None:
    found = crawl("forbidden", fresh.replace("127.0.0.1", host), tmp_path, *setup)
    assert found.stats["robotstxt/forbidden"] == 16
    assert not [one for one in visits(fresh) if "forbidden" in one["path"]]


@pytest.mark.parametrize(
    "setup", ["serial", "async", "parallel", "hybrid over Redis"], indirect=True
)
def test_a_pause_by_a_middleware_pauses_the_crawl(
    setup: list[str], fresh: str, tmp_path: Path
) -> None:
    options = (*setup, *limited(4), "-a", "pages=60")
    found = crawl("pausing", fresh, tmp_path, *options)
    assert found.items.total() == 60
    came = sorted(visit["came_s"] for visit in visits(fresh))
    gaps = [later - earlier for earlier, later in pairwise(came)]
    # Nothing came while the crawl was paused for 2 s, but what was on its way.
    assert max(gaps) > 1.5
