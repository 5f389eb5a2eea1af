"""Scrapy's scheduler over a frontier."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scrapy import signals
from scrapy.core.scheduler import BaseScheduler
from scrapy.dupefilters import RFPDupeFilter
from scrapy.utils.asyncio import call_later, is_asyncio_available
from scrapy.utils.misc import build_from_crawler, load_object
from typing_extensions import override

from concurcrawl.compat.callback_cache import KeptCallbacks
from concurcrawl.compat.engine import call_each_turn, in_progress, wake
from concurcrawl.config import Config
from concurcrawl.errors import ConcurcrawlError, StalledError
from concurcrawl.frontier.base import Done, Entry, at_once
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.limits.admission_queue import AdmissionQueue
from concurcrawl.limits.handler import RequestGate, robots_agent, slot_of
from concurcrawl.limits.policy import Politeness, delay_of
from concurcrawl.limits.slots import SlotLimits
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.tracing import collector
from concurcrawl.tracing import record as records
from concurcrawl.watchdog.frames import where_awaited
from concurcrawl.watchdog.stall import StallWatch, Waiting
from concurcrawl.watchdog.timers import is_something_due

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TextIO

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.dupefilters import BaseDupeFilter
    from scrapy.robotstxt import RobotParser
    from scrapy.settings import BaseSettings
    from scrapy.utils.asyncio import CallLaterResult
    from twisted.internet.defer import Deferred

    from concurcrawl.frontier.base import Frontier, GroupState, Lease
    from concurcrawl.limits.limiter import FetchResult, Written
    from concurcrawl.tracing.record import Record

logger = logging.getLogger(__name__)

#: Setting with the queue of requests from ``start()``; None: that of all others.
_START_QUEUE = "SCHEDULER_START_MEMORY_QUEUE"


class FrontierScheduler(BaseScheduler):
    """The scheduler of the modes of one process.

    A request is lent when the engine gets it and done when the engine has let go of
    it, which is after its callback's output was processed.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._stats = crawler.stats
        self.politeness = Politeness.from_settings(crawler.settings)
        self._frontier = self._make_frontier()
        self.admissions = AdmissionQueue(self._frontier, lambda: wake(crawler.engine))
        self.gate = LocalGate(self)
        self._watch = self._make_watch()
        self._slowed: set[str] = set()  # groups whose sites have asked for a delay
        self._leases: dict[Request, Lease] = {}
        self._objects: dict[bytes, Request] = {}
        self._names = count()
        self._is_over = False
        self._has_start_queue = bool(crawler.settings[_START_QUEUE])
        self._callbacks = KeptCallbacks()
        self._timer: CallLaterResult | None = None
        self._is_full: Callable[[], bool] = lambda: False
        self._records: TextIO | None = None
        self._records_path = Config.from_settings(crawler.settings).records
        self._clocks_pipelines = collector.clocks_pipelines(crawler.settings)
        filter_cls = load_object(crawler.settings["DUPEFILTER_CLASS"])
        self._own_filter: BaseDupeFilter | None = None
        if filter_cls is not RFPDupeFilter:
            self._own_filter = self._build_filter(filter_cls)
        # The frontier knows the duplicates; this one only says what it knows.
        self._filter_log = RFPDupeFilter(
            debug=crawler.settings.getbool("DUPEFILTER_DEBUG"),
            fingerprinter=crawler.request_fingerprinter,
        )
        crawler.signals.connect(self._robots_parsed, signals.robots_parsed)

    @classmethod
    @override
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    @override
    def open(self, spider: Spider) -> Deferred[None] | None:
        engine = self._crawler.engine
        assert isinstance(engine.downloader, PassThroughDownloader)
        self._is_full = engine.downloader.is_full
        engine.downloader.holds_back = self.holds_back
        engine.downloader.slots.limits = SlotLimits(
            self.politeness,
            self._crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"),
            self.change_limits,
            self._frontier.delay_s,
        )
        # next_request() is not asked while the downloader has its fill.
        call_each_turn(engine, self._begin_turn, self._end_turn)
        if self._watch is not None and is_asyncio_available():
            self._watch.start()
        if self._records_path:
            path = Path(self._records_path)
            self._records = path.open("w", encoding="utf-8", buffering=1)
        return self._own_filter.open() if self._own_filter else None

    @override
    def close(self, reason: str) -> Deferred[None] | None:
        self._settle()
        if self._watch is not None:
            self._watch.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._close_frontier()
        if self._records is not None:
            self._records.close()
        return self._own_filter.close(reason) if self._own_filter else None

    def _close_frontier(self) -> None:
        self._is_over = True
        self._frontier.close()

    def __len__(self) -> int:
        """Return how many requests wait, as Scrapy's own scheduler does."""
        return self._frontier.waiting()

    @property
    def dqs(self) -> Backlog | None:
        """What waits on the disk, for telnet's ``est()``; None without ``JOBDIR``."""
        return Backlog(self.__len__) if self._crawler.settings["JOBDIR"] else None

    @property
    def mqs(self) -> Backlog:
        """What waits in memory, for telnet's ``est()``."""
        return Backlog((lambda: 0) if self.dqs is not None else self.__len__)

    @override
    def has_pending_requests(self) -> bool:
        return self._frontier.waiting() > 0

    @override
    def enqueue_request(self, request: Request) -> bool:
        if self._is_over:  # start() goes on when an extension has closed the spider
            return True
        entry = self._entry(request, self._pack(request), self._key(request))
        if entry is None:
            return False
        pushed: Awaitable[list[bool]]
        pushed = self._push(request, entry)
        if not isinstance(pushed, Done):
            # The engine wants to know now; whether it was new is heard of later.
            self._wait_for(
                request, asyncio.ensure_future(self._note_later(request, pushed))
            )
            return True
        added: bool = at_once(pushed)[0]
        if added:
            self._count("scheduler/enqueued")
        else:
            self._note_duplicate(request)  # the engine says that it is dropped
        return added

    async def _note_later(
        self, request: Request, pushed: Awaitable[list[bool]]
    ) -> None:
        with contextlib.suppress(ConcurcrawlError):  # said where it is found
            (added,) = await pushed
            if added:
                self._count("scheduler/enqueued")
            else:
                self._note_dropped(request)

    async def add(self, request: Request) -> bool:
        """Push a request that came from outside; return whether it was new.

        When this returns it is safe, as far as the frontier keeps anything.

        Raises:
            NotShippableError: If it cannot go to another process.
            NotJsonError: If it cannot go to another machine.
        """
        entry = self._entry(request, self._pack(request), self._key(request))
        if entry is None:
            return False
        (added,) = await self._push(request, entry)
        if added:
            self._count("scheduler/enqueued")
        else:
            self._note_duplicate(request)
        return added

    async def make_safe(self) -> None:
        """See that what was added survives a power cut, where anything does."""

    async def put_dead_letters_back(self) -> int:
        """Make dead-lettered requests wait again; return how many there were."""
        return 0  # only requests that were leased to workers are dead-lettered

    def counts(self) -> dict[str, int]:
        """Return how many requests wait and how many are leased."""
        return {"waiting": self._frontier.waiting(), "leased": self._frontier.leased()}

    @override
    def next_request(self) -> Request | None:
        self._settle()
        lease = self._frontier.acquire()
        if lease is None:
            self._wake_in_time()
            return None
        request = self._unpack(lease)
        self._leases[request] = lease
        self._count("scheduler/dequeued")
        return request

    def holds_back(self) -> bool:
        """Return whether requests wait and none of them may be leased now."""
        return self._frontier.waiting() > 0 and not self._frontier.has_ready()

    # What the supervisor's scheduler does otherwise -----------------------------

    def _begin_turn(self) -> None:
        """Do what is due whenever the engine looks for requests."""
        self._settle()

    def _end_turn(self) -> None:
        # next_request() is not asked either while what waits is held back.
        if not self._is_full():
            self._wake_in_time()

    def _make_frontier(self) -> Frontier:
        settings = self._crawler.settings
        return SqliteFrontier(
            self.politeness.limits_of,
            path=self._frontier_path(),
            asks=self._asks(),
            total=settings.getint("CONCURRENT_REQUESTS"),
            newest_first=newest_first(settings),
            newest_start_first="Lifo" in str(settings[_START_QUEUE]),
        )

    def _make_watch(self) -> StallWatch | None:
        config = Config.from_settings(self._crawler.settings)
        return StallWatch(
            self._crawler, config.stall_timeout_s, self._look, self._abandon
        )

    def _asks(self) -> Callable[[str], bool] | None:
        """Return how to tell whose requests come to the gate here; None: all do."""
        return None

    def _frontier_path(self) -> str:
        return ""

    def _push(self, request: Request, entry: Entry) -> Awaitable[list[bool]]:
        """Push *entry*, which is *request*."""
        return self._frontier.push([entry])

    def _wait_for(self, request: Request, pushed: asyncio.Future[None]) -> None:
        """Note that *request* is on its way into the frontier."""

    def _build_filter(self, filter_cls: type[BaseDupeFilter]) -> BaseDupeFilter:
        """Return a filter of the project's own."""
        found: BaseDupeFilter = build_from_crawler(filter_cls, self._crawler)
        return found

    def _was_seen(self, request: Request) -> bool:
        """Return whether the project's own filter, if there is one, knows *request*."""
        return self._own_filter is not None and self._own_filter.request_seen(request)

    def _pack(self, request: Request) -> bytes:
        name = b"%d" % next(self._names)
        self._objects[name] = request  # nothing leaves the process: keep it as it is
        return name

    def _unpack(self, lease: Lease) -> Request:
        request = self._objects.pop(lease.payload)
        self._callbacks.keep(request)
        if self._records is not None:
            collector.begin(
                request, lease.queued_s, has_pipelines=self._clocks_pipelines
            )
        return request

    def _settle(self) -> None:
        """Complete the leases of requests that the engine has let go of."""
        engine = self._crawler.engine
        if engine.scheduler is None or not self._leases:  # None: it has closed
            return
        for request in self._leases.keys() - in_progress(engine):
            self._frontier.ack(self._leases.pop(request).lease_id)
            self.write(collector.end(request, "main"))

    async def _look(self) -> list[Waiting]:
        """Return the requests in progress if nothing can move them."""
        engine = self._crawler.engine
        begun, scraped = in_progress(engine), engine.scraper.slot
        assert scraped is not None
        waits_for_time = not self._is_full() and bool(self.ready_in_s())
        is_moving = (
            bool(self.gate.inside)
            or not scraped.is_idle()
            or waits_for_time
            or self.admissions.is_timed
        )
        if is_moving or not begun or is_something_due():
            return []
        waiting = self.gate.waiting
        return [
            Waiting(
                str(request),
                "for free capacity at its site"
                if request in waiting
                else "in a downloader middleware",
                where_awaited(request),
            )
            for request in begun
        ]

    def _abandon(self) -> None:
        self.admissions.abandon(StalledError())

    # Common parts ---------------------------------------------------------------

    def write(self, record: Record | None) -> None:
        """Append *record*, if there is one, to the file of records."""
        if record is not None and self._records is not None:
            self._records.write(records.to_line(record))

    def _key(self, request: Request) -> bytes | None:
        if request.dont_filter or self._own_filter is not None:
            return None
        return self._crawler.request_fingerprinter.fingerprint(request)

    def _entry(
        self, request: Request, payload: bytes, key: bytes | None
    ) -> Entry | None:
        """Return what to push, or None if the project's own filter knows it."""
        if not request.dont_filter and self._was_seen(request):
            assert self._own_filter is not None
            assert self._crawler.spider is not None
            self._own_filter.log(request, self._crawler.spider)
            return None
        return Entry(
            key=key,
            group=self.group_of(request),
            priority=request.priority,
            is_start=self._has_start_queue
            and bool(request.meta.get("is_start_request")),
            payload=payload,
        )

    def _note_dropped(self, request: Request) -> None:
        """Say that *request* was a duplicate, of which the engine knows nothing."""
        self._note_duplicate(request)
        self._crawler.signals.send_catch_log(
            signals.request_dropped, request=request, spider=self._crawler.spider
        )

    def _note_duplicate(self, request: Request) -> None:
        assert self._crawler.spider is not None
        self._filter_log.log(request, self._crawler.spider)

    def _count(self, stat: str, count: int = 1) -> None:
        self._stats.inc_value(stat, count)
        self._stats.inc_value(f"{stat}/memory", count)

    def ready_in_s(self) -> float | None:
        """Return the seconds until time alone lets a waiting request start, or None."""
        return self._frontier.ready_in_s()

    def busiest(self, most: int) -> tuple[list[GroupState], int]:
        """Return the busiest groups, and how many more have requests that wait."""
        return self._frontier.busiest(most)

    def group_of(self, request: Request) -> str:
        """Return the group of hosts whose limits *request* shares."""
        return self.politeness.group_of(request.url, slot_of(request))

    def lease_of(self, request: Request) -> Lease | None:
        """Return the lease of *request*, or None if it has none."""
        return self._leases.get(request)

    def lease_id_of(self, request: Request) -> int | None:
        """Return the lease id of a request that was lent, else None."""
        lease = self._leases.get(request)
        return None if lease is None else lease.lease_id

    def _robots_parsed(self, robotparser: RobotParser, request: Request) -> None:
        agent = robots_agent(request, self._crawler.settings)
        delay_s = delay_of(robotparser, agent)
        if delay_s:
            self.slow_down(self.group_of(request), delay_s)

    def slow_down(self, group: str, delay_s: float) -> None:
        """Keep at least *delay_s* between two requests of *group*."""
        self._slowed.add(group)
        self._frontier.slow_down(group, delay_s)

    def change_limits(self, group: str, slot: str, written: Written) -> None:
        """Keep what was written to a slot of *group*, here or by a worker."""
        was_free = self._asks() is not None and not self.politeness.needs_asking(group)
        limits = self.politeness.write(group, slot, written)
        self._frontier.change_limits(group, limits, was_free=was_free)
        self.admissions.pump_all()
        wake(self._crawler.engine)

    def entered(self, group: str, lease: Lease | None) -> bool:
        """Note that a request of *group* was admitted.

        Args:
            group: The group that its limits are of.
            lease: Its lease, if it has one. A middleware may have chosen another group
                since it was leased.

        Returns:
            Whether time must pass until the next, so that it matters when it is sent.
        """
        is_paced = group in self._slowed or self.politeness.is_paced(group)
        is_moved = lease is not None and lease.group != group
        if is_paced or is_moved or self.politeness.is_throttled:
            wake(self._crawler.engine)  # the next may be lent, and wait for its time
        return is_paced

    def _wake_in_time(self) -> None:
        """Have the engine ask again when a delay is over."""
        if self._timer is not None:
            return
        wait_s = self._frontier.ready_in_s()
        if wait_s:
            self._timer = call_later(wait_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        wake(self._crawler.engine)


class Backlog:
    """Has the length of a queue where Scrapy's scheduler has the queue itself."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def __len__(self) -> int:
        """Return how many requests wait."""
        return self._count()


class LocalGate(RequestGate):
    """The gate of the process that has the frontier.

    Attributes:
        inside: Requests that have entered and not left, and their groups.
        waiting: Requests that wait to enter.
    """

    def __init__(self, scheduler: FrontierScheduler) -> None:
        self._scheduler = scheduler
        self.inside: dict[Request, str] = {}
        self.waiting: set[Request] = set()

    @override
    async def enter(self, request: Request) -> bool:
        scheduler = self._scheduler
        group, lease = scheduler.group_of(request), scheduler.lease_of(request)
        lease_id = None if lease is None else lease.lease_id
        self.waiting.add(request)
        try:
            await scheduler.admissions.enter(group, lease_id)
        finally:
            self.waiting.discard(request)
        self.inside[request] = group
        return scheduler.entered(group, lease)

    @override
    def sent(self, request: Request, at_s: float) -> None:
        scheduler = self._scheduler
        scheduler.admissions.sent(
            self.inside[request], scheduler.lease_id_of(request), at_s
        )

    @override
    def leave(self, request: Request, visit: FetchResult) -> None:
        scheduler = self._scheduler
        group = self.inside.pop(request)
        scheduler.admissions.leave(group, scheduler.lease_id_of(request), visit)


def newest_first(settings: BaseSettings) -> bool:
    """Return whether the newest request of a priority leaves first, as by default."""
    return "Fifo" not in str(settings["SCHEDULER_MEMORY_QUEUE"])
