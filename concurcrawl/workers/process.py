"""A worker: a crawler process that does what it is lent and reports what came of it.

It is a whole Scrapy crawler with three parts exchanged: its requests come from the
supervisor, its items and new requests go there, and signals about them are sent there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import sys
import threading
import traceback
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import multiprocess
from scrapy import signals
from scrapy.core.engine import ExecutionEngine
from scrapy.core.scheduler import BaseScheduler
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.pipelines import ItemPipelineManager
from scrapy.settings import Settings
from scrapy.signalmanager import SignalManager
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.misc import build_from_crawler, load_object

from concurcrawl import stats, timeline
from concurcrawl.errors import NotShippableError
from concurcrawl.workers import wire
from concurcrawl.workers.cookies import SharedCookies
from concurcrawl.workers.launch import leave_signals_to_supervisor
from concurcrawl.workers.wire import (
    Codec,
    Event,
    Failed,
    Frames,
    Head,
    Job,
    Lend,
    Listen,
    LogLine,
    Outcome,
    Product,
    Ready,
    SetCookies,
    Stop,
    frame,
    residents,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from scrapy import Request
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

    from concurcrawl.stats import MergingStatsCollector
    from concurcrawl.workers.wire import ToSupervisor

logger = logging.getLogger(__name__)

#: How long a log line or a stat without a request may wait for company.
_LINGER_S = 0.1

#: What the request at hand comes to. Each request runs in a context of its own, so
#: what its callback does, however it is scheduled, finds the right one.
_outcome: ContextVar[Outcome | None] = ContextVar("outcome", default=None)

#: Signals that the supervisor sends when it is told of them.
_REPLAYED = {
    getattr(signals, name): name
    for name in (
        "request_reached_downloader",
        "request_left_downloader",
        "response_downloaded",
        "response_received",
        "spider_error",
    )
}

#: Signals about what only the supervisor does.
_SUPERVISORS = {
    signals.request_scheduled,
    signals.request_dropped,
    signals.item_scraped,
    signals.item_dropped,
    signals.item_error,
    signals.spider_idle,
    signals.scheduler_empty,
}


def serve(sock: socket.socket) -> None:
    """Be a worker until the supervisor says stop or is gone.

    Args:
        sock: Connected to the supervisor, which sends a :class:`Job` first.
    """
    leave_signals_to_supervisor()
    threading.Thread(target=_die_with_parent, daemon=True, name="lifeline").start()
    job = _first_message(sock)
    if job is None:
        return
    sys.path[:] = job.sys_path
    try:
        _run(job, sock)
    except Exception:  # noqa: BLE001 - the border of the process
        sock.setblocking(True)
        sock.sendall(frame(Failed(traceback.format_exc())))
    finally:
        sock.close()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # what was registered to run at exit is the supervisor's


def _die_with_parent() -> None:
    """End at once when the process that started us is gone, whatever we are doing."""
    parent = multiprocess.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _first_message(sock: socket.socket) -> Job | None:
    header = _read(sock, 8)
    if header is None:
        return None
    body = _read(sock, struct.unpack("!Q", header)[0])
    if body is None:
        return None
    (job,) = Frames().feed(header + body)
    assert isinstance(job, Job)
    return job


def _read(sock: socket.socket, size: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = sock.recv(size - len(chunks))
        if not chunk:
            return None
        chunks += chunk
    return bytes(chunks)


def _run(job: Job, sock: socket.socket) -> None:
    crawl = Codec().decode(job.crawl)
    settings = Settings()
    for name, (value, priority) in crawl.settings.items():
        settings.set(name, value, priority)
    settings.set("CONCURRENT_REQUESTS", job.slots, 1 << 10)
    # Our lines go to the supervisor, which has the handlers that the user asked for.
    # Until we are connected nothing is logged: the supervisor has said it all by then.
    logging.root.handlers[:] = [logging.NullHandler()]
    process = AsyncCrawlerProcess(settings)
    desk = Desk(job.name, sock)
    crawler = WorkerCrawler(crawl.spidercls, settings, desk)
    crawler.addons.addons += [
        build_from_crawler(load_object(addon), crawler) for addon in crawl.addons
    ]
    task = process.crawl(crawler, *crawl.args, **crawl.kwargs)
    process.start(install_signal_handlers=False)
    if (error := task.exception()) is not None:
        raise error
    desk.send_the_rest()


class Desk(asyncio.Protocol):
    """Where leases come in and outcomes go out.

    Invariant: an outcome is sent at most once; what is added after that, or outside
    of any request, goes into a general outcome without a ticket.
    """

    def __init__(self, name: str, sock: socket.socket) -> None:
        self.name = name
        self.inbox: deque[Lend] = deque()
        self.listened: frozenset[str] = frozenset()
        self.is_stopping = False
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._open: dict[Request, Outcome] = {}
        self._general = Outcome()
        self._flush_is_due = False
        self._is_reading = False
        self._crawler: WorkerCrawler | None = None
        self._codec = Codec()
        self._cookies: SharedCookies | None = None
        self._keeps_records = False

    async def connect(self, crawler: WorkerCrawler) -> None:
        """Begin to listen to the supervisor, for *crawler*, whose spider opens."""
        self._crawler = crawler
        self._codec = Codec(residents(crawler))
        self._keeps_records = bool(crawler.settings["CONCURCRAWL_RECORDS"])
        self._cookies = SharedCookies(crawler)
        collector: MergingStatsCollector = crawler.stats  # type: ignore[assignment]
        collector.written = self.write_stat
        # Items are logged as scraped where their pipelines run.
        crawler.logformatter.scraped = _say_nothing  # type: ignore[method-assign,assignment]
        await wire.connect(self._sock, lambda: self)
        self._log_handler = _DeskHandler(self)
        logging.root.addHandler(self._log_handler)
        self.log_from("WARNING")

    def log_from(self, level: str | int) -> None:
        """Pass on log lines of *level* and above."""
        self._log_handler.setLevel(level)
        logging.root.setLevel(level)

    # What the supervisor says ---------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]
        # An engine that is not running yet could neither work nor stop.
        self._transport.pause_reading()  # type: ignore[union-attr]

    def _begin(self) -> None:
        assert self._crawler is not None
        assert self._transport is not None
        self._is_reading = True
        self._transport.resume_reading()
        # That our spider opens and closes is not news: the supervisor's does.
        self.log_from(self._crawler.settings["LOG_LEVEL"])

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        assert self._cookies is not None
        for message in self._frames.feed(data):
            match message:
                case Lend():
                    self.inbox.append(message)
                case SetCookies():
                    self._cookies.apply(message.changes)
                case Listen():
                    self.listened = message.signals
                case Stop():
                    self._stop()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        if not self.is_stopping:
            os._exit(1)  # nobody is left to report to

    def _wake(self) -> None:
        assert self._crawler is not None
        slot = self._crawler.engine._slot
        if slot is not None:
            slot.nextcall.schedule()

    def _stop(self) -> None:
        assert self._crawler is not None
        self.is_stopping = True
        self.log_from("WARNING")
        engine = self._crawler.engine
        asyncio.ensure_future(engine.close_spider_async(reason="finished"))  # noqa: RUF006 - the loop ends with it

    # What comes of a lease ------------------------------------------------------

    def next_request(self) -> Request | None:
        """Take a lease from the inbox and open its outcome."""
        if not self._is_reading:
            self._begin()
        if not self.inbox:
            _outcome.set(None)
            return None
        lend = self.inbox.popleft()
        request: Request = self._codec.decode(lend.payload)
        outcome = self._open[request] = Outcome(lend.ticket)
        _outcome.set(outcome)
        if self._keeps_records:
            timeline.begin(request, lend.queued_s)
        return request

    def finish(self, request: Request) -> None:
        """Send what came of *request*, if it was lent."""
        outcome = self._open.pop(request, None)
        if outcome is None:
            return
        outcome.record = timeline.end(request, self.name)
        self._send_outcome(outcome)
        outcome.ticket = None  # sent: see here()

    def here(self) -> Outcome:
        """Return the outcome of the request that the running code belongs to."""
        outcome = _outcome.get()
        if outcome is not None and outcome.ticket is not None:
            return outcome
        self._schedule_flush()
        return self._general

    def add_request(self, request: Request) -> None:
        """Note a request that the spider or a middleware made.

        Raises:
            NotShippableError: If it cannot leave this process.
        """
        assert self._crawler is not None
        key = b""
        if not request.dont_filter:
            key = self._crawler.request_fingerprinter.fingerprint(request)
        self._add(Product(False, self._codec.encode(request), key, None))

    def add_item(self, item: Any) -> None:
        """Note an item.

        Raises:
            NotShippableError: If it cannot leave this process.
        """
        heads = self.here().heads
        head = len(heads) - 1 if heads else None
        self._add(Product(True, self._codec.encode(item), b"", head))

    def _add(self, product: Product) -> None:
        self.here().products.append(product)

    def add_event(self, name: str, response: Any, failure: Any) -> None:
        """Note a signal, unless nobody listens to it."""
        outcome = self.here()
        head = None
        if name == "response_received" or (name in self.listened and response):
            outcome.heads.append(_head(response))
            head = len(outcome.heads) - 1
        if name in self.listened:
            error = failure and f"{failure.type.__name__}: {failure.getErrorMessage()}"
            outcome.events.append(Event(name, head, error))

    def write_stat(self, how: str, key: str, value: Any) -> None:
        """Note that a stat was written."""
        stats.note(self.here().stats, how, key, value)

    def log(self, line: LogLine) -> None:
        """Note a log line."""
        self._general.logs.append(line)
        self._schedule_flush()

    # What the supervisor hears --------------------------------------------------

    def send(self, message: ToSupervisor) -> None:
        """Send *message* as soon as the socket takes it."""
        if self._transport is not None:
            self._transport.write(frame(message))

    def flush(self) -> None:
        """Send what belongs to no request."""
        self._flush_is_due = False
        general, self._general = self._general, Outcome()
        self._send_outcome(general)

    async def retire(self) -> None:
        """Send what is due and hold back the rest for :meth:`send_the_rest`."""
        self.flush()
        assert self._transport is not None
        while self._transport.get_write_buffer_size():  # noqa: ASYNC110 - once a crawl
            await asyncio.sleep(_LINGER_S)
        self._transport = None

    def send_the_rest(self) -> None:
        """Send what came up since :meth:`retire`, when the loop has ended."""
        self._sock.setblocking(True)
        self._sock.sendall(frame(self._general))

    def _send_outcome(self, outcome: Outcome) -> None:
        if self._cookies is not None:
            outcome.cookies += self._cookies.changes()
        outcome.logs, self._general.logs = self._general.logs + outcome.logs, []
        self.send(outcome)

    def _schedule_flush(self) -> None:
        if not self._flush_is_due and self._transport is not None:
            self._flush_is_due = True
            asyncio.get_running_loop().call_later(_LINGER_S, self.flush)


def _head(response: Response) -> Head:
    return Head(
        kind=type(response),
        url=response.url,
        status=response.status,
        headers=dict(response.headers),
        flags=tuple(response.flags),
        protocol=response.protocol,
    )


class WorkerCrawler(Crawler):
    """A crawler whose engine, scheduler and signals are those of this module."""

    def __init__(self, spidercls: Any, settings: Settings, desk: Desk) -> None:
        super().__init__(spidercls, settings)
        self.desk = desk
        self.signals = WorkerSignals(self)

    def _create_engine(self) -> ExecutionEngine:
        return WorkerEngine(self, lambda _: self.stop_async())


class WorkerEngine(ExecutionEngine):
    """An engine that starts nothing by itself and never finds itself idle."""

    crawler: WorkerCrawler

    async def open_spider_async(self, *, close_if_idle: bool = True) -> None:
        """See :class:`ExecutionEngine`."""
        assert self.crawler.spider is not None
        await self.crawler.desk.connect(self.crawler)
        # The supervisor's spider starts the crawl; ours only has callbacks.
        self.crawler.spider.start = _start_nothing  # type: ignore[method-assign]
        await super().open_spider_async(close_if_idle=False)
        self.crawler.desk.send(Ready(os.getpid()))

    async def close_spider_async(self, *, reason: str = "cancelled") -> None:
        """Close for the supervisor; for a callback that asks, ask the supervisor."""
        if self.crawler.desk.is_stopping:
            await super().close_spider_async(reason=reason)
        else:
            self.crawler.desk.here().close_reason = reason

    async def stop_async(self) -> None:
        """See :meth:`close_spider_async`."""
        if self.crawler.desk.is_stopping:
            await super().stop_async()
        else:
            self.crawler.desk.here().close_reason = "shutdown"

    def _remove_request(self, _: Any, request: Request) -> None:
        # The one place that every request passes when all that came of it is done.
        super()._remove_request(_, request)
        self.crawler.desk.finish(request)


async def _start_nothing() -> AsyncIterator[Any]:
    return
    yield


class WorkerScheduler(BaseScheduler):
    """Requests come from the supervisor, and new ones go there."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> WorkerScheduler:
        """Make one for a :class:`WorkerCrawler`."""
        assert isinstance(crawler, WorkerCrawler)
        return cls(crawler.desk)

    def has_pending_requests(self) -> bool:
        """See :class:`BaseScheduler`."""
        return bool(self._desk.inbox)

    def enqueue_request(self, request: Request) -> bool:
        """See :class:`BaseScheduler`. Whether it is a duplicate, others find out."""
        try:
            self._desk.add_request(request)
        except NotShippableError as error:
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._desk.write_stat("inc", "concurcrawl/not_shippable", 1)
            return False
        return True

    def close(self, reason: str) -> Deferred[None] | None:
        """See :class:`BaseScheduler`. Everything asked for is done by now."""
        return deferred_from_coro(self._desk.retire())

    def next_request(self) -> Request | None:
        """See :class:`BaseScheduler`."""
        return self._desk.next_request()


class WorkerItems(ItemPipelineManager):
    """Sends items to the supervisor, after the pipelines that were moved here."""

    async def process_item_async(self, item: Any) -> Any:
        """See :class:`ItemPipelineManager`."""
        item = await super().process_item_async(item)
        assert isinstance(self.crawler, WorkerCrawler)
        self.crawler.desk.add_item(item)
        return item


class WorkerSignals(SignalManager):
    """Keeps signals that the supervisor sends from being sent here too."""

    def __init__(self, crawler: WorkerCrawler) -> None:
        super().__init__(crawler)
        self._crawler = crawler

    def connect(self, receiver: Any, signal: Any, **kwargs: Any) -> None:
        """See :class:`SignalManager`."""
        if signal in _SUPERVISORS or signal in _REPLAYED:
            return
        if signal is signals.spider_closed and self._is_spiders(receiver):
            return  # the spider closes once, in the supervisor
        super().connect(receiver, signal, **kwargs)

    def send_catch_log(self, signal: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """See :class:`SignalManager`."""
        if signal in _REPLAYED:
            response, failure = kwargs.get("response"), kwargs.get("failure")
            self._crawler.desk.add_event(_REPLAYED[signal], response, failure)
            return []
        return super().send_catch_log(signal, **kwargs)

    def _is_spiders(self, receiver: Any) -> bool:
        owner = getattr(receiver, "__self__", None)
        cls = self._crawler.spidercls
        return isinstance(owner, cls) or receiver is getattr(cls, "close", None)


def _say_nothing(*_: Any) -> None:
    return None


class _DeskHandler(logging.Handler):
    """Passes log records on. Belongs to the loop that is running when it is made."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._formatter = logging.Formatter()
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is threading.main_thread():
            self._pass_on(record)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pass_on, record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        trace = None
        if record.exc_info and record.exc_info[0] is not None:
            trace = self._formatter.formatException(record.exc_info)
        self._desk.log(
            LogLine(
                record.name, record.levelno, record.created, record.getMessage(), trace
            )
        )
