"""What workers share besides requests: turns at sites, robots.txt, cookies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from scrapy.utils.asyncio import call_later

from concurcrawl.compat.engine import before_close, is_closing, on_pause, wake
from concurcrawl.limits.limiter import FetchResult, Written
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
from concurcrawl.workers.protocol.pickle_codec import Codec, codec_of
from concurcrawl.workers.supervisor.scheduler import scheduler_of
from concurcrawl.workers.supervisor.totals import TotalsSender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.utils.asyncio import CallLaterResult

    from concurcrawl.workers.protocol.cookies import CookieChange
    from concurcrawl.workers.protocol.messages.directions import ToWorker, Traffic
    from concurcrawl.workers.supervisor.attributes import AttributeWatch
    from concurcrawl.workers.supervisor.audience import Audience
    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle


#: Seconds that a request without a lease id waits before workers are asked which leases
#: are not at their sites. Most find free capacity before, and asking costs each page a
#: round trip.
_RECALL_AFTER_S = 0.01


class Coordinator:
    """Answers what workers ask and passes on what concerns all of them.

    Attributes:
        totals: Sends workers the stats that they read.
    """

    def __init__(
        self,
        crawler: Crawler,
        pool: WorkerPool,
        audience: Audience,
        attributes: AttributeWatch,
    ) -> None:
        self._crawler = crawler
        self._audience = audience
        audience.on_change = pool.tell_all
        self._pool = pool
        self._codec = Codec()
        self._attributes = attributes
        self.totals = TotalsSender(crawler, pool)
        self._cookies: SharedCookies | None = None
        self._throttled: set[str] = set()
        self._is_recalled = False
        self._recall: CallLaterResult | None = None
        self._robots: dict[str, asyncio.Future[Response]] = {}
        pool.greeting = self._greeting
        pool.on_loss = self._lose

    @property
    def _scheduler(self) -> SupervisorScheduler:
        return scheduler_of(self._crawler)

    def open(self) -> None:
        """Begin; the spider opens."""
        if self._cookies is None:
            self._cookies = SharedCookies(self._crawler)
        self._codec = codec_of(self._crawler)
        self._audience.open()
        self._scheduler.admissions.on_unleased = self._on_unleased
        self._share_pauses()
        self._attributes.tell = self._pool.tell_all
        self._attributes.start()
        self._share_end()

    def close(self) -> None:
        """End what it does from time to time."""
        self._attributes.stop()
        self.totals.stop()

    def hear(self, worker: WorkerHandle, message: Traffic) -> None:
        """Do what *worker* wants."""
        match message:
            case Ask():
                asyncio.ensure_future(self._answer(worker, message))  # noqa: RUF006 - the engine outlives it
            case Idle(lease_ids):
                self._release(worker, lease_ids)
            case Returned(lease_ids):
                self._pool.take_back(worker, lease_ids)
            case Pause(is_on):
                self._pause(is_on=is_on)
            case RequestSent(group, lease_id, at_s):
                self._scheduler.admissions.sent(group, lease_id, at_s)
            case RequestLeft():
                self._hear_left(worker, message)
            case CrawlDelay() | SlotChanged():
                self._change_pace(message)

    def hear_cookies(
        self, worker: WorkerHandle, changes: Sequence[CookieChange]
    ) -> None:
        """Take over cookies that *worker* got, and tell all others."""
        if changes and self._cookies is not None:
            self._cookies.apply(changes)
            self._pool.tell_all(SetCookies(tuple(changes)), but=worker)
            self._scheduler.share_cookies(changes)

    def take_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Take over cookies that another machine got."""
        if self._cookies is None:  # it joins, and has no workers yet
            self._cookies = SharedCookies(self._crawler)
        self._cookies.apply(changes)
        self._pool.tell_all(SetCookies(tuple(changes)))

    def tell_state(self, changes: Sequence[bytes], but: str) -> None:
        """Tell workers, but the one called *but*, what changed in ``spider.state``."""
        message = ChangeState(tuple(changes))
        for worker in self._pool.workers:
            if worker.name != but:
                worker.send(message)

    def trouble(self, group: str) -> None:
        """Have all workers ask before each request to *group* from now on."""
        if group not in self._throttled:
            self._throttled.add(group)
            self._pool.tell_all(Throttled(group))

    def _change_pace(self, message: CrawlDelay | SlotChanged) -> None:
        match message:
            case CrawlDelay(group, delay_s):
                self.trouble(group)
                self._scheduler.slow_down(group, delay_s)
            case SlotChanged(group, slot, written):
                self._scheduler.change_limits(group, slot, written)

    def tell_limits(self, group: str, slot: str, written: Written) -> None:
        """Tell all workers what was written to a slot; from now on they ask."""
        self.trouble(group)
        self._pool.tell_all(SlotChanged(group, slot, written))

    async def _answer(self, worker: WorkerHandle, ask: Ask) -> None:
        try:
            match ask.question:
                case Enter(group, lease_id):
                    await self._scheduler.admissions.enter(group, lease_id)
                    held = None if lease_id is None else worker.held.get(lease_id)
                    self._scheduler.entered(group, held.lease if held else None)
                    if lease_id is None and worker.is_gone:
                        # It died while it waited in line. One with a lease id has been
                        # started over and may be there by now for another worker.
                        self._scheduler.admissions.leave(group, None, FetchResult())
                    elif lease_id is None:
                        worker.unleased[group] += 1
                    answer = Answer(ask.number)
                case FetchRobots(payload):
                    found = await self._fetch_robots(self._codec.decode(payload))
                    answer = Answer(ask.number, self._codec.encode(found))
                case Claim(lease_id, key, payload):
                    request = self._codec.decode(payload)
                    is_new = await self._scheduler.claim(lease_id, key, request)
                    answer = Answer(ask.number, b"new" if is_new else b"")
        except Exception as error:  # noqa: BLE001 - it is the asker's to handle
            answer = Answer(ask.number, error=error)
        if not worker.is_gone:
            worker.send(answer)

    async def _fetch_robots(self, request: Request) -> tuple[bool, Response]:
        """Download a robots.txt, or wait for whoever downloads it already."""
        known = self._robots.get(request.url)
        if known is not None:
            return False, await known
        fetched = asyncio.ensure_future(self._crawler.engine.download_async(request))
        self._robots[request.url] = fetched
        return True, await fetched

    def _hear_left(self, worker: WorkerHandle, left: RequestLeft) -> None:
        if left.result.status in (429, 503):
            self.trouble(left.group)
        lease_id = left.lease_id
        if lease_id is None:
            worker.unleased[left.group] -= 1
        self._scheduler.admissions.leave(left.group, lease_id, left.result)

    def _release(self, worker: WorkerHandle, lease_ids: Sequence[int]) -> None:
        """Give the places of leases that are not at their sites to other requests."""
        asks = self._scheduler.politeness.needs_asking
        held = [
            worker.held[lease_id] for lease_id in lease_ids if lease_id in worker.held
        ]
        # Those of a group with limits are counted by the group only once they enter.
        idle = [one.lease for one in held if not asks(one.lease.group)]
        self._scheduler.admissions.release(idle)

    def _on_unleased(self, is_waiting: bool) -> None:
        if is_waiting:
            self._recall = call_later(_RECALL_AFTER_S, self._set_recall, True)
        elif self._recall is not None:
            self._recall.cancel()
            self._recall = None
            if self._is_recalled:
                self._set_recall(False)

    def _set_recall(self, is_on: bool) -> None:
        self._is_recalled = is_on
        self._pool.tell_all(Recall(is_on))

    def _share_pauses(self) -> None:
        """Pause workers with the engine here, which extensions and telnet pause."""
        on_pause(self._crawler.engine, self._pause)

    def _share_end(self) -> None:
        """Tell workers that the crawl ends before the engine waits for them."""
        before_close(self._crawler.engine, self._pool.drain)

    def _pause(self, is_on: bool) -> None:
        self._crawler.engine.paused = is_on
        self._pool.tell_all(Pause(is_on))
        if not is_on:
            wake(self._crawler.engine)

    def _greeting(self) -> list[ToWorker]:
        """Return what a worker must know besides its job."""
        cookies = self._cookies.snapshot() if self._cookies is not None else ()
        throttled = [Throttled(group) for group in self._throttled]
        changed = [
            SlotChanged(group, slot, written)
            for group, slots in self._scheduler.politeness.written.items()
            for slot, written in slots.items()
        ]
        recalled = Recall(self._is_recalled)
        paused = Pause(self._crawler.engine.paused)
        state = self._scheduler.state
        whole = [] if state is None else [SetState(state.whole())]
        listen = self._audience.listen()
        shared = self._attributes.since_start()
        attributes = [] if shared is None else [shared]
        drain: list[ToWorker] = [Drain()] if is_closing(self._crawler.engine) else []
        first: list[ToWorker] = [listen, SetCookies(cookies), *whole, *attributes]
        return [*first, *throttled, *changed, *drain, recalled, paused]

    def _lose(self, worker: WorkerHandle) -> None:
        """Take a dead worker's requests from the sites they were at."""
        self.totals.forget(worker)
        for group, unleased in worker.unleased.items():
            for _ in range(unleased):
                self._scheduler.admissions.leave(group, None, FetchResult())
        self._scheduler.start_over(list(worker.held))
