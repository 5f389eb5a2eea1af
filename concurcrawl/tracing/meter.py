"""Latencies, CPU of callbacks and failures, counted in the process that sees them.

The middlewares of this module are enabled only while a crawl is monitored
(``CONCURCRAWL_METRICS``, ``CONCURCRAWL_DASHBOARD``). What is summed up goes into stats,
which are merged over all processes anyway; URLs stay here until they are asked for.
"""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from weakref import WeakKeyDictionary

from concurcrawl.compat import components

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from scrapy.crawler import Crawler
    from scrapy.http import Request, Response
    from scrapy.settings import BaseSettings
    from scrapy.statscollectors import StatsCollector

#: Stats with the histogram of latencies and with the CPU seconds of callbacks.
LATENCY = "concurcrawl/latency_s"
CALLBACK_CPU = "concurcrawl/callback_cpu_s"

#: Upper bounds of the histogram of latencies, in seconds.
BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: Stat of each bucket: of what is at most as high as its bound, and of the rest.
_BUCKETS = tuple(f"{LATENCY}/le_{bound_s:g}" for bound_s in (*BOUNDS_S, float("inf")))

#: URLs that are kept.
_KEPT = 20
#: Characters of a URL or of a reason that are kept.
_LONGEST = 500

#: A request that was not made, such as one that robots.txt forbids, did not fail.
_IGNORED = "IgnoreRequest"

#: Whether latencies and the CPU of callbacks are counted in stats.
_COUNTS = "CONCURCRAWL_COUNTS_LATENCY"


class SlowUrl(NamedTuple):
    """A request that took long.

    Attributes:
        latency_s: Seconds to its first byte.
        status: HTTP status.
        url: Its URL, cut after 500 characters.
    """

    latency_s: float
    status: int
    url: str


class FailingUrl(NamedTuple):
    """A URL whose requests failed.

    Attributes:
        url: It, cut after 500 characters.
        reason: The last status from 400 on, or the last exception.
        times: How often it failed.
        at_s: When it failed last, in seconds since the epoch.
    """

    url: str
    reason: str
    times: int
    at_s: float


class Meter:
    """What one process notes of its requests. Memory is bounded.

    Invariant: at most 20 slow and 20 failing URLs are kept.
    """

    def __init__(self, stats: StatsCollector, *, counts: bool) -> None:
        """Make one.

        Args:
            stats: Of the crawl.
            counts: Whether latencies are counted there.
        """
        self._stats = stats
        self._counts = counts
        self._slow: list[SlowUrl] = []  # a heap, the quickest first
        self._failing: dict[str, FailingUrl] = {}  # the oldest first

    def answered(self, url: str, status: int, latency_s: float | None) -> None:
        """Note a response."""
        if status >= 400:
            self.failed(url, f"status {status}")
        if latency_s is None:
            return
        if self._counts:
            self._stats.inc_value(_BUCKETS[bisect_left(BOUNDS_S, latency_s)])
            self._stats.inc_value(f"{LATENCY}/sum", latency_s)  # type: ignore[arg-type] # it adds up
        if len(self._slow) < _KEPT:
            heapq.heappush(self._slow, SlowUrl(latency_s, status, url[:_LONGEST]))
        elif latency_s > self._slow[0].latency_s:
            heapq.heapreplace(self._slow, SlowUrl(latency_s, status, url[:_LONGEST]))

    def failed(self, url: str, reason: str) -> None:
        """Note a failure."""
        url = url[:_LONGEST]
        before = self._failing.pop(url, None)
        times = 1 if before is None else before.times + 1
        self._failing[url] = FailingUrl(url, reason[:_LONGEST], times, time.time())
        if len(self._failing) > _KEPT:
            del self._failing[next(iter(self._failing))]

    def spent(self, cpu_s: float) -> None:
        """Note CPU seconds of a callback."""
        self._stats.inc_value(CALLBACK_CPU, cpu_s)  # type: ignore[arg-type] # it adds up

    @property
    def slowest(self) -> tuple[SlowUrl, ...]:
        """The slowest requests, the slowest first."""
        return tuple(sorted(self._slow, reverse=True))

    @property
    def failing(self) -> tuple[FailingUrl, ...]:
        """The URLs that failed last, the newest first."""
        return tuple(reversed(self._failing.values()))


_meters: WeakKeyDictionary[Crawler, Meter] = WeakKeyDictionary()


def meter_of(crawler: Crawler) -> Meter | None:
    """Return the meter of *crawler* in this process; None if nothing is measured."""
    return _meters.get(crawler)


def _meter(crawler: Crawler) -> Meter:
    if crawler not in _meters:
        counts = crawler.settings.getbool(_COUNTS)
        _meters[crawler] = Meter(crawler.stats, counts=counts)
    return _meters[crawler]


def enable(settings: BaseSettings, rank: str, *, counts: bool) -> None:
    """Add the middlewares that measure to *settings*.

    Args:
        settings: Of the crawl.
        rank: The priority to set them with.
        counts: Whether latencies and the CPU of callbacks are counted in stats.
    """
    settings.set(_COUNTS, counts, rank)
    near_downloader = {DownloadMeter: 10_001}
    components.add(settings, "DOWNLOADER_MIDDLEWARES", near_downloader, rank)
    if counts:
        near_spider = {CallbackMeter: 10_001}
        components.add(settings, "SPIDER_MIDDLEWARES", near_spider, rank)


class DownloadMeter:
    """Downloader middleware: notes how long requests took and which failed."""

    def __init__(self, crawler: Crawler) -> None:
        self._meter = _meter(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        """Note what came."""
        latency_s = request.meta.get("download_latency")
        self._meter.answered(request.url, response.status, latency_s)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Note why nothing came."""
        name = type(exception).__name__
        if name != _IGNORED:
            self._meter.failed(request.url, f"{name}: {exception}".rstrip(": "))


class CallbackMeter:
    """Spider middleware: CPU seconds of callbacks, as in records.

    A callback that returns a list instead of yielding has run before, and is not
    counted.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._meter = _meter(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def process_spider_output(
        self, response: Response, result: Iterable[Any]
    ) -> Iterator[Any]:
        """Pass the output on and count its cost."""
        outputs, spent_s = iter(result), 0.0
        try:
            while True:
                started_s = time.thread_time()
                try:
                    output = next(outputs)
                except StopIteration:
                    return
                finally:
                    spent_s += time.thread_time() - started_s
                yield output
        finally:
            self._meter.spent(spent_s)

    async def process_spider_output_async(
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        """Pass the output on and count its cost."""
        outputs, spent_s = aiter(result), 0.0
        try:
            while True:
                started_s = time.thread_time()
                try:
                    output = await anext(outputs)
                except StopAsyncIteration:
                    return
                finally:
                    spent_s += time.thread_time() - started_s
                yield output
        finally:
            self._meter.spent(spent_s)
