"""Who takes part, and what each is started with. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.runner.workloads import Workload

#: Where the programs are. Each is there to be read, and brings needs of its own.
FOLDER = Path(__file__).parents[1]

_OVER_REDIS = FOLDER / "over_redis.py"

#: Our modes at 16 in flight, in the order of the tables.
MODES = ("serial", "concurrent", "async", "parallel", "hybrid")

#: https://docs.scrapy.org/en/latest/topics/broad-crawls.html
_BROAD_SETTINGS = (
    "SCHEDULER_PRIORITY_QUEUE=scrapy.pqueues.DownloaderAwarePriorityQueue",
    "REACTOR_THREADPOOL_MAXSIZE=20",
    "COOKIES_ENABLED=False",
    "RETRY_ENABLED=False",
    "DOWNLOAD_TIMEOUT=15",
)

#: The pipeline of each kind of work that has one; a contender may run it in workers.
_PIPELINES = {
    "files": "benchmarks.scrapy_pages.PageFilesPipeline",
    "cleaned": "benchmarks.scrapy_pages.Clean",
}

#: What many are measured against: Scrapy as it comes, with 16 in flight.
REFERENCE = "scrapy-16"

#: Work whose results are items in a feed.
FEEDING = ("parse", "items", "cleaned")

#: Plain Scrapy as others of a table are measured against it.
PLAIN = (REFERENCE, "scrapy-64", "scrapy-256", "scrapy-broad")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to get the pages.

    Attributes:
        name: As options and tables name it.
        about: What it is, in a few words.
        file: Its program, in :data:`FOLDER`.
        in_flight: Requests at a time.
        is_broad: Whether it has the settings that Scrapy recommends for many hosts.
        mode: Of ours; empty for plain Scrapy and all others.
        is_scrapy: Whether Scrapy's command runs the file.
        is_over_redis: Whether its requests wait in a Redis of its own.
        moves_pipelines: Whether its item pipelines run in workers.
        modules: What must be importable.
        programs: What must be on the path.
        can_parse: Whether it can do the work ``parse``.
        has_network: Whether it asks a server at all.
    """

    name: str
    about: str
    file: str
    in_flight: int = 16
    is_broad: bool = False
    mode: str = ""
    is_scrapy: bool = False
    is_over_redis: bool = False
    moves_pipelines: bool = False
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    can_parse: bool = True
    has_network: bool = True

    @property
    def is_ours(self) -> bool:
        """Whether it is one of our modes."""
        return bool(self.mode)


def _scrapy(name: str, about: str, in_flight: int, mode: str = "") -> Contender:
    return Contender(
        name=name,
        about=about,
        file="scrapy_pages.py",
        in_flight=in_flight,
        mode=mode,
        is_scrapy=True,
    )


def _broad(name: str, about: str, mode: str = "") -> Contender:
    return replace(_scrapy(name, about, 100, mode), is_broad=True)


CONTENDERS = (
    Contender(
        name="floor",
        about="no network: read, inflate (ISA-L), write on every core",
        file="floor.py",
        in_flight=0,
        modules=("isal",),
        can_parse=False,
        has_network=False,
    ),
    Contender(
        name="libcurl",
        about="bare libcurl multi loop, ISA-L",
        file="libcurl_multi.py",
        modules=("isal",),
    ),
    Contender(
        name="curl",
        about="curl --parallel",
        file="curl_parallel.py",
        programs=("curl",),
        can_parse=False,
    ),
    Contender(
        name="aiohttp-16",
        about="aiohttp script",
        file="aiohttp_script.py",
    ),
    *(
        Contender(
            name=f"aiohttp-{most}",
            about="aiohttp script",
            file="aiohttp_script.py",
            in_flight=most,
        )
        for most in (64, 256)
    ),
    Contender(
        name="crawlee",
        about="Crawlee for Python",
        file="crawlee_script.py",
        modules=("crawlee",),
    ),
    Contender(
        name="tutorial-loop",
        about="the tutorial's loop",
        file="tutorial_loop.py",
        in_flight=1,
        modules=("requests",),
    ),
    Contender(
        name="tutorial-threads",
        about="the tutorial's ThreadPoolExecutor(16)",
        file="tutorial_threads.py",
        modules=("requests",),
    ),
    Contender(
        name="tutorial-pool",
        about="the tutorial's Pool(cpu_count)",
        file="tutorial_pool.py",
        in_flight=0,
        modules=("requests",),
    ),
    Contender(
        name="session-threads",
        about="threads with requests.Session",
        file="session_threads.py",
        modules=("requests",),
    ),
    _scrapy("scrapy-1", "plain Scrapy", 1),
    _scrapy("scrapy-16", "plain Scrapy", 16),
    _scrapy("scrapy-64", "plain Scrapy", 64),
    _scrapy("scrapy-256", "plain Scrapy", 256),
    Contender(
        name="scrapy-by-hand",
        about="plain Scrapy split by hand, 2 processes",
        file="scrapy_by_hand.py",
    ),
    Contender(
        name="scrapy-redis",
        about="scrapy-redis, 2 processes",
        file="scrapy_redis_pages.py",
        modules=("scrapy_redis",),
        programs=("redis-server",),
    ),
    *(_scrapy(mode, "MODE=" + mode, 16, mode) for mode in MODES),
    *(
        _scrapy(f"{mode}-{most}", "MODE=" + mode, most, mode)
        for most in (64, 256)
        for mode in ("concurrent", "async", "hybrid")
    ),
    replace(
        _scrapy("hybrid-moved", "MODE=hybrid, pipelines in its workers", 16, "hybrid"),
        moves_pipelines=True,
    ),
    _broad("scrapy-broad", "plain Scrapy, broad-crawl settings"),
    *(_broad(f"{mode}-broad", "MODE=" + mode, mode) for mode in ("async", "hybrid")),
    replace(
        _broad("hybrid-redis-broad", "MODE=hybrid over Redis", "hybrid"),
        is_over_redis=True,
        modules=("redis", "msgpack"),
        programs=("redis-server",),
    ),
)

BY_NAME = {contender.name: contender for contender in CONTENDERS}


def command(
    contender: Contender, list_url: str, list_file: Path, out: Path, workload: Workload
) -> list[str]:
    """Return the command line of one run.

    Args:
        contender: Who.
        list_url: The list page.
        list_file: The file that it is in, for contenders that ask no server.
        out: Where its results go.
        workload: What is done.
    """
    work, waiting = workload.work, workload.waiting
    file = str(FOLDER / contender.file)
    if not contender.has_network:
        return [sys.executable, file, str(list_file), str(out)]
    if not contender.is_scrapy:
        words = [list_url, str(out), work, str(contender.in_flight)]
        return [sys.executable, file, *words]
    settings = ["LOG_LEVEL=INFO", *_settings(contender)]
    if contender.is_broad:
        settings += _BROAD_SETTINGS
    if waiting:
        pages = list_url.rpartition("-")[2]
        settings.append(f"CLOSESPIDER_ITEMCOUNT={pages}")
        # Few batches at a time, or the first pages come while most are being read.
        settings.append("SCRAPER_SLOT_MAX_ACTIVE_SIZE=20000")
    arguments = (
        f"list_url={list_url}",
        f"out={out}",
        f"work={work}",
        f"waiting={waiting}",
        f"hosts={workload.hosts}",
    )
    if pipeline := _PIPELINES.get(work):
        settings += [f'ITEM_PIPELINES={{"{pipeline}": 1}}', f"FILES_STORE={out}"]
        if contender.moves_pipelines:
            settings.append(f"CONCURCRAWL_WORKER_PIPELINES={pipeline}")
    has_feed = work in FEEDING
    feed = ["-O", str(out / "items.jsonl")] if has_feed else []
    wrapper = [sys.executable, str(_OVER_REDIS)] if contender.is_over_redis else []
    return [
        *wrapper,
        *(sys.executable, "-m", "scrapy", "runspider", file),
        *(word for pair in arguments for word in ("-a", pair)),
        *(word for pair in settings for word in ("-s", pair)),
        *feed,
    ]


def _settings(contender: Contender) -> list[str]:
    most = contender.in_flight
    if not contender.is_ours:
        return [
            f"CONCURRENT_REQUESTS={most}",
            f"CONCURRENT_REQUESTS_PER_DOMAIN={most}",  # 8 by default
        ]
    settings = ['ADDONS={"concurcrawl.Addon": 500}', f"MODE={contender.mode}"]
    if contender.mode == "concurrent":
        settings.append(f"CONCURCRAWL_THREADS={most}")
    elif contender.mode in ("async", "hybrid"):
        settings.append(f"CONCURRENT_REQUESTS={most}")
    return settings
