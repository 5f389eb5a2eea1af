"""The composition root of a worker process: what it is made of, and who knows whom."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scrapy import signals

from concurcrawl import registry
from concurcrawl.compat.log_lines import leave_out_scraped
from concurcrawl.config import Config
from concurcrawl.workers import children
from concurcrawl.workers.protocol.cookies import SharedCookies
from concurcrawl.workers.protocol.messages.leases import Dispatch, Recall
from concurcrawl.workers.protocol.messages.lifecycle import (
    Drain,
    FileOpened,
    Inspect,
    Pause,
    Ping,
    Ready,
    Stop,
)
from concurcrawl.workers.protocol.messages.limits import SlotChanged, Throttled
from concurcrawl.workers.protocol.messages.questions import Answer
from concurcrawl.workers.protocol.messages.signals import Subscribe
from concurcrawl.workers.protocol.messages.state import (
    ChangeState,
    SetAttributes,
    SetCookies,
    SetState,
    SetStats,
)
from concurcrawl.workers.protocol.pickle_codec import IS_DURABLE, codec_of
from concurcrawl.workers.worker.attributes import set_attributes
from concurcrawl.workers.worker.claims import LocalClaims
from concurcrawl.workers.worker.connection import Connection, MessageDispatcher
from concurcrawl.workers.worker.control import EngineControl
from concurcrawl.workers.worker.finishing import Finisher
from concurcrawl.workers.worker.leases import Leases
from concurcrawl.workers.worker.limiter import WorkerLimiter
from concurcrawl.workers.worker.local import LocalRequests
from concurcrawl.workers.worker.logs import ForwardedLog, keep_rows_clean
from concurcrawl.workers.worker.outbox import PART_BYTES, Outbox
from concurcrawl.workers.worker.products import Products
from concurcrawl.workers.worker.reports import Reports
from concurcrawl.workers.worker.state import SharedState
from concurcrawl.workers.worker.totals import Totals
from concurcrawl.workers.worker.work import WorkInProgress

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from concurcrawl.compat.stats_collector import MergingStatsCollector
    from concurcrawl.workers.worker.crawler import WorkerCrawler
    from concurcrawl.workers.worker.exclusive import DbmFiles


class WorkerApp:
    """All parts of a worker.

    Scrapy makes the engine, the scheduler, the item processor and the signal manager;
    they find the app as ``crawler.app``. It is made when spider, engine and stats are
    there, connected before the spider opens, and started when the engine asks for its
    first request.

    Attributes:
        codec: Encodes requests and items; knows this process's spider and engine.
        connection: Sends messages to the supervisor.
        work: The requests in progress.
        outbox: Their results.
        products: Sends items and requests.
        leases: The requests that the supervisor has dispatched.
        claims: Requests that stay here.
        limiter: Asks before requests start.
        reports: Reports signals.
        state: ``spider.state``.
        finisher: Ends requests.
        control: Pauses and stops the engine.
        is_started: Whether messages are read.
    """

    def __init__(
        self, name: str, sock: socket.socket, files: DbmFiles, crawler: WorkerCrawler
    ) -> None:
        """Make all parts; nothing is sent or read yet. The event loop runs.

        Args:
            name: The worker's name in the log.
            sock: Connected to the supervisor.
            files: The dbm files that this process opens.
            crawler: Has a spider and an engine.
        """
        settings, spider = crawler.settings, crawler.spider
        assert spider is not None
        collector: MergingStatsCollector = crawler.stats  # type: ignore[assignment]
        self.name = name
        self.is_started = False
        self._crawler = crawler
        registry.register(crawler, self)
        self._collector = collector
        self._files = files
        self.codec = codec = codec_of(crawler)
        self.connection = connection = Connection(sock)
        self.work = work = WorkInProgress()
        self._cookies = SharedCookies(crawler)
        self._totals = Totals(collector, work.stats, connection.exchange)
        self.outbox = outbox = Outbox(connection, work, self._cookies, self._totals)
        self._local = local = LocalRequests(
            connection.send,
            outbox.send,
            PART_BYTES,
            is_durable=settings.getbool(IS_DURABLE),
        )
        fingerprinter = crawler.request_fingerprinter
        assert fingerprinter is not None
        self.products = Products(codec, outbox, fingerprinter)
        self.leases = Leases(
            *(connection, outbox, work, local, codec),
            keeps_records=bool(settings["CONCURCRAWL_RECORDS"])
            or settings.getbool("CONCURCRAWL_OTEL"),
        )
        self.limiter = WorkerLimiter(connection, self.leases, work, settings)
        self.reports = Reports(crawler, codec, outbox.here, work.is_leased)
        self.state = SharedState(spider, settings, outbox.add_change)
        self.finisher = Finisher(name, work, outbox, local, self.reports, self.state)
        self._log = ForwardedLog(outbox.log, codec.encode)
        self.control = EngineControl(
            crawler, connection, self.leases, self.products, self._log
        )
        self.claims = LocalClaims(
            connection, outbox, local, codec, fingerprinter, self.control.wake
        )

    def holds_back(self) -> bool:
        """Return False: requests are held back in the supervisor."""
        return False

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """Return what handles each message of the supervisor."""
        return {
            Answer: self.connection.on_answer,
            ChangeState: self.state.on_change,
            Dispatch: self.leases.on_dispatch,
            Drain: lambda _: self._local.close(),
            Inspect: self.control.on_inspect,
            Pause: self.control.on_pause,
            Ping: self.control.on_ping,
            Recall: self.limiter.on_recall,
            SetAttributes: self._on_attributes,
            SetCookies: lambda message: self._cookies.apply(message.changes),
            SetState: self.state.on_set,
            SetStats: self._totals.on_set,
            SlotChanged: self.limiter.on_slot_changed,
            Stop: self.control.on_stop,
            Subscribe: self.reports.on_subscribe,
            Throttled: self.limiter.on_throttled,
        }

    async def connect(self) -> None:
        """Connect to the supervisor; the spider opens next."""
        self._crawler.signals.connect(
            self.limiter.on_robots_parsed, signals.robots_parsed
        )
        if Config.from_settings(self._crawler.settings).progress:
            keep_rows_clean()
        # Items are logged as scraped where their pipelines run.
        leave_out_scraped(self._crawler)
        await self.connection.open(
            MessageDispatcher(
                self.connection, self.handlers(), self._on_batch, self._on_lost
            )
        )
        self._log.open()

    def report_ready(self) -> None:
        """Report that the spider is open, and which files that only one can have."""
        self.connection.send(Ready(os.getpid()))
        self._files.report_to(lambda path: self.connection.send(FileOpened(path)))

    def start(self) -> None:
        """Begin to read messages and to report stats, signals and log lines.

        Not before the engine asks for requests: while a spider opens, the supervisor's
        does the same, and what both would report would count twice.
        """
        self.is_started = True
        self.connection.start_reading()
        self._collector.written = self.outbox.write_stat
        self._totals.start()
        self.reports.start()
        self._log.start(self._crawler.settings["LOG_LEVEL"])

    def _on_attributes(self, message: SetAttributes) -> None:
        assert self._crawler.spider is not None
        set_attributes(self._crawler.spider, self.codec.decode(message.changes))

    def _on_batch(self) -> None:
        """Act on the messages that arrived together."""
        self.control.return_if_paused()
        self.limiter.report_if_recalled()
        self.control.wake()

    def _on_lost(self) -> None:
        if not self.control.is_stopping:
            children.end_now()  # the supervisor is gone
