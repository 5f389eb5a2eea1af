"""What each mode means, as plain Scrapy settings. No code runs here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurcrawl.config import Config

THREADED_HANDLER = "concurcrawl.http.handler.ThreadedDownloadHandler"
LOOP_HANDLER = "concurcrawl.http.loop_handler.LoopDownloadHandler"
#: Handlers that download with libcurl.
CURL_HANDLERS = (THREADED_HANDLER, LOOP_HANDLER)

#: Settings of our own that a crawl on a cluster hands on: how many workers it can have
#: now, how many it may have, and what they have in flight together, if that is divided.
PLACES = "CONCURCRAWL_CLUSTER_PLACES"
MOST_WORKERS = "CONCURCRAWL_CLUSTER_MOST"
IN_FLIGHT = "CONCURCRAWL_CLUSTER_IN_FLIGHT"

#: Threads of the reactor's pool that remain for DNS and for the project's own calls.
SPARE_THREADS = 8

#: Why a mode changes a setting of Scrapy's, as words that follow "because".
REASONS = {
    "CONCURRENT_REQUESTS": "it is what the mode has in flight, over all processes",
    "CONCURRENT_REQUESTS_PER_DOMAIN": "Scrapy's default of 8 is lifted, since the "
    "project limits no site",
    "CONCURRENT_ITEMS": "Scrapy starts so many tasks for each response",
    "DOWNLOAD_HANDLERS": "libcurl downloads, instead of Scrapy's default",
    "DOWNLOADER": "it keeps the limits of each site, over all processes",
    "DOWNLOADER_MIDDLEWARES": "they do what profiles of sites ask, or the same as "
    "Scrapy's in less time",
    "EXTENSIONS": "parts without effect are named, and limits, feeds and state count "
    "for all processes",
    "FEED_EXPORTERS": "feeds can be continued after a stop",
    "FEED_STORAGES": "feeds can be continued after a stop",
    "ITEM_PROCESSOR": "it notes how long items were in the pipelines",
    "JOBDIR": "Redis keeps what is left to do",
    "REACTOR_THREADPOOL_MAXSIZE": "each download may need a thread, and some are to "
    "spare",
    "SCHEDULER": "it keeps what waits and who has it, for all processes",
    "SPIDER_MIDDLEWARES": "they note when callbacks ran",
    "STATS_CLASS": "it merges the stats of all processes",
}


class Mode(StrEnum):
    """The values of the setting ``MODE``."""

    SERIAL = "serial"
    CONCURRENT = "concurrent"
    ASYNC = "async"
    PARALLEL = "parallel"
    HYBRID = "hybrid"

    @property
    def has_workers(self) -> bool:
        """Whether the mode downloads in crawler processes of its own."""
        return self in (Mode.PARALLEL, Mode.HYBRID)

    @property
    def has_curl(self) -> bool:
        """Whether the mode downloads with libcurl."""
        return self in (Mode.CONCURRENT, Mode.ASYNC, Mode.HYBRID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A mode with the numbers of one crawl.

    Attributes:
        slots: Requests in flight in each process, in the order of the workers; one
            entry in a mode of one process. 0 means no limit, as in Scrapy.
        is_supervised: Whether requests are done in worker processes.
        settings: The Scrapy settings of the process that runs ``scrapy crawl``.
        most: Workers on a cluster, which come and go; 0 means any number.
        is_divided: Whether what is in flight is the same however many workers there
            are, so that each has a share of it.
        unbound: Requests in flight if ``CONCURRENT_REQUESTS`` were not set; 0 if that
            makes no difference.
    """

    mode: Mode
    slots: tuple[int, ...]
    is_supervised: bool
    settings: dict[str, Any] = field(default_factory=dict)
    unbound: int = 0
    most: int = 1
    is_divided: bool = False

    @property
    def prefetch(self) -> int:
        """Requests that each process prepares beyond those in flight.

        0 in ``serial`` and ``parallel``, where one at a time is the point.
        """
        is_many = self.mode not in (Mode.SERIAL, Mode.PARALLEL)
        return max(1, max(self.slots) // 4) if is_many else 0

    @property
    def in_flight(self) -> int:
        """Requests in flight over all processes; 0 means no limit."""
        return 0 if 0 in self.slots else sum(self.slots)


def plan(
    mode: Mode,
    config: Config,
    *,
    concurrent_requests: int,
    is_bound: bool = False,
    is_durable: bool = False,
    places: int = 0,
) -> Plan:
    """Return what *mode* means for one crawl.

    A durable or distributed crawl has a supervisor in every mode: the result of a
    request arrives in one message, which can be applied whole or not at all.

    Args:
        mode: The mode.
        config: The ``CONCURCRAWL_*`` settings.
        concurrent_requests: The crawl's ``CONCURRENT_REQUESTS``; 0 means no limit.
        is_bound: Whether the project sets it, so that no mode may exceed it.
        is_durable: Whether there is a ``JOBDIR``.
        places: Workers that a cluster can have now; 0 if that is not known.
    """
    is_shared = bool(config.frontier_url)
    is_supervised = mode.has_workers or is_durable or is_shared
    count = min(config.workers or places, places or config.workers)
    slots = _slots(mode, count or config.worker_count, config, concurrent_requests)
    unbound = 0
    if is_bound and 0 < concurrent_requests < sum(slots):
        unbound = sum(slots)
        slots = shares(concurrent_requests, len(slots))
    settings: dict[str, Any] = {
        "CONCURRENT_REQUESTS": 0 if 0 in slots else sum(slots),
        "DOWNLOADER": "concurcrawl.local.downloader.PassThroughDownloader",
        "SCHEDULER": "concurcrawl.local.scheduler.FrontierScheduler",
    }
    if mode.has_curl:
        handler = THREADED_HANDLER if mode is Mode.CONCURRENT else LOOP_HANDLER
        settings["DOWNLOAD_HANDLERS"] = {"http": handler, "https": handler}
    if mode is Mode.ASYNC:
        settings["DOWNLOADER"] = "concurcrawl.local.downloader.EagerDownloader"
    if is_supervised:
        settings["DOWNLOADER"] = (
            "concurcrawl.workers.supervisor.downloader.DispatchingDownloader"
        )
        settings["SCHEDULER"] = (
            "concurcrawl.workers.supervisor.scheduler.SupervisorScheduler"
        )
    if is_shared:
        settings["SCHEDULER"] = "concurcrawl.nodes.scheduler.NodeScheduler"
    return Plan(
        mode=mode,
        slots=slots,
        is_supervised=is_supervised,
        settings=settings,
        unbound=unbound,
        most=_most(mode, config, concurrent_requests, is_bound=is_bound),
        is_divided=mode is Mode.HYBRID and concurrent_requests > 0,
    )


def pool_threads(mode: Mode, slots: int, config: Config) -> int:
    """Return the size of the reactor's thread pool that *mode* needs, 0 if any."""
    if not mode.has_curl:
        return 0
    return (slots or config.threads) + SPARE_THREADS


def bound(planned: Plan) -> str | None:
    """Name ``CONCURRENT_REQUESTS`` if it keeps a mode from its requests in flight.

    Returns:
        One sentence, or None if it does not.
    """
    if not planned.unbound:
        return None
    return (
        f"MODE={planned.mode} could have {planned.unbound} requests in flight, but "
        f"CONCURRENT_REQUESTS={planned.in_flight} of this project limits it; that is "
        "kept. To allow more, change it there."
    )


def limits_of_a_site(
    planned: Plan, *, delay_s: float, per_domain: int, throttled: bool
) -> tuple[str, ...]:
    """Return the politeness settings that keep a mode from its requests in flight.

    Args:
        planned: The mode.
        delay_s: ``DOWNLOAD_DELAY`` in seconds.
        per_domain: ``CONCURRENT_REQUESTS_PER_DOMAIN`` if the project sets it, else 0.
        throttled: Whether AutoThrottle is on.

    Returns:
        Each as ``NAME=value``.
    """
    wanted = planned.in_flight
    if wanted == 1:
        return ()
    found = []
    if per_domain > 0 and (not wanted or per_domain < wanted):
        found.append(f"CONCURRENT_REQUESTS_PER_DOMAIN={per_domain}")
    if delay_s > 0:
        found.append(f"DOWNLOAD_DELAY={delay_s:g}")
    if throttled:
        found.append("AUTOTHROTTLE_ENABLED=True")
    return tuple(found)


def hindrance(planned: Plan, limits: Sequence[str]) -> str | None:
    """Name the limits that keep a mode from its requests in flight.

    Args:
        planned: The mode.
        limits: What :func:`limits_of_a_site` returned.

    Returns:
        One sentence, or None if nothing holds the mode back.
    """
    if not limits:
        return None
    return (
        f"MODE={planned.mode} could have {planned.in_flight or 'any number of'} "
        f"requests in flight, but {' and '.join(limits)} of this project holds it back "
        "on each site; that is kept. If the site allows more, change it there."
    )


def _most(
    mode: Mode, config: Config, concurrent_requests: int, *, is_bound: bool
) -> int:
    """Return how many workers a cluster may have; 0 for any number."""
    if not mode.has_workers:
        return 1
    is_limit = is_bound or mode is Mode.HYBRID  # else each worker has one in flight
    limits = (config.workers, concurrent_requests if is_limit else 0)
    return min((one for one in limits if one), default=0)


def _slots(
    mode: Mode, workers: int, config: Config, concurrent_requests: int
) -> tuple[int, ...]:
    match mode:
        case Mode.SERIAL:
            return (1,)
        case Mode.CONCURRENT:
            return (config.threads,)
        case Mode.ASYNC:
            return (concurrent_requests,)
        case Mode.PARALLEL:
            return (1,) * workers
        case Mode.HYBRID:
            if concurrent_requests == 0:
                return (config.threads,) * workers
            return shares(concurrent_requests, workers)


def shares(total: int, workers: int) -> tuple[int, ...]:
    """Divide *total* slots among workers; each gets at least one."""
    workers = min(workers, total)
    return tuple(
        total // workers + (index < total % workers) for index in range(workers)
    )
