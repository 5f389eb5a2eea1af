"""What is measured: the workloads, each with who takes part. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.runner.contenders import CONTENDERS, MODES
from concurcrawl.tools.testsite.countries import COUNTRY_COUNT

_ALL = tuple(c.name for c in CONTENDERS)
_AT_64 = ("aiohttp-64", "scrapy-64", "concurrent-64", "async-64", "hybrid-64")

#: Different small pages; more of them are the same ones under other addresses.
SMALL = 10_000

#: Hosts of a broad crawl, each of which has three pages.
BROAD_HOSTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One table.

    Attributes:
        name: As options and tables name it.
        about: What it is, in a few words.
        contenders: Who takes part.
        rounds: How often each is run, by default.
        pages: So many.
        kind: Country pages (600 kB each, inflated), small ones (5 kB) or big files
            (50 MB).
        work: What is done with each page: it is saved by the callback or by
            ``FilesPipeline``, is one item or 200, or is parsed.
        latency_s: How long the server waits before it answers.
        is_https: Whether it is asked by https.
        waiting: Requests that wait behind the others.
        hosts: Addresses that the pages are divided among; 0 for the server's own.
        timeout_s: A run that takes longer has failed.
        is_long: Whether it takes minutes, and is run only when it is named.
        slow: Contenders that are run once only, because they take so long.
        turns: Workloads that say the same here take turns, because they are compared
            with each other.
    """

    name: str
    about: str
    contenders: tuple[str, ...]
    rounds: int
    pages: int = COUNTRY_COUNT
    kind: Literal["country", "small", "big"] = "country"
    work: Literal["save", "item", "items", "files", "parse"] = "save"
    latency_s: float = 0.0
    is_https: bool = False
    waiting: int = 0
    hosts: int = 0
    timeout_s: float = 120.0
    is_long: bool = False
    slow: tuple[str, ...] = ()
    turns: str = ""


def _broad(hosts: int, about: str) -> Workload:
    return Workload(
        name="broad" if hosts == BROAD_HOSTS else f"broad-{hosts}",
        about=about,
        contenders=("scrapy-broad", "async-broad", "hybrid-broad"),
        rounds=3,
        pages=3 * BROAD_HOSTS,
        kind="small",
        hosts=hosts,
        timeout_s=1200,
        is_long=True,
        slow=("scrapy-broad",),
        turns="broad",
    )


def _big(name: str, about: str) -> Workload:
    return Workload(
        name=name,
        about=about,
        contenders=("scrapy-16", "concurrent", "hybrid"),
        rounds=3,
        pages=40,
        kind="big",
        work="save" if name == "big" else "files",
        timeout_s=600,
        is_long=True,
    )


def _growth(pages: int, waiting: int, rounds: int, about: str) -> Workload:
    what = f"waiting-{waiting}" if waiting or pages == SMALL else f"growth-{pages}"
    return Workload(
        name=what,
        about=about,
        # Plain Scrapy's queue of a million takes several GB and many minutes.
        contenders=("async", "hybrid") if waiting else ("scrapy-16", "async", "hybrid"),
        rounds=rounds,
        pages=pages,
        kind="small",
        # A crawl that leaves requests behind ends when it has so many items.
        work="item" if what.startswith("waiting") else "save",
        waiting=waiting,
        timeout_s=900,
        is_long=True,
        slow=("scrapy-16",) if pages > SMALL else (),
        turns=what.partition("-")[0],
    )


WORKLOADS = (
    Workload(
        name="throughput",
        about="0 ms, http, save",
        contenders=tuple(name for name in _ALL if name not in _AT_64[1:]),
        rounds=5,
    ),
    Workload(
        name="https",
        about="0 ms, https, save",
        contenders=(
            *("libcurl", "aiohttp-64", "crawlee", "tutorial-pool", "session-threads"),
            *("scrapy-16", "scrapy-by-hand", *MODES),
        ),
        rounds=5,
        is_https=True,
    ),
    Workload(
        name="latency-16",
        about="200 ms, save, 16 in flight",
        contenders=(
            *("aiohttp-16", "tutorial-threads", "session-threads", "scrapy-16"),
            *("serial", "concurrent", "async", "hybrid"),
        ),
        rounds=5,
        latency_s=0.2,
        slow=("serial",),
    ),
    Workload(
        name="latency-64",
        about="200 ms, save, 64 in flight",
        contenders=_AT_64,
        rounds=5,
        latency_s=0.2,
    ),
    Workload(
        name="parse",
        about="0 ms, BeautifulSoup",
        contenders=(
            *("tutorial-pool", "scrapy-16", "scrapy-by-hand"),
            *("async", "parallel", "hybrid"),
        ),
        rounds=3,
        pages=100,
        work="parse",
        slow=("async", "scrapy-by-hand"),
    ),
    Workload(
        name="small",
        about="pages of 5 kB, 0 ms, save",
        contenders=(
            *("libcurl", "aiohttp-64", "crawlee", "scrapy-16", "scrapy-by-hand"),
            *MODES,
        ),
        rounds=2,
        pages=SMALL,
        kind="small",
        slow=("libcurl", "aiohttp-64", "crawlee", "scrapy-by-hand"),
    ),
    Workload(
        name="start-up",
        about="how long until the first request",
        contenders=("scrapy-16", *MODES),
        rounds=15,
        pages=3,
    ),
    _growth(1_000, 0, 6, "pages of 5 kB"),
    _growth(100_000, 0, 2, "pages of 5 kB"),
    _growth(SMALL, 0, 4, "pages of 5 kB, nothing else waits"),
    _growth(SMALL, 1_000_000, 2, "pages of 5 kB, a million requests wait"),
    Workload(
        name="items",
        about="pages of 5 kB, 200 items of each in one feed",
        contenders=("scrapy-16", "async", "hybrid"),
        rounds=2,
        pages=2_000,
        kind="small",
        work="items",
        timeout_s=600,
        is_long=True,
    ),
    _big("big", "files of 50 MB, saved by the callback"),
    _big("big-files", "files of 50 MB, saved by FilesPipeline"),
    _broad(BROAD_HOSTS, "20 000 hosts with 3 pages of 5 kB each"),
    _broad(10, "as many pages of 10 hosts"),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}

#: What is measured otherwise than by running contenders.
FRONTIER = "frontier"
IMPORTS = "imports"
