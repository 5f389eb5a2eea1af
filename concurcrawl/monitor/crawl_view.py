"""The one place that reads a running crawl, whichever way it runs."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scrapy.extensions.feedexport import FeedExporter

from concurcrawl.compat.engine import in_progress, is_closing, is_starting
from concurcrawl.monitor.snapshot import Doing, Feed, Worker
from concurcrawl.terminal.arguments import masked
from concurcrawl.tracing.meter import meter_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import GroupState
    from concurcrawl.tracing.meter import FailingUrl, SlowUrl

#: Requests of each worker that are shown, and characters of their URLs.
_SHOWN = 8
_LONGEST = 300


class CrawlView:
    """Reads a crawl of one process, a supervisor, a node or plain Scrapy.

    Nothing here changes the crawl, and nothing runs unless it is called.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._host = socket.gethostname()

    @property
    def spider(self) -> str:
        """The spider's name."""
        return str(self._crawler.spidercls.name)

    @property
    def mode(self) -> str:
        """The mode, or empty."""
        settings = self._crawler.settings
        return str(settings.get("CONCURCRAWL_MODE", settings.get("MODE")) or "")

    @property
    def job(self) -> str:
        """The ``JOBDIR`` or the job in Redis; empty for neither."""
        settings = self._crawler.settings
        if settings.get("CONCURCRAWL_FRONTIER_URL"):
            return str(settings.get("CONCURCRAWL_FRONTIER_JOB") or self.spider)
        return str(settings["JOBDIR"] or "")

    @property
    def stats(self) -> Mapping[str, Any]:
        """Scrapy's stats, of all processes."""
        return self._crawler.stats.get_stats()

    @property
    def is_paused(self) -> bool:
        """Whether the engine is paused."""
        return self._crawler.engine.paused

    @property
    def is_closing(self) -> bool:
        """Whether the crawl was told to end."""
        engine = self._crawler.engine
        return engine.spider is None or is_closing(engine)

    @property
    def is_starting(self) -> bool:
        """Whether ``Spider.start()`` may still yield something."""
        return is_starting(self._crawler.engine)

    @property
    def waiting(self) -> int | None:
        """How many requests wait; None if the scheduler does not say."""
        try:
            return len(self._scheduler)
        except TypeError:  # a scheduler need not
            return None

    @property
    def leased(self) -> int:
        """How many requests are in progress here."""
        return len(in_progress(self._crawler.engine))

    @property
    def restarts(self) -> int:
        """How many workers died and were replaced."""
        return 0 if self._pool is None else self._pool.restarts

    def groups(self, most: int) -> tuple[list[GroupState], int]:
        """Return the busiest groups, and how many more have requests that wait."""
        busiest = getattr(self._scheduler, "busiest", None)
        if busiest is None or (self.is_closing and not self.leased):
            return [], 0  # Scrapy's own has none, and a closed one cannot be read
        return busiest(most)  # type: ignore[no-any-return]

    def processes(self) -> dict[int, str]:
        """Return the names of the crawl's processes by their ids."""
        if self._pool is None:
            return {os.getpid(): "main"}
        workers = {one.pid: one.name for one in self._pool.workers if one.pid}
        return {os.getpid(): "supervisor", **workers}

    async def workers(self) -> tuple[Worker, ...]:
        """Return what each worker does; the only process is one, too."""
        if self._pool is None:
            return (self._main(),)
        return tuple(map(self._worker, self._pool.workers))

    def urls(self) -> tuple[tuple[SlowUrl, ...], tuple[FailingUrl, ...]]:
        """Return the slowest URLs, and those that failed last."""
        meter = meter_of(self._crawler)
        return ((), ()) if meter is None else (meter.slowest, meter.failing)

    def feeds(self) -> tuple[Feed, ...]:
        """Return the feeds that are being written."""
        extensions = self._crawler.extensions
        exporters = [
            one
            for one in (() if extensions is None else extensions.middlewares)
            if isinstance(one, FeedExporter)
        ]
        return tuple(
            Feed(masked(str(slot.uri)), slot.itemcount, _size_bytes(slot))
            for exporter in exporters
            for slot in exporter.slots
        )

    # ---------------------------------------------------------------------------------

    @property
    def _scheduler(self) -> Any:
        return self._crawler.engine.scheduler

    @property
    def _pool(self) -> Any:
        return getattr(self._crawler.engine.downloader, "pool", None)

    def _main(self) -> Worker:
        engine = self._crawler.engine
        doing = self._phases(in_progress(engine))
        slots = self._crawler.settings.getint("CONCURRENT_REQUESTS")
        dequeued = int(self.stats.get("scheduler/dequeued", 0))
        return Worker(
            name="main",
            host=self._host,
            pid=os.getpid(),
            state="busy" if doing else "idle",
            in_flight=len(doing),
            slots=slots,
            done=max(0, dequeued - len(doing)),
            doing=doing[:_SHOWN],
        )

    def _phases(self, requests: Iterable[Request]) -> tuple[Doing, ...]:
        engine = self._crawler.engine
        scraped = engine.scraper.slot.active if engine.scraper.slot else ()
        gate = getattr(self._scheduler, "gate", None)
        waiting = () if gate is None else gate.waiting

        def phase(request: Request) -> str:
            if request in scraped:
                return "callback"
            return "waits" if request in waiting else "downloads"

        found = [_doing(request, phase(request)) for request in requests]
        return tuple(sorted(found, key=lambda one: one.phase))

    def _worker(self, worker: Any) -> Worker:
        leases = {id(held.lease) for held in [*worker.held.values()]}
        requests = self._scheduler.leased_by(leases) if leases else []
        return Worker(
            name=worker.name,
            host=getattr(worker, "host", "") or self._host,
            pid=worker.pid,
            state=_state_of(worker),
            in_flight=worker.in_flight or 0,
            slots=worker.slots,
            done=max(0, worker.leased - len(worker.held)),
            doing=tuple(_doing(one, "held") for one in requests[:_SHOWN]),
        )


def _state_of(worker: Any) -> str:
    if worker.pid is None:
        return "starting"
    if worker.is_retiring:
        return "retiring"
    if worker.is_standby:
        return "standby"
    return "busy" if worker.held else "idle"


def _doing(request: Request, phase: str) -> Doing:
    callback = request.callback
    name = getattr(callback, "__name__", None) or str(callback or "parse")
    return Doing(request.url[:_LONGEST], phase, name)


def _size_bytes(slot: Any) -> int:
    """Return how much is written to the file of a feed, as far as it tells."""
    file: Any = getattr(slot, "file", None)
    file = getattr(file, "file", file)  # below what compresses it
    with suppress(OSError, ValueError, AttributeError):
        return int(file.tell())
    return 0
