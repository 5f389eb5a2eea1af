"""The last step before the network: nothing passes that its site's limits forbid.

Every request of http and https passes it, also those that never were in a scheduler:
robots.txt, media, what a callback downloads by itself.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.asyncio import call_later
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.httpobj import urlparse_cached
from scrapy.utils.misc import build_from_crawler, load_object
from twisted.internet.defer import Deferred

from concurcrawl import departures, retry_after, timeline
from concurcrawl.config import Config
from concurcrawl.errors import LeaseLostError, PausedTooLongError
from concurcrawl.frontier.limits import Visit
from concurcrawl.modes import THREADED_HANDLER
from concurcrawl.politeness import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings
    from scrapy.utils.asyncio import CallLaterResult

    from concurcrawl.frontier.base import Frontier, Lease

#: Setting with the handlers that were there before the gate, by scheme.
INNER = "CONCURCRAWL_INNER_HANDLERS"


#: Setting with how many requests a process prepares beyond those in flight: they wait
#: at the gate, so that one starts at once when another ends, before Scrapy has dealt
#: with that one's response.
AHEAD = "CONCURCRAWL_AHEAD"


class Gate(Protocol):
    """Where a handler asks. A scheduler has one, as its attribute ``gate``."""

    async def enter(self, request: Request) -> bool:
        """Return when *request* may start.

        Returns:
            Whether to call :meth:`sent`.

        Raises:
            PausedTooLongError: If its site wants a pause longer than is waited for.
        """

    def sent(self, request: Request, at_s: float) -> None:
        """Say that *request*, which has entered, was sent to its site.

        Args:
            request: It.
            at_s: When, by the monotonic clock, the latest.
        """

    def leave(self, request: Request, visit: Visit) -> None:
        """Say that *request*, which has entered, is done at its site."""


def is_robots(request: Request) -> bool:
    """Tell whether Scrapy made *request* to learn what it may ask for.

    Then another request waits for it, which is not at its site yet.
    """
    return (
        request.callback is NO_CALLBACK
        and bool(request.meta.get("dont_obey_robotstxt"))
        and urlparse_cached(request).path == "/robots.txt"
    )


def robots_agent(request: Request, settings: BaseSettings) -> str | bytes:
    """Return by which name *request* must look for itself in a robots.txt."""
    agent: str | None = settings["ROBOTSTXT_USER_AGENT"]
    return agent or request.headers.get("User-Agent") or settings["USER_AGENT"]


def slot_of(request: Request) -> str | None:
    """Return the group that the spider chose with ``download_slot``, if it did.

    Scrapy's downloader writes the host there, and a redirect takes it along.
    """
    slot: str | None = request.meta.get("download_slot")
    earlier = request.meta.get("redirect_urls", ())
    return None if slot in {host_of(url) for url in earlier} else slot


class GatedHandler(BaseDownloadHandler):
    """Asks before each download, then lets the handler that was set do it."""

    scheme: str

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        # Scrapy's own defaults may have changed since: without a reactor they do.
        base = crawler.settings.getdict("DOWNLOAD_HANDLERS_BASE")
        path = crawler.settings.getdict(INNER).get(self.scheme, base[self.scheme])
        self._path = path
        self._tells_when_sent = False
        self._inner: BaseDownloadHandler | None = None
        # Ours is lazy, and a supervisor that downloads nothing need not even import it.
        if path != THREADED_HANDLER:
            self._inner = self._open()

    def _open(self) -> BaseDownloadHandler:
        inner: BaseDownloadHandler
        inner = build_from_crawler(load_object(self._path), self.crawler)
        self._tells_when_sent = departures.listen(inner)
        settings = self.crawler.settings
        if self.scheme == "http" and Config.from_settings(settings).records:
            timeline.clock_connections(inner)
        return inner

    async def download_request(self, request: Request) -> Response:
        """See :class:`BaseDownloadHandler`."""
        if self._inner is None:
            self._inner = self._open()
        gate: Gate = self.crawler.engine.scheduler.gate  # type: ignore[union-attr]
        is_paced = await gate.enter(request)
        timeline.start(request)
        visit = Visit()
        said: list[float] = []

        def say(at_s: float) -> None:
            said.append(at_s)
            gate.sent(request, at_s)

        if is_paced and self._tells_when_sent:
            departures.expect(request, say)
        elif is_paced:
            say(time.monotonic())
        try:
            response: Response = await self._inner.download_request(request)
            timeline.arrived(request)
            visit = Visit(
                status=response.status,
                latency_s=request.meta.get("download_latency"),
                retry_after_s=retry_after.parse(
                    response.headers.get("Retry-After"), time.time()
                ),
            )
            return response
        finally:
            departures.forget(request)
            if is_paced and not said:
                say(time.monotonic())
            gate.leave(request, visit)

    async def close(self) -> None:
        """See :class:`BaseDownloadHandler`."""
        if self._inner is not None:
            await self._inner.close()


class HttpGate(GatedHandler):
    """The gate of http."""

    scheme = "http"


class HttpsGate(GatedHandler):
    """The gate of https."""

    scheme = "https"


def put_before_handlers(settings: BaseSettings, rank: str) -> None:
    """Put the gate before the handlers that *settings* name."""
    own = settings.getdict("DOWNLOAD_HANDLERS")
    gates = {"http": HttpGate, "https": HttpsGate}
    settings.set(INNER, {s: own[s] for s in gates if s in own}, rank)
    closed = {scheme for scheme, handler in own.items() if handler is None}
    opened = {scheme: gate for scheme, gate in gates.items() if scheme not in closed}
    settings.set("DOWNLOAD_HANDLERS", own | opened, rank)


@dataclass(slots=True, eq=False)
class _Place:
    """Somebody's place in a queue."""

    ticket: int | None
    admitted: Deferred[None]


class Turnstile:
    """Admits requests to the gates of a frontier, those of a group in their order.

    Attributes:
        on_unleased: Called with True when the first request without a ticket waits,
            and with False when none does any more.
    """

    def __init__(self, frontier: Frontier, on_room: Callable[[], None]) -> None:
        """Make one.

        Args:
            frontier: Knows the limits.
            on_room: Called when a request has left, so that another may be lent.
        """
        self._frontier = frontier
        self._on_room = on_room
        self.on_unleased: Callable[[bool], None] = lambda _: None
        self._unleased = 0  # requests without a ticket that wait
        self._queues: dict[str, deque[_Place]] = {}
        self._timers: dict[str, tuple[float, CallLaterResult]] = {}

    async def enter(self, group: str, ticket: int | None) -> None:
        """Return when a request of *group* is admitted. See :meth:`Frontier.admit`."""
        queue = self._queues.setdefault(group, deque())  # as many as there are sites
        if not queue and not self._frontier.admit(group, ticket):
            return
        admitted: Deferred[None] = Deferred()
        place = _Place(ticket, admitted)
        queue.append(place)
        if ticket is None:
            self._count_unleased(group, +1)
        self._pump(group)
        try:
            await maybe_deferred_to_future(admitted)
        except asyncio.CancelledError:
            if place in queue:
                queue.remove(place)
            else:  # it was admitted while it was being cancelled
                self._frontier.sent(group, ticket, 0.0)
                self._frontier.leave(group, ticket, Visit())
            raise
        finally:
            if ticket is None:
                self._count_unleased(group, -1)
                self._on_room()

    def sent(self, group: str, ticket: int | None, at_s: float) -> None:
        """Say that a request was sent at *at_s* by the monotonic clock, the latest.

        See :meth:`Frontier.sent`.
        """
        self._frontier.sent(group, ticket, max(0.0, time.monotonic() - at_s))
        self._pump(group)

    def leave(self, group: str, ticket: int | None, visit: Visit) -> None:
        """See :meth:`Frontier.leave`."""
        self._frontier.leave(group, ticket, visit)
        self.pump_all()
        self._on_room()

    def release(self, leases: Iterable[Lease]) -> None:
        """Stop counting *leases* as in flight: they are not at their sites.

        Each is counted again when it enters.
        """
        for lease in leases:
            self._frontier.leave(lease.group, lease.ticket, Visit())
        self.pump_all()
        self._on_room()

    def withdraw(self, tickets: set[int]) -> None:
        """Take the requests with *tickets* out of their queues: nobody wants them now.

        For who waits for one it is cancelled.
        """
        for queue in self._queues.values():
            for place in [place for place in queue if place.ticket in tickets]:
                queue.remove(place)
                place.admitted.cancel()

    @property
    def is_timed(self) -> bool:
        """Whether a request waits for time: a delay, a rate or a pause."""
        return bool(self._timers)

    def abandon(self, error: Exception) -> None:
        """Fail all requests that wait with *error*."""
        for queue in self._queues.values():
            while queue:
                queue.popleft().admitted.errback(error)

    def pump_all(self) -> None:
        """Ask again for all that wait: something has ended."""
        for group in [group for group, queue in self._queues.items() if queue]:
            self._pump(group)

    def _pump(self, group: str) -> None:
        queue = self._queues.get(group)
        while queue:
            place = queue[0]
            try:
                wait_s = self._frontier.admit(group, place.ticket)
            except (LeaseLostError, PausedTooLongError) as error:
                queue.popleft()
                place.admitted.errback(error)
                continue
            if wait_s:
                if math.isfinite(wait_s):
                    self._pump_in(wait_s, group)
                return
            queue.popleft()
            place.admitted.callback(None)

    def _count_unleased(self, group: str, change: int) -> None:
        self._frontier.expect(group, change)
        before, self._unleased = self._unleased, self._unleased + change
        if bool(before) != bool(self._unleased):
            self.on_unleased(bool(self._unleased))

    def _pump_in(self, wait_s: float, group: str) -> None:
        due_s = time.monotonic() + wait_s
        if group in self._timers:
            other_s, timer = self._timers[group]
            if other_s <= due_s:
                return
            timer.cancel()
        self._timers[group] = (due_s, call_later(wait_s, self._on_time, group))

    def _on_time(self, group: str) -> None:
        del self._timers[group]
        self._pump(group)
