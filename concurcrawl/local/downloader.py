"""Scrapy's downloader without limits of its own, and with less ceremony.

What each request passes here, it passes in every mode.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from scrapy import signals
from typing_extensions import override

from concurcrawl import registry
from concurcrawl.compat.downloader import DirectDownloader
from concurcrawl.compat.middlewares import QuickMiddlewares
from concurcrawl.compat.robots import obey_robots_for_all_waiters
from concurcrawl.limits import handler
from concurcrawl.limits.slots import Slots

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.core.downloader import Slot
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings
    from twisted.internet.defer import Deferred


class PassThroughDownloader(DirectDownloader):
    """Scrapy's downloader without limits of its own: those of the limiter count.

    It is full, too, while requests wait in the scheduler of which none may start now:
    Scrapy's would be in progress here, and wait for a delay.
    """

    slots: Slots

    #: Whether handlers are made when they are needed only.
    makes_handlers_late = False

    def __init__(self, crawler: Crawler) -> None:
        prefetch = self._prefetch(crawler.settings)
        handler.put_before_handlers(crawler.settings, is_lazy=self.makes_handlers_late)
        super().__init__(crawler)
        self.slots = Slots()
        obey_robots_for_all_waiters(self.middleware.middlewares)
        # The very same middlewares, called by ours.
        self.middleware = QuickMiddlewares(
            *self.middleware.middlewares, crawler=crawler
        )
        if self.total_concurrency:
            self.total_concurrency += prefetch

    def _prefetch(self, settings: BaseSettings) -> int:
        """Return how many requests are prepared beyond those in flight."""
        return settings.getint(handler.PREFETCH)

    @override
    def needs_backout(self) -> bool:
        return self.is_full() or registry.find(self.crawler).holds_back()

    def is_full(self) -> bool:
        """Return whether as many requests are in progress as may be."""
        return super().needs_backout()

    @override
    def slot_for(self, request: Request) -> tuple[str, Slot]:
        key = self.get_slot_key(request)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots.open(key, request)
            self.drop_idle_slots()
        return key, slot

    @override
    async def download_now(self, request: Request) -> Response:
        # Scrapy queues it in its slot and downloads it in a task of its own, for the
        # sake of limits. Here its slot only says what is under way.
        key, slot = self.slot_for(request)
        request.meta[self.DOWNLOAD_SLOT] = key
        slot.lastseen = time.monotonic()
        slot.active.add(request)
        self._say(signals.request_reached_downloader, request=request)
        slot.transferring.add(request)
        try:
            response = await self.handlers.download_request_async(request)
            self._say(signals.response_downloaded, request=request, response=response)
            return response
        finally:
            slot.transferring.remove(request)
            slot.active.remove(request)
            self._say(signals.request_left_downloader, request=request)

    def _say(self, signal: object, **about: Any) -> None:
        self.signals.send_catch_log(signal, spider=self.crawler.spider, **about)


class EagerDownloader(PassThroughDownloader):
    """Starts what may start before it looks at what has come.

    Where many answers come together, inflating them takes longer than asking for as
    many more: those would leave only when all that was done. It is of no use where
    threads download: they inflate by themselves, and wait for the same interpreter.

    Invariant: no more requests are answered and yet to be looked at than may be in
    flight.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._answered: set[Request] = set()

    @override
    def fetch(
        self, request: Request, spider: Spider | None = None
    ) -> Deferred[Response | Request]:
        fetched: Deferred[Response | Request] = super().fetch(request)
        return fetched.addBoth(self._looked_at, request)

    @override
    def is_full(self) -> bool:
        most = self.total_concurrency
        return 0 < most <= len(self.active) - min(most, len(self._answered))

    @override
    async def download_now(self, request: Request) -> Response:
        response = await super().download_now(request)
        self._answered.add(request)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        return response

    def _looked_at(self, result: Any, request: Request) -> Any:
        self._answered.discard(request)
        return result


#: Turns of the loop until what may start has: in one the engine is asked, in the next
#: what it starts begins, and that is before what waited for the third.
_TURNS = 3
