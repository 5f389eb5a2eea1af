"""A worker's desk: leases come in, outcomes go out.

Whatever happens while a request is worked on (items, requests, stats, signals) is noted
on its outcome, which is sent once, when the request is done.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import sys
import time
from collections import deque
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from concurcrawl import stats
from concurcrawl.compat.callback_cache import KeptCallbacks
from concurcrawl.compat.engine import wake
from concurcrawl.compat.log_lines import leave_out_scraped
from concurcrawl.config import Config
from concurcrawl.durable.state import KEEPS_STATE, Tracker
from concurcrawl.terminal.region import Clearing, is_terminal
from concurcrawl.tracing import collector as tracing
from concurcrawl.workers import children
from concurcrawl.workers.protocol import framing, log_forwarding
from concurcrawl.workers.protocol.cookies import SharedCookies
from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.messages.leases import Dispatch, Recall, Returned
from concurcrawl.workers.protocol.messages.lifecycle import (
    Drain,
    Inspect,
    Inspected,
    Pause,
    Ping,
    Pong,
    Stop,
)
from concurcrawl.workers.protocol.messages.limits import SlotChanged, Throttled
from concurcrawl.workers.protocol.messages.questions import Answer, Ask, Claim
from concurcrawl.workers.protocol.messages.results import (
    LogLine,
    PartialResult,
    Product,
    RequestResult,
)
from concurcrawl.workers.protocol.messages.signals import Subscribe
from concurcrawl.workers.protocol.messages.state import (
    ChangeState,
    SetAttributes,
    SetCookies,
    SetState,
    SetStats,
)
from concurcrawl.workers.protocol.pickle_codec import IS_DURABLE, Codec, codec_of
from concurcrawl.workers.worker.attributes import set_attributes
from concurcrawl.workers.worker.local import LocalRequests, encode_outline
from concurcrawl.workers.worker.reports import Reports
from concurcrawl.workers.worker.totals import Totals

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.http import Response

    from concurcrawl.compat.stats_collector import MergingStatsCollector
    from concurcrawl.stats import StatKey
    from concurcrawl.workers.protocol.messages.directions import ToSupervisor, ToWorker
    from concurcrawl.workers.protocol.messages.questions import Question
    from concurcrawl.workers.protocol.messages.state import ReadStats
    from concurcrawl.workers.worker.crawler import WorkerCrawler

logger = logging.getLogger(__name__)

#: Of a request that so much has come of, the rest is sent by itself: nobody needs to
#: hold all that a page with very many links comes to.
_PART_BYTES = 1 << 18

#: How long a callback waits for a stat that it is the first to read.
_ANSWER_S = 1.0

#: How long a log line or a stat without a request may wait for company.
_LINGER_S = 0.1

#: What the request at hand comes to. Each request runs in a context of its own, so
#: what its callback does, however it is scheduled, finds the right one.
_outcome: ContextVar[RequestResult | None] = ContextVar("outcome", default=None)

#: Set where a robots.txt was asked for that another worker had asked for before.
robots_were_known: ContextVar[bool] = ContextVar("robots_were_known", default=False)

_ROBOTS_STATS = ("robotstxt/re", "robotstxt/exception")


class SupervisorChannel(asyncio.Protocol):
    """Where leases come in and outcomes go out.

    Invariant: an outcome is sent at most once; what is added after that, or outside
    of any request, goes into a general outcome without a lease id.
    """

    def __init__(self, name: str, sock: socket.socket) -> None:
        self.name = name
        self.inbox: deque[Dispatch] = deque()
        self.is_stopping = False
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._open: dict[Request, RequestResult] = {}
        self._pages: dict[Request, Response] = {}
        self._general = RequestResult()
        self._flush_is_due = False
        self._is_reading = False
        self._has_yielded = False  # since it was last asked
        self._crawler: WorkerCrawler | None = None
        self._codec = Codec()
        self._cookies: SharedCookies | None = None
        self._reports: Reports | None = None
        self._keeps_records = False
        self._numbers = count()
        self._callbacks = KeptCallbacks()
        self._questions: dict[int, asyncio.Future[bytes]] = {}
        self.local = LocalRequests(self.send, self._send_outcome, _PART_BYTES)
        self.throttled: set[str] = set()
        self.is_recalled = False
        self.on_recall: Callable[[], None] = lambda: None
        self.on_limits: Callable[[SlotChanged], None] = lambda _: None
        self._handlers: dict[type, Callable[[Any], None]] = {
            Dispatch: self._on_lend,
            SetCookies: self._on_cookies,
            SetState: self._on_state,
            ChangeState: self._on_change,
            SetAttributes: self._on_attributes,
            SetStats: self._on_stats,
            Subscribe: self._on_listen,
            Throttled: self._on_troubled,
            SlotChanged: self._on_limits,
            Recall: self._on_recall,
            Pause: self._on_pause,
            Answer: self._on_answer,
            Ping: self._on_ping,
            Inspect: self._on_look,
            Drain: self._on_drain,
            Stop: self._on_stop,
        }
        self._state: Tracker | None = None
        self._totals: Totals | None = None
        self._unheard: deque[ToWorker] = deque()  # messages that have come

    @property
    def reports(self) -> Reports:
        """What is reported of signals, once connected."""
        assert self._reports is not None
        return self._reports

    async def connect(self, crawler: WorkerCrawler) -> None:
        """Begin to listen to the supervisor, for *crawler*, whose spider opens."""
        self._crawler = crawler
        self._codec = codec_of(crawler)
        self._reports = Reports(crawler, self._codec, self.here, self._is_leased)
        self._keeps_records = bool(crawler.settings["CONCURCRAWL_RECORDS"])
        self._cookies = SharedCookies(crawler)
        self.local.is_durable = crawler.settings.getbool(IS_DURABLE)
        if crawler.settings.getbool(KEEPS_STATE):
            self._state = Tracker(self._note_state)
            crawler.spider.state = self._state.live  # type: ignore[union-attr]
        if Config.from_settings(crawler.settings).progress:
            _write_among_rows()
        # Items are logged as scraped where their pipelines run.
        leave_out_scraped(crawler)
        await framing.connect(self._sock, lambda: self)
        self._log_handler = log_forwarding.LineHandler(self.log, self._codec.encode)
        logging.root.addHandler(self._log_handler)
        self.log_from("WARNING")

    def log_from(self, level: str | int) -> None:
        """Pass on log lines of *level* and above."""
        self._log_handler.setLevel(level)
        logging.root.setLevel(level)

    # What the supervisor says ---------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        # An engine that is not running yet could neither work nor stop.
        self._transport.pause_reading()  # type: ignore[union-attr]

    def _begin(self) -> None:
        assert self._crawler is not None
        assert self._transport is not None
        self._is_reading = True
        self._transport.resume_reading()
        # What is written while a spider opens, the supervisor's has written.
        collector: MergingStatsCollector = self._crawler.stats  # type: ignore[assignment]
        collector.written = self.write_stat
        self.reports.is_open = True
        self._totals = Totals(collector, self._unsent_stats, self._subscribe)
        # That our spider opens and closes is not news: the supervisor's does.
        self.log_from(self._crawler.settings["LOG_LEVEL"])
        self.log_from(
            min([self._log_handler.level, *log_forwarding.leave_to_supervisor()])
        )
        log_forwarding.spare_unheard()

    @override
    def data_received(self, data: bytes) -> None:
        self._unheard += self._frames.feed(data)
        self._hear_all()

    def _hear_all(self) -> None:
        while self._unheard:
            self._hear(self._unheard.popleft())
        self._return_if_paused()
        if self.is_recalled:  # also of what has just come
            self.on_recall()
        self._wake()

    def _hear(self, message: ToWorker) -> None:
        self._handlers[type(message)](message)

    def _on_lend(self, message: Dispatch) -> None:
        self.inbox.append(message)

    def _on_cookies(self, message: SetCookies) -> None:
        assert self._cookies is not None
        self._cookies.apply(message.changes)

    def _on_listen(self, message: Subscribe) -> None:
        self.reports.listen(message)

    def _on_troubled(self, message: Throttled) -> None:
        self.throttled.add(message.group)

    def _on_limits(self, message: SlotChanged) -> None:
        self.on_limits(message)

    def _on_recall(self, message: Recall) -> None:
        self.is_recalled = message.is_on

    def _on_pause(self, message: Pause) -> None:
        self._pause(is_on=message.is_on)

    def _on_ping(self, _: Ping) -> None:
        assert self._crawler is not None
        engine: Any = self._crawler.engine
        is_moving = engine.is_downloading or self._has_yielded
        self._has_yielded = False
        self.send(Pong(is_moving))

    def _on_look(self, _: Inspect) -> None:
        assert self._crawler is not None
        engine: Any = self._crawler.engine
        self.send(Inspected(engine.look()))

    def _on_state(self, message: SetState) -> None:
        if self._state is not None:
            self._state.replace(pickle.loads(message.payload))  # noqa: S301 - the supervisor's

    def _on_change(self, message: ChangeState) -> None:
        if self._state is not None:
            self._state.apply(message.changes)

    def _on_attributes(self, message: SetAttributes) -> None:
        assert self._crawler is not None
        assert self._crawler.spider is not None
        set_attributes(self._crawler.spider, self._codec.decode(message.changes))

    def _on_stats(self, message: SetStats) -> None:
        assert self._totals is not None
        self._totals.heard(message)

    def _note_state(self, change: bytes) -> None:
        self.here().state.append(change)

    def collect_state(self) -> None:
        """Note on the outcome at hand what its callback changed in ``spider.state``."""
        if self._state is not None:
            spider: Any = self._crawler.spider  # type: ignore[union-attr]
            spider.state = self._state.adopt(getattr(spider, "state", None))
            self._state.collect()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_stopping:
            children.end_now()  # nobody is left to report to

    def _wake(self) -> None:
        assert self._crawler is not None
        wake(self._crawler.engine)

    def _on_drain(self, _: Drain) -> None:
        self.local.close()

    def _on_stop(self, message: Stop) -> None:
        assert self._crawler is not None
        self.is_stopping = True
        if self._crawler.closes_spider:  # which may have something to say
            logging.getLogger("scrapy.core.engine").setLevel("WARNING")
        else:
            self.log_from("WARNING")
        engine = self._crawler.engine
        asyncio.ensure_future(engine.close_spider_async(reason=message.reason))  # noqa: RUF006 - the loop ends with it

    # What comes of a lease ------------------------------------------------------

    def next_request(self) -> Request | None:
        """Take a lease from the inbox and open its outcome."""
        if not self._is_reading:
            self._begin()
        local = self.local.pop()  # first: a lease waits for it
        if local is not None:
            begun = self._begin_request(*local, time.time())
            self._count_scheduled("dequeued")
            return begun
        if not self.inbox:
            _outcome.set(None)
            return None
        lend = self.inbox.popleft()
        outcome = RequestResult(lend.lease_id)
        try:
            request: Request = self._codec.decode(lend.payload)
        except Exception:
            logger.exception("A request cannot be read back and is dropped")
            self._send_outcome(outcome)
            return self.next_request()
        self._callbacks.keep(request)
        return self._begin_request(request, outcome, lend.queued_s)

    def _begin_request(
        self, request: Request, outcome: RequestResult, queued_s: float
    ) -> Request:
        self._open[request] = outcome
        _outcome.set(outcome)
        if self._keeps_records:
            tracing.begin(request, queued_s)
        return request

    def finish(self, request: Request) -> None:
        """Send what came of *request*, if it was lent."""
        outcome = self._open.pop(request, None)
        if outcome is None:
            return
        outcome.record = tracing.end(request, self.name)
        if self._state is not None:
            self.collect_state()
        page = self._pages.pop(request, None)
        if page is not None:
            outcome.status = page.status
            if outcome.items:
                self.reports.add_page(outcome, request, page)
                if request in self.local:
                    outcome.page_state = None  # which is of the leased request
        assert outcome.lease_id is not None
        if self.local.is_held(outcome.lease_id):
            sent = replace(outcome)
            self.local.finish(request, sent)
        else:
            self._send_outcome(outcome)
        outcome.lease_id = None  # sent: see here()

    def here(self) -> RequestResult:
        """Return the outcome of the request that the running code belongs to."""
        outcome = _outcome.get()
        if outcome is not None and outcome.lease_id is not None:
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
        self._add(self.here(), Product(False, self._codec.encode(request), key))

    def keep_local(self, request: Request) -> bool:
        """Have *request*, which cannot leave this process, done here.

        Returns:
            Whether it is; not if it came of no lease.
        """
        lease = self.here().lease_id
        if lease is None:
            return False
        if self.local.expect(lease):
            if request.dont_filter:
                self._add_local(request, lease)
            else:
                asyncio.ensure_future(self._claim(request, lease))  # noqa: RUF006 - the lease is held for it
        return True

    def _add_local(self, request: Request, lease: int) -> None:
        self._count_scheduled("enqueued")
        self.local.add(request, lease)

    def _count_scheduled(self, what: str) -> None:
        """Count a request that stays here as the scheduler counts the others."""
        self.write_stat("inc", f"scheduler/{what}", 1)
        self.write_stat("inc", f"scheduler/{what}/memory", 1)

    async def _claim(self, request: Request, lease: int) -> None:
        assert self._crawler is not None
        key = self._crawler.request_fingerprinter.fingerprint(request)
        try:
            is_new = await self.ask(
                Claim(lease, key, encode_outline(request, self._codec))
            )
        except Exception:
            logger.exception("%s is dropped", request)
            is_new = b""
        if is_new:
            self._add_local(request, lease)
        else:
            self.local.drop(lease)
        self._wake()

    def add_item(self, item: Any) -> None:
        """Note an item.

        Raises:
            NotShippableError: If it cannot leave this process.
        """
        outcome = self.here()
        product = Product(True, self._codec.encode(item))
        outcome.items += 1
        self._add(outcome, product)

    def _add(self, outcome: RequestResult, product: Product) -> None:
        # What came of no request is sent soon, and has nothing to be applied with.
        # What came of a local request is sent after that of its lease.
        lease_id = None if outcome.is_partial else outcome.lease_id
        if outcome.size_bytes >= _PART_BYTES and lease_id is not None:
            self.send(PartialResult(lease_id, outcome.products))
            outcome.products, outcome.size_bytes = [], 0
        outcome.products.append(product)
        self._has_yielded = True
        outcome.size_bytes += len(product.payload)

    def report_own(self, signal: Any, about: dict[str, Any]) -> None:
        """Report a signal of the project's own; a spider may send some when made."""
        if self._reports is not None:
            self._reports.add_own(signal, about)

    def note_page(self, request: Request, response: Response) -> None:
        """Note what the callback of a request that was leased gets."""
        self._pages[request] = response

    def write_stat(self, how: str, key: str, value: Any) -> None:
        """Note that a stat was written."""
        if robots_were_known.get() and str(key).startswith(_ROBOTS_STATS):
            return  # another worker has counted them
        stats.note(self.here().stats, how, key, stats.plain(value))

    def _unsent_stats(self) -> list[dict[StatKey, Any]]:
        """Return the stats that were written and not yet sent, by outcome."""
        outcomes = [*self._open.values(), self._general]
        return [outcome.stats for outcome in outcomes]

    def _subscribe(self, message: ReadStats, is_answered: Callable[[], bool]) -> bool:
        """Ask for a stat and wait for the answer, unless something waits to be sent.

        What reads a stat cannot await. The supervisor answers in a millisecond or so,
        and each stat is asked for once.

        Returns:
            Whether the answer is there, or was waited for.
        """
        if self._transport is None:
            return True  # the end: nothing new will come
        if not framing.send_now(self._sock, self._transport, frame(message)):
            return False
        for answer in framing.messages(self._sock, self._frames, _ANSWER_S):
            if isinstance(answer, SetStats):
                self._on_stats(answer)
            else:
                self._unheard.append(answer)
            if is_answered():
                break
        self._unheard += self._frames.feed(b"")
        asyncio.get_running_loop().call_soon(self._hear_all)
        return True

    def log(self, line: LogLine) -> None:
        """Note a log line."""
        self._general.logs.append(line)
        self._schedule_flush()

    def lease_id_of(self, request: Request) -> int | None:
        """Return the lease id of a request that was lent, else None."""
        outcome = self._open.get(request)
        if outcome is None or request in self.local:
            return None
        return outcome.lease_id

    def _is_leased(self, request: Request | None) -> bool:
        return request is not None and self.lease_id_of(request) is not None

    def lease_ids(self) -> set[int]:
        """Return the lease ids of all leases that are not done."""
        found = {lend.lease_id for lend in self.inbox}
        found.update(o.lease_id for o in self._open.values() if o.lease_id is not None)
        return found | self.local.leases()

    def pause(self, *, is_on: bool) -> None:
        """Pause the whole crawl, or go on with it."""
        self._pause(is_on=is_on)
        self.send(Pause(is_on))

    def _pause(self, *, is_on: bool) -> None:
        assert self._crawler is not None
        self._crawler.engine.paused = is_on
        self._return_if_paused()

    def _return_if_paused(self) -> None:
        """Return leases that are not begun: what is begun ends during a pause."""
        assert self._crawler is not None
        if self._crawler.engine.paused and self.inbox:
            self.send(Returned(tuple(lend.lease_id for lend in self.inbox)))
            self.inbox.clear()

    # What the supervisor hears --------------------------------------------------

    def send(self, message: ToSupervisor) -> None:
        """Send *message* as soon as the socket takes it."""
        if self._transport is not None:
            self._transport.write(frame(message))

    async def ask(self, question: Question) -> bytes:
        """Ask the supervisor and return its answer, or raise what it answers."""
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        self.send(Ask(number, question))
        return await answer

    def decode(self, payload: bytes) -> Any:
        """Return what the supervisor encoded."""
        return self._codec.decode(payload)

    def encode(self, thing: object) -> bytes:
        """Return *thing* for the supervisor."""
        return self._codec.encode(thing)

    def _on_answer(self, answer: Answer) -> None:
        future = self._questions.pop(answer.number)
        if future.done():
            return
        if answer.error is not None:
            future.set_exception(answer.error)
        else:
            future.set_result(answer.value)

    def flush(self) -> None:
        """Send what belongs to no request, unless send_the_rest() is to do that."""
        self._flush_is_due = False
        if self._transport is None:  # a timer that was set before retire()
            return
        general, self._general = self._general, RequestResult()
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

    def _send_outcome(self, outcome: RequestResult) -> None:
        if self._cookies is not None:
            outcome.cookies += self._cookies.changes()
        outcome.logs, self._general.logs = self._general.logs + outcome.logs, []
        self.send(outcome)
        if self._totals is not None:
            self._totals.sent(outcome.stats)

    def _schedule_flush(self) -> None:
        if not self._flush_is_due and self._transport is not None:
            self._flush_is_due = True
            asyncio.get_running_loop().call_later(_LINGER_S, self.flush)


def _write_among_rows() -> None:
    """Have what callbacks print leave nothing of the rows that are drawn there."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if is_terminal(stream):
            setattr(sys, name, Clearing(stream))
