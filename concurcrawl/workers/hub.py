"""What workers share besides requests: turns at sites, robots.txt, cookies."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from scrapy import signals

from concurcrawl.frontier.limits import Visit
from concurcrawl.workers.codec import Codec, residents
from concurcrawl.workers.cookies import SharedCookies
from concurcrawl.workers.messages import (
    REPLAYED,
    Answer,
    Ask,
    ChangeState,
    Enter,
    FetchRobots,
    Left,
    Listen,
    Sent,
    SetCookies,
    SetState,
    SlowDown,
    Troubled,
)
from concurcrawl.workers.scheduler import scheduler_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from concurcrawl.workers.cookies import CookieChange
    from concurcrawl.workers.messages import ToWorker
    from concurcrawl.workers.pool import Worker, WorkerPool
    from concurcrawl.workers.scheduler import SupervisorScheduler


class Hub:
    """Answers what workers ask and passes on what concerns all of them."""

    def __init__(self, crawler: Crawler, pool: WorkerPool) -> None:
        self._crawler = crawler
        self._pool = pool
        self._codec = Codec()
        self._cookies: SharedCookies | None = None
        self._troubled: set[str] = set()
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
        self._codec = Codec(residents(self._crawler))

    def hear(self, worker: Worker, message: Ask | Sent | Left | SlowDown) -> None:
        """Do what *worker* wants."""
        match message:
            case Ask():
                asyncio.ensure_future(self._answer(worker, message))  # noqa: RUF006 - the engine outlives it
            case Sent(group, ticket, at_s):
                self._scheduler.turnstile.sent(group, ticket, at_s)
            case Left():
                self._hear_left(worker, message)
            case SlowDown():
                self.trouble(message.group)
                self._scheduler.slow_down(message.group, message.delay_s)

    def hear_cookies(self, worker: Worker, changes: Sequence[CookieChange]) -> None:
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
        if group not in self._troubled:
            self._troubled.add(group)
            self._pool.tell_all(Troubled(group))

    async def _answer(self, worker: Worker, ask: Ask) -> None:
        try:
            match ask.question:
                case Enter(group, ticket):
                    await self._scheduler.turnstile.enter(group, ticket)
                    self._scheduler.entered(group)
                    if ticket is None and worker.is_gone:
                        # It died while it waited in line. One with a ticket has been
                        # started over and may be there by now for another worker.
                        self._scheduler.turnstile.leave(group, None, Visit())
                    elif ticket is None:
                        worker.guests[group] += 1
                    answer = Answer(ask.number)
                case FetchRobots(payload):
                    found = await self._fetch_robots(self._codec.decode(payload))
                    answer = Answer(ask.number, self._codec.encode(found))
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

    def _hear_left(self, worker: Worker, left: Left) -> None:
        if left.visit.status in (429, 503):
            self.trouble(left.group)
        ticket = left.ticket
        if ticket is None:
            worker.guests[left.group] -= 1
        self._scheduler.turnstile.leave(left.group, ticket, left.visit)

    def _greeting(self) -> list[ToWorker]:
        """Return what a worker must know besides its job."""
        receivers = {
            name: [
                *liveReceivers(getAllReceivers(self._crawler, getattr(signals, name)))
            ]
            for name in REPLAYED
        }
        listen = Listen(
            frozenset(name for name, found in receivers.items() if found),
            frozenset(
                name
                for name, found in receivers.items()
                if any(map(_takes_response, found))
            ),
        )
        cookies = self._cookies.everything() if self._cookies is not None else ()
        troubled = [Troubled(group) for group in self._troubled]
        state = self._scheduler.state
        whole = [] if state is None else [SetState(state.whole())]
        return [listen, SetCookies(cookies), *whole, *troubled]

    def _lose(self, worker: Worker) -> None:
        """Take a dead worker's requests from the sites they were at."""
        for group, guests in worker.guests.items():
            for _ in range(guests):
                self._scheduler.turnstile.leave(group, None, Visit())
        self._scheduler.start_over(list(worker.held))


def _takes_response(receiver: Callable[..., object]) -> bool:
    """Tell whether the receiver of a signal takes the response that it is about."""
    try:
        parameters = inspect.signature(receiver).parameters
    except (TypeError, ValueError):  # in C, and it does not tell
        return True
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return takes_all or "response" in parameters
