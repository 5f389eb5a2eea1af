"""Scrapy's downloader without limits of its own, and with less ceremony.

What each request passes here, it passes in every mode.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from scrapy import Request, signals
from scrapy.core.downloader import Downloader
from scrapy.core.downloader.middleware import DownloaderMiddlewareManager
from scrapy.exceptions import _InvalidOutput
from scrapy.http import Response
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.python import global_object_name
from typing_extensions import override

from concurcrawl.compat.robots import obey_robots_for_all_waiters
from concurcrawl.limits import handler
from concurcrawl.limits.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy import Spider
    from scrapy.core.downloader import Slot
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings
    from twisted.internet.defer import Deferred


class PassThroughDownloader(Downloader):
    """Scrapy's downloader without limits of its own: those of the gate count.

    Attributes:
        holds_back: Returns whether requests wait in the scheduler of which none may
            start now. Scrapy's would be in progress here, and wait for a delay.
    """

    slots: Slots

    #: Whether handlers are made when they are needed only.
    makes_handlers_late = False

    def __init__(self, crawler: Crawler) -> None:
        prefetch = self._prefetch(crawler.settings)
        handler.put_before_handlers(crawler.settings, is_lazy=self.makes_handlers_late)
        super().__init__(crawler)
        self.slots = Slots()
        self.holds_back: Callable[[], bool] = lambda: False
        obey_robots_for_all_waiters(self.middleware.middlewares)
        # The very same middlewares, called by ours.
        self.middleware = QuickMiddlewares(
            *self.middleware.middlewares, crawler=crawler
        )
        if self.total_concurrency:
            self.total_concurrency += prefetch

    def _prefetch(self, settings: BaseSettings) -> int:
        """Return how many requests are prepared beyond those in flight."""
        return settings.getint(handler.AHEAD)

    @override
    def needs_backout(self) -> bool:
        return self.is_full() or self.holds_back()

    def is_full(self) -> bool:
        """Return whether as many requests are in progress as may be."""
        return super().needs_backout()

    def _get_slot(
        self, request: Request, spider: Spider | None = None
    ) -> tuple[str, Slot]:
        key = self.get_slot_key(request)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots.open(key, request)
            self._start_slot_gc()
        return key, slot

    async def fetch_async(self, request: Request) -> Response | Request:
        """Do what :meth:`fetch` does, without a deferred."""
        self.active.add(request)
        try:
            return await self.middleware.download_async(self._enqueue_request, request)
        finally:
            self.active.remove(request)

    async def _enqueue_request(self, request: Request) -> Response:
        # Scrapy queues it in its slot and downloads it in a task of its own, for the
        # sake of limits. Here its slot only says what is under way.
        key, slot = self._get_slot(request)
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

    def fetch(
        self, request: Request, spider: Spider | None = None
    ) -> Deferred[Response | Request]:
        """See :class:`Downloader`."""
        fetched: Deferred[Response | Request] = super().fetch(request)
        return fetched.addBoth(self._looked_at, request)

    @override
    def is_full(self) -> bool:
        most = self.total_concurrency
        return 0 < most <= len(self.active) - min(most, len(self._answered))

    async def _enqueue_request(self, request: Request) -> Response:
        response = await super()._enqueue_request(request)
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


class QuickMiddlewares(DownloaderMiddlewareManager):
    """Calls middlewares as its base does, but awaits only what must be awaited.

    Most give their answer at once. The base makes a coroutine of each answer: with ten
    middlewares, that was a twentieth of what a small page costs.
    """

    async def _process_request(
        self,
        request: Request,
        download_func: Callable[[Request], Awaitable[Response]],
    ) -> Response | Request:
        for method in self.methods["process_request"]:
            found = self._handle_mw_method(method, request=request)
            if found is None:
                continue
            found = await ensure_awaitable(found, _warn=global_object_name(method))
            if found is None:
                continue
            return _checked(found, method)
        return await download_func(request)

    async def _process_response(
        self, response: Response | Request, request: Request
    ) -> Response | Request:
        if response is None:
            raise TypeError("no response came to the middlewares")
        for method in self.methods["process_response"]:
            if isinstance(response, Request):
                break
            found = self._handle_mw_method(method, request=request, response=response)
            if not isinstance(found, Response):
                found = await ensure_awaitable(found, _warn=global_object_name(method))
            response = _checked(found, method)
        return response

    def _handle_mw_method(self, method: Any, **kwargs: Any) -> Any:
        if self._mw_methods_requiring_spider:
            return super()._handle_mw_method(method, **kwargs)
        return method(**kwargs)


def _checked(found: Any, method: Any) -> Response | Request:
    if isinstance(found, Response | Request):
        return found
    raise _InvalidOutput(
        f"Middleware {method.__qualname__} must return a Response or a Request, not "
        f"{type(found).__name__}"
    )
