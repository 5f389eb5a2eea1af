"""The one place that reads a running crawl, whichever way it runs."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.extensions.feedexport import FeedExporter

from concurcrawl import registry
from concurcrawl.compat.engine import in_progress, is_closing, is_starting
from concurcrawl.monitor.activity import doing, doing_of
from concurcrawl.monitor.snapshot import Feed, Worker
from concurcrawl.terminal.arguments import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import GroupState
    from concurcrawl.monitor.activity import ActivityReports
    from concurcrawl.monitor.snapshot import Doing
    from concurcrawl.tracing.meter import FailingUrl, SlowUrl

#: Requests of each worker that are shown.
_SHOWN = 8


class CrawlView:
    """Reads a crawl of one process, a supervisor, a node or plain Scrapy.

    Nothing here changes the crawl, and nothing runs unless it is called.
    """

    def __init__(self, crawler: Crawler, reports: ActivityReports) -> None:
        """Make one.

        Args:
            crawler: The crawl.
            reports: Has what workers say.
        """
        self._crawler = crawler
        self._reports = reports
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
    def node(self) -> str:
        """The name of this node of a distributed crawl."""
        return str(self._frontier.node)

    @property
    def records(self) -> str:
        """The file of ``CONCURCRAWL_RECORDS``, wherever it is read from; or empty."""
        found = self._crawler.settings.get("CONCURCRAWL_RECORDS")
        return str(Path(found).absolute()) if found else ""

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
        frontier = self._frontier
        if frontier is None or (self.is_closing and not self.leased):
            return [], 0  # Scrapy's own has none, and a closed one cannot be read
        return frontier.busiest(most)  # type: ignore[no-any-return]

    def processes(self) -> dict[int, str]:
        """Return the names of the crawl's processes on this machine by their ids."""
        if self._pool is None:
            return {os.getpid(): "main"}
        workers = {
            one.local_pid: one.name
            for one in self._pool.workers
            if one.local_pid is not None
        }
        return {os.getpid(): "supervisor", **workers}

    def workers(self) -> tuple[Worker, ...]:
        """Return what each worker does; the only process is one, too."""
        if self._pool is None:
            return (self._main(),)
        return tuple(map(self._worker, self._pool.workers))

    def urls(self) -> tuple[tuple[SlowUrl, ...], tuple[FailingUrl, ...]]:
        """Return the slowest URLs, and those that failed last."""
        return self._reports.urls()

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
    def _app(self) -> Any:
        """The parts of the crawl here; None without a mode."""
        return registry.look_for(self._crawler)

    @property
    def _frontier(self) -> Any:
        storage = getattr(self._app, "storage", self._app)
        return getattr(storage, "frontier", None)

    @property
    def _pool(self) -> Any:
        return getattr(self._app, "pool", None)

    def _main(self) -> Worker:
        settings, in_flight = self._crawler.settings, self.leased
        dequeued = int(self.stats.get("scheduler/dequeued", 0))
        return Worker(
            name="main",
            host=self._host,
            pid=os.getpid(),
            state="busy" if in_flight else "idle",
            in_flight=in_flight,
            slots=settings.getint("CONCURRENT_REQUESTS"),
            done=max(0, dequeued - in_flight),
            doing=doing_of(self._crawler),
        )

    def _worker(self, worker: Any) -> Worker:
        silent_s = self._reports.silent_s(worker.name) if worker.held else 0.0
        return Worker(
            name=worker.name,
            host=getattr(worker.connection, "host", self._host),
            pid=worker.pid,
            state="blocked" if silent_s else _state_of(worker),
            in_flight=worker.in_flight or 0,
            slots=worker.slots,
            done=max(0, worker.leased - len(worker.held)),
            doing=self._reports.doing(worker.name) or self._held(worker),
            silent_s=silent_s,
        )

    def _held(self, worker: Any) -> tuple[Doing, ...]:
        """Return the requests that *worker* was given, if it has not said more."""
        leases = {id(held.lease) for held in [*worker.held.values()]}
        requests = self._app.queue.leased_by(leases) if leases else []
        return tuple(doing(one, "held") for one in requests[:_SHOWN])


def _state_of(worker: Any) -> str:
    if worker.pid is None:
        return "starting"
    if worker.is_retiring:
        return "retiring"
    if worker.is_standby:
        return "standby"
    return "busy" if worker.held else "idle"


def _size_bytes(slot: Any) -> int:
    """Return how much is written to the file of a feed, as far as it tells."""
    file: Any = getattr(slot, "file", None)
    file = getattr(file, "file", file)  # below what compresses it
    with suppress(OSError, ValueError, AttributeError):
        return int(file.tell())
    return 0
