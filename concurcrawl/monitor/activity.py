"""What the requests of a process are in, and how workers say it to their supervisor.

Workers say it by a signal: it reaches the supervisor only while that listens, which it
does only while a page is open.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.exceptions import NotConfigured

from concurcrawl import registry
from concurcrawl.compat import components
from concurcrawl.compat.engine import in_progress
from concurcrawl.monitor.snapshot import Doing
from concurcrawl.tracing.meter import FailingUrl, SlowUrl, meter_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

#: The signal. A text: equal texts are the same signal in every process.
ACTIVITY = "concurcrawl.monitor.activity"

#: Seconds between two reports of a worker.
_INTERVAL_S = 1.0
#: Seconds without a report after which a worker counts as blocked.
_SILENT_S = 5.0
#: Requests of a process that are told, and characters of their URLs.
_TOLD = 8
_LONGEST = 300
#: URLs that are shown of all processes.
_SHOWN = 20
#: Processes whose URLs are remembered.
_REMEMBERED = 100


def doing_of(crawler: Crawler) -> tuple[Doing, ...]:
    """Return what the requests in progress in this process are in.

    At most eight, those in callbacks first.
    """
    engine = crawler.engine
    scraped = engine.scraper.slot.active if engine.scraper.slot else ()
    app = registry.look_for(crawler)  # there is none without a mode
    waiting: Iterable[Request] = () if app is None else app.limiter.waiting

    def phase(request: Request) -> str:
        if request in scraped:
            return "callback"
        return "waits" if request in waiting else "downloads"

    found = [doing(request, phase(request)) for request in in_progress(engine)]
    return tuple(sorted(found, key=lambda one: one.phase)[:_TOLD])


def doing(request: Request, phase: str) -> Doing:
    """Return *request* as one that is in *phase*."""
    callback = request.callback
    name = getattr(callback, "__name__", None) or str(callback or "parse")
    return Doing(request.url[:_LONGEST], phase, name)


def enable(settings: BaseSettings, rank: str) -> None:
    """Have workers report, if there are any."""
    # A middleware without a method that costs each page something: workers have no
    # extensions.
    where = {ActivityReporter: 10_002}
    components.add(settings, "DOWNLOADER_MIDDLEWARES", where, rank)


class ActivityReporter:
    """Says once a second, in a worker, what that does. It is a downloader middleware.

    A callback that blocks its worker keeps it from reporting, which tells as much.
    """

    def __init__(self, crawler: Crawler) -> None:
        if crawler.settings.getdict("EXTENSIONS"):
            raise NotConfigured  # no worker: the monitor of this process sees itself
        self._crawler = crawler
        self._task: asyncio.Task[None] | None = None
        crawler.signals.connect(self._start, signals.spider_opened)
        crawler.signals.connect(self._stop, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            meter = meter_of(self._crawler)
            app: Any = registry.find(self._crawler)
            self._crawler.signals.send_catch_log(
                ACTIVITY,
                worker=app.name,
                doing=[(one.url, one.phase, one.callback) for one in self._doing()],
                slowest=[] if meter is None else [tuple(one) for one in meter.slowest],
                failing=[] if meter is None else [tuple(one) for one in meter.failing],
            )

    def _doing(self) -> tuple[Doing, ...]:
        return doing_of(self._crawler)


@dataclass(slots=True)
class _Report:
    """What one process said last, and when by the monotonic clock."""

    at_s: float
    doing: tuple[Doing, ...]
    slowest: tuple[SlowUrl, ...]
    failing: tuple[FailingUrl, ...]


class ActivityReports:
    """What workers said last. Memory is bounded."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._last: dict[str, _Report] = {}  # by worker
        self._since_s: float | None = None

    def listen(self, *, is_on: bool) -> None:
        """Have workers report, or no longer."""
        if is_on == (self._since_s is not None):
            return
        self._since_s = time.monotonic() if is_on else None
        change = self._crawler.signals.connect
        if not is_on:
            change = self._crawler.signals.disconnect
        change(self._hear, ACTIVITY)

    def _hear(
        self,
        worker: str,
        doing: list[tuple[str, str, str]],
        slowest: list[Any],
        failing: list[Any],
    ) -> None:
        self._last.pop(worker, None)
        self._last[worker] = _Report(
            time.monotonic(),
            tuple(Doing(*one) for one in doing),
            tuple(SlowUrl(*one) for one in slowest),
            tuple(FailingUrl(*one) for one in failing),
        )
        if len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]

    def doing(self, worker: str) -> tuple[Doing, ...]:
        """Return what *worker* does; nothing if it has not said that lately."""
        last = self._last.get(worker)
        is_known = last is not None and not self.silent_s(worker)
        return last.doing if last is not None and is_known else ()

    def silent_s(self, worker: str) -> float:
        """Return for how long *worker* has been too busy to report; 0 if not."""
        if self._since_s is None:
            return 0.0
        last = self._last.get(worker)
        heard_s = self._since_s if last is None else max(self._since_s, last.at_s)
        silent_s = time.monotonic() - heard_s
        return silent_s if silent_s > _SILENT_S else 0.0

    def urls(self) -> tuple[tuple[SlowUrl, ...], tuple[FailingUrl, ...]]:
        """Return the slowest and the failing URLs of all processes."""
        here = meter_of(self._crawler)
        slow = [*here.slowest] if here is not None else []
        failing = [*here.failing] if here is not None else []
        for report in self._last.values():
            slow += report.slowest
            failing += report.failing
        newest = heapq.nlargest(_SHOWN, failing, key=lambda one: one.at_s)
        return tuple(heapq.nlargest(_SHOWN, slow)), tuple(newest)
