"""What is measured: the workloads, each with who takes part. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.runner.contenders import MODES
from concurcrawl.tools.testsite.countries import COUNTRY_COUNT

_AT_64 = ("aiohttp-64", "scrapy-64", "concurrent-64", "async-64", "hybrid-64")

#: Different small pages; more of them are the same ones under other addresses.
SMALL = 10_000

#: Hosts of a broad crawl, each of which has three pages.
BROAD_HOSTS = 20_000

#: The same in the set that is run if none is named.
FEWER_HOSTS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One table.

    Rounds go on until the interval of every ratio is narrow enough or the budget is
    used up.

    Attributes:
        name: As options and tables name it.
        about: What it is, in a few words.
        contenders: Who takes part, in every round.
        once: Who takes part in the first round only: no target is about them.
        rounds: How many there are at least.
        budget_s: After so many seconds no further round begins.
        round_s: What a round takes on two quiet cores, for the plan.
        once_s: What those take besides that run once.
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
        is_quick: Whether it is in the quick set.
        quick_pages: So many are in it; 0 for as many as ever.
        is_fixed: Whether there are just so many rounds, whatever they say.
        turns: Workloads that say the same here take turns, because they are compared
            with each other.
    """

    name: str
    about: str
    contenders: tuple[str, ...]
    once: tuple[str, ...] = ()
    rounds: int = 3
    budget_s: float
    round_s: float
    once_s: float = 0.0
    pages: int = COUNTRY_COUNT
    kind: Literal["country", "small", "big"] = "country"
    work: Literal["save", "item", "items", "cleaned", "files", "parse"] = "save"
    latency_s: float = 0.0
    is_https: bool = False
    waiting: int = 0
    hosts: int = 0
    timeout_s: float = 120.0
    is_long: bool = False
    is_quick: bool = False
    quick_pages: int = 0
    is_fixed: bool = False
    turns: str = ""


#: How often each country page is asked for: with fewer a run ends in no time.
_AGAIN = 6


def _broad(hosts: int, pages: int, about: str) -> Workload:
    is_long = pages == 3 * BROAD_HOSTS
    name = f"{'broad' if is_long else 'hosts'}-{hosts}"
    few = hosts * 3 < pages
    ours = ("async-broad", "hybrid-broad", "hybrid-redis-broad")
    return Workload(
        name="broad" if hosts == BROAD_HOSTS else name,
        about=about,
        contenders=ours if few or is_long else ("scrapy-broad", *ours),
        # It asks itself which of all hosts is next, at every request.
        once=() if few or not is_long else ("scrapy-broad",),
        rounds=3,
        budget_s=900 if is_long else 100 if few else 200,
        round_s=170 if is_long else 25 if few else 50,
        once_s=900 if is_long and not few else 0,
        pages=pages,
        kind="small",
        hosts=hosts,
        timeout_s=2400,
        is_long=is_long,
        turns="broad" if is_long else "hosts",
    )


def _items(name: str, about: str, *contenders: str) -> Workload:
    return Workload(
        name=name,
        about=f"pages of 5 kB, {about}",
        contenders=contenders,
        pages=2_000,
        kind="small",
        work="items" if name == "items" else "cleaned",
        timeout_s=600,
        round_s=250,
        budget_s=750,
        is_long=True,
    )


def _big(name: str, about: str, *contenders: str) -> Workload:
    return Workload(
        name=name,
        about=about,
        contenders=("scrapy-16", *contenders),
        pages=40,
        kind="big",
        work="save" if name == "big" else "files",
        timeout_s=600,
        round_s=40,
        budget_s=160,
        is_long=True,
    )


def _growth(pages: int, waiting: int, about: str) -> Workload:
    what = f"waiting-{waiting}" if waiting or pages == SMALL else f"growth-{pages}"
    is_large = pages > SMALL
    return Workload(
        name=what,
        about=about,
        contenders=("async", "hybrid"),
        # Plain Scrapy's queue of a million takes several GB and many minutes.
        once=() if waiting else ("scrapy-16",),
        budget_s=600,
        round_s=130 if is_large else 150 if waiting else 20,
        once_s=0 if waiting else pages / 400,
        pages=pages,
        kind="small",
        # A crawl that leaves requests behind ends when it has so many items.
        work="item" if what.startswith("waiting") else "save",
        waiting=waiting,
        timeout_s=900,
        is_long=True,
        turns=what.partition("-")[0],
    )


WORKLOADS = (
    Workload(
        name="throughput",
        about="0 ms, http, save",
        contenders=(
            *("floor", "aiohttp-64", "crawlee", "tutorial-pool", "scrapy-16"),
            *MODES,
        ),
        once=(
            *("libcurl", "curl", "aiohttp-16", "tutorial-loop", "tutorial-threads"),
            *("session-threads", "scrapy-1", "scrapy-by-hand", "scrapy-redis"),
        ),
        budget_s=220,
        round_s=40,
        once_s=50,
        pages=_AGAIN * COUNTRY_COUNT,
        is_quick=True,
        quick_pages=3 * COUNTRY_COUNT,
        turns="throughput",
    ),
    Workload(
        name="https",
        about="0 ms, https, save",
        contenders=("crawlee", "scrapy-16", *MODES),
        once=(
            *("libcurl", "aiohttp-64", "tutorial-pool", "session-threads"),
            "scrapy-by-hand",
        ),
        budget_s=220,
        round_s=35,
        once_s=25,
        pages=_AGAIN * COUNTRY_COUNT,
        is_https=True,
        turns="throughput",
    ),
    Workload(
        name="latency-16",
        about="200 ms, save, 16 in flight",
        contenders=("aiohttp-16", "scrapy-16", "concurrent", "async", "hybrid"),
        once=("tutorial-threads", "session-threads"),
        budget_s=80,
        round_s=22,
        once_s=9,
        pages=16 * 16,
        latency_s=0.2,
    ),
    Workload(
        name="latency-64",
        about="200 ms, save, 64 in flight",
        contenders=_AT_64,
        budget_s=100,
        round_s=30,
        pages=16 * 64,
        latency_s=0.2,
    ),
    Workload(
        name="latency-256",
        about="pages of 5 kB, 200 ms, save, 256 in flight",
        contenders=("aiohttp-256", "concurrent-256", "async-256", "hybrid-256"),
        once=("scrapy-256",),
        budget_s=130,
        round_s=22,
        once_s=13,
        pages=20 * 256,
        kind="small",
        latency_s=0.2,
        is_quick=True,
        quick_pages=10 * 256,
    ),
    Workload(
        name="parse",
        about="0 ms, BeautifulSoup",
        contenders=("tutorial-pool", "scrapy-16", "parallel", "hybrid"),
        once=("scrapy-by-hand", "async"),
        budget_s=130,
        round_s=35,
        once_s=20,
        pages=40,
        work="parse",
    ),
    Workload(
        name="small",
        about="pages of 5 kB, 0 ms, save",
        contenders=("libcurl", "scrapy-16", "async", "parallel", "hybrid"),
        once=("aiohttp-64", "crawlee", "scrapy-by-hand", "serial", "concurrent"),
        budget_s=230,
        round_s=45,
        once_s=50,
        pages=SMALL,
        kind="small",
        is_quick=True,
        quick_pages=2_500,
    ),
    Workload(
        name="start-up",
        about="how long until the first request",
        contenders=("scrapy-16", *MODES),
        rounds=7,
        budget_s=60,
        round_s=4.5,
        pages=3,
        is_quick=True,
    ),
    _broad(FEWER_HOSTS, 3 * FEWER_HOSTS, "2 000 hosts with 3 pages of 5 kB each"),
    _broad(10, 3 * FEWER_HOSTS, "as many pages of 10 hosts"),
    _growth(1_000, 0, "pages of 5 kB"),
    _growth(100_000, 0, "pages of 5 kB"),
    _growth(SMALL, 0, "pages of 5 kB, nothing else waits"),
    _growth(SMALL, 1_000_000, "pages of 5 kB, a million requests wait"),
    _broad(BROAD_HOSTS, 3 * BROAD_HOSTS, "20 000 hosts with 3 pages of 5 kB each"),
    _broad(10, 3 * BROAD_HOSTS, "as many pages of 10 hosts"),
    _items("items", "200 items of each in one feed", "scrapy-16", "async", "hybrid"),
    _items(
        *("items-cleaned", "200 items of each, which a pipeline cleans"),
        *("scrapy-16", "hybrid", "hybrid-moved"),
    ),
    _big("big", "files of 50 MB, saved by the callback", "concurrent", "hybrid"),
    _big(
        *("big-files", "files of 50 MB, each of an item, saved by FilesPipeline"),
        *("hybrid", "hybrid-moved"),
    ),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}

_QUICK_ROUNDS = 3


def quick(workload: Workload) -> Workload:
    """Return *workload* as it is in the quick set: only what targets are about."""
    pages = workload.quick_pages or workload.pages
    return replace(
        workload,
        once=(),
        once_s=0.0,
        rounds=_QUICK_ROUNDS,
        is_fixed=True,
        pages=pages,
        round_s=workload.round_s * pages / workload.pages,
    )


#: What is measured otherwise than by running contenders.
FRONTIER = "frontier"
IMPORTS = "imports"
