"""What workers share besides requests: turns at sites, robots.txt, cookies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrapy.utils.asyncio import call_later

from concurcrawl.compat.engine import before_close, is_closing, on_pause, wake
from concurcrawl.limits.limiter import FetchResult
from concurcrawl.workers.protocol.cookies import SharedCookies
from concurcrawl.workers.protocol.messages.leases import Idle, Recall, Returned
from concurcrawl.workers.protocol.messages.lifecycle import Drain, Pause
from concurcrawl.workers.protocol.messages.limits import (
    CrawlDelay,
    RequestLeft,
    RequestSent,
    SlotChanged,
    Throttled,
)
from concurcrawl.workers.protocol.messages.questions import (
    Answer,
    Ask,
    Claim,
    Enter,
    FetchRobots,
)
from concurcrawl.workers.protocol.messages.state import (
    ChangeState,
    SetCookies,
    SetState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.utils.asyncio import CallLaterResult

    from concurcrawl.limits.admission_queue import AdmissionQueue
    from concurcrawl.limits.limiter import Written
    from concurcrawl.local.pace import Pace
    from concurcrawl.workers.protocol.cookies import CookieChange
    from concurcrawl.workers.protocol.messages.directions import ToWorker
    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.supervisor.attributes import AttributeWatch
    from concurcrawl.workers.supervisor.audience import Audience
    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.queue import WorkerQueue
    from concurcrawl.workers.supervisor.storage import Storage
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle


#: Seconds that a request without a lease id waits before workers are asked which leases
#: are not at their sites. Most find free capacity before, and asking costs each page a
#: round trip.
_RECALL_AFTER_S = 0.01


@dataclass(frozen=True, slots=True)
class CoordinatorParts:
    """What workers share.

    Attributes:
        pool: The workers.
        queue: Their requests.
        admissions: Requests that wait for their sites.
        pace: Limits that change.
        storage: Sends cookies to other machines, and has ``spider.state``.
        audience: Knows which signals workers are to report.
        attributes: Those of the spider that changed since the start.
    """

    pool: WorkerPool
    queue: WorkerQueue
    admissions: AdmissionQueue
    pace: Pace
    storage: Storage
    audience: Audience
    attributes: AttributeWatch


class Coordinator:
    """Answers what workers ask and passes on what concerns all of them."""

    def __init__(self, crawler: Crawler, codec: Codec, parts: CoordinatorParts) -> None:
        """Make one.

        Args:
            crawler: The crawl.
            codec: Decodes requests.
            parts: What workers share.
        """
        self._crawler = crawler
        self._codec = codec
        self._parts = parts
        self._pool = parts.pool
        self._queue = parts.queue
        self._admissions = parts.admissions
        self._pace = parts.pace
        self._cookies: SharedCookies | None = None
        self._throttled: set[str] = set()
        self._is_recalled = False
        self._recall: CallLaterResult | None = None
        self._robots: dict[str, asyncio.Future[Response]] = {}

    @property
    def handlers(self) -> dict[type, Callable[[WorkerHandle, Any], None]]:
        """What is done with each kind of message, by its class."""
        return {
            Ask: self._on_ask,
            Idle: self._on_idle,
            Returned: self._on_returned,
            Pause: self._on_pause,
            RequestSent: self._on_sent,
            RequestLeft: self._on_left,
            CrawlDelay: self._on_crawl_delay,
            SlotChanged: self._on_slot_changed,
        }

    def open(self) -> None:
        """Begin; the spider opens."""
        if self._cookies is None:
            self._cookies = SharedCookies(self._crawler)
        # Extensions and telnet pause the engine here; workers are to pause with it.
        on_pause(self._crawler.engine, self.pause)
        # Workers must know that the crawl ends before the engine waits for them.
        before_close(self._crawler.engine, self._pool.drain)

    def _on_ask(self, worker: WorkerHandle, message: Ask) -> None:
        asyncio.ensure_future(self._answer(worker, message))  # noqa: RUF006 - the engine outlives it

    def _on_idle(self, worker: WorkerHandle, message: Idle) -> None:
        """Give the places of leases that are not at their sites to other requests."""
        asks = self._pace.politeness.needs_asking
        held = [worker.held[one] for one in message.lease_ids if one in worker.held]
        # Those of a group with limits are counted by the group only once they enter.
        idle = [one.lease for one in held if not asks(one.lease.group)]
        self._admissions.release(idle)

    def _on_returned(self, worker: WorkerHandle, message: Returned) -> None:
        self._pool.release(worker, message.lease_ids)

    def _on_pause(self, _: WorkerHandle, message: Pause) -> None:
        self.pause(message.is_on)

    def _on_sent(self, worker: WorkerHandle, message: RequestSent) -> None:
        here_s = message.at_s + worker.connection.clock_offset_s
        self._admissions.sent(message.group, message.lease_id, here_s)

    def _on_crawl_delay(self, _: WorkerHandle, message: CrawlDelay) -> None:
        self.throttle(message.group)
        self._pace.slow_down(message.group, message.delay_s)

    def _on_slot_changed(self, _: WorkerHandle, message: SlotChanged) -> None:
        self.change_limits(message.group, message.slot, message.written)

    def on_cookies(self, worker: WorkerHandle, changes: Sequence[CookieChange]) -> None:
        """Apply cookies that *worker* got, and send them to all others."""
        if changes and self._cookies is not None:
            self._cookies.apply(changes)
            self._pool.send_all(SetCookies(tuple(changes)), but=worker)
            self._parts.storage.share_cookies(changes)

    def apply_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Apply cookies that another machine got, and send them to all workers."""
        if self._cookies is None:  # it joins, and has no workers yet
            self._cookies = SharedCookies(self._crawler)
        self._cookies.apply(changes)
        self._pool.send_all(SetCookies(tuple(changes)))

    def send_state(self, changes: Sequence[bytes], but: str) -> None:
        """Send changes of ``spider.state`` to all workers but the one called *but*."""
        message = ChangeState(tuple(changes))
        for worker in self._pool.workers:
            if worker.name != but:
                worker.send(message)

    def throttle(self, group: str) -> None:
        """Let all workers ask before each request to *group* from now on."""
        if group not in self._throttled:
            self._throttled.add(group)
            self._pool.send_all(Throttled(group))

    def change_limits(self, group: str, slot: str, written: Written) -> None:
        """Apply what was written to a slot, here or in a worker, in all processes."""
        self.throttle(group)  # from now on workers ask
        self._pool.send_all(SlotChanged(group, slot, written))
        self._pace.change_limits(group, slot, written)

    async def _answer(self, worker: WorkerHandle, ask: Ask) -> None:
        try:
            match ask.question:
                case Enter(group, lease_id):
                    await self._admissions.enter(group, lease_id)
                    held = None if lease_id is None else worker.held.get(lease_id)
                    self._pace.entered(group, held.lease if held else None)
                    if lease_id is None and worker.is_gone:
                        # It died while it waited in line. One with a lease id has been
                        # started over and may be there by now for another worker.
                        self._admissions.leave(group, None, FetchResult())
                    elif lease_id is None:
                        worker.unleased[group] += 1
                    answer = Answer(ask.number)
                case FetchRobots(payload):
                    found = await self._fetch_robots(self._codec.decode(payload))
                    answer = Answer(ask.number, self._codec.encode(found))
                case Claim(lease_id, key, payload):
                    request = self._codec.decode(payload)
                    is_new = await self._queue.claim(lease_id, key, request)
                    answer = Answer(ask.number, b"new" if is_new else b"")
        except Exception as error:  # noqa: BLE001 - it is the asker's to handle
            answer = Answer(ask.number, error=error)
        if not worker.is_gone:
            worker.send(answer)

    async def _fetch_robots(self, request: Request) -> tuple[bool, Response]:
        """Download a robots.txt, or wait for the download that is under way."""
        known = self._robots.get(request.url)
        if known is not None:
            return False, await known
        fetched = asyncio.ensure_future(self._crawler.engine.download_async(request))
        self._robots[request.url] = fetched
        return True, await fetched

    def _on_left(self, worker: WorkerHandle, left: RequestLeft) -> None:
        if left.result.status in (429, 503):
            self.throttle(left.group)
        lease_id = left.lease_id
        if lease_id is None:
            worker.unleased[left.group] -= 1
            if not worker.unleased[left.group]:
                del worker.unleased[left.group]  # there may be very many groups
        self._admissions.leave(left.group, lease_id, left.result)

    def on_unleased(self, is_waiting: bool) -> None:
        """Recall idle leases as long as a request without a lease waits."""
        if is_waiting:
            self._recall = call_later(_RECALL_AFTER_S, self._set_recall, True)
        elif self._recall is not None:
            self._recall.cancel()
            self._recall = None
            if self._is_recalled:
                self._set_recall(False)

    def _set_recall(self, is_on: bool) -> None:
        self._is_recalled = is_on
        self._pool.send_all(Recall(is_on))

    def pause(self, is_on: bool) -> None:
        """Pause the whole crawl, or go on."""
        self._crawler.engine.paused = is_on
        self._pool.send_all(Pause(is_on))
        if not is_on:
            wake(self._crawler.engine)

    def handshake(self) -> list[ToWorker]:
        """Return what a worker that starts must know besides its crawl."""
        cookies = self._cookies.snapshot() if self._cookies is not None else ()
        throttled = [Throttled(group) for group in self._throttled]
        changed = [
            SlotChanged(group, slot, written)
            for group, slots in self._pace.politeness.written.items()
            for slot, written in slots.items()
        ]
        recalled = Recall(self._is_recalled)
        paused = Pause(self._crawler.engine.paused)
        state = self._parts.storage.state
        whole = [] if state is None else [SetState(state.whole())]
        listen = self._parts.audience.listen()
        shared = self._parts.attributes.since_start()
        attributes = [] if shared is None else [shared]
        drain: list[ToWorker] = [Drain()] if is_closing(self._crawler.engine) else []
        first: list[ToWorker] = [listen, SetCookies(cookies), *whole, *attributes]
        return [*first, *throttled, *changed, *drain, recalled, paused]

    def on_lost(self, worker: WorkerHandle) -> None:
        """Take a dead worker's requests from the sites they were at."""
        for group, unleased in worker.unleased.items():
            for _ in range(unleased):
                self._admissions.leave(group, None, FetchResult())
        self._queue.start_over(list(worker.held))
