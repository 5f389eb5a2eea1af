"""The engine of a worker: Scrapy's, with a single task per request.

Scrapy works on a request in a chain of deferreds, tasks and queues, which costs time
per page. The steps and their order are the same here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from scrapy import Request, signals
from scrapy.http import Response
from scrapy.utils.asyncgen import as_async_generator
from scrapy.utils.defer import aiter_errback
from scrapy.utils.log import logformatter_adapter
from twisted.python.failure import Failure
from typing_extensions import override

from concurcrawl.compat import engine, scraper
from concurcrawl.compat.worker_engine import OtherwiseStartingEngine
from concurcrawl.limits.handler import are_ours, is_robots
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.watchdog.frames import where_awaited
from concurcrawl.watchdog.stall import Waiting
from concurcrawl.watchdog.timers import is_something_due
from concurcrawl.workers.protocol.messages.questions import FetchRobots
from concurcrawl.workers.worker.outbox import robots_are_shared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable

    from scrapy.settings import BaseSettings

    from concurcrawl.workers.worker.crawler import WorkerCrawler


class WorkerDownloader(PassThroughDownloader):
    """Prefetches only where our own handler limits the requests in flight.

    A leased request whose site has no limits starts without asking, so nothing else
    would hold a prefetched one back.
    """

    def _prefetch(self, settings: BaseSettings) -> int:
        return super()._prefetch(settings) if are_ours(settings) else 0


class WorkerEngine(OtherwiseStartingEngine):
    """An engine that starts nothing by itself and never finds itself idle."""

    crawler: WorkerCrawler
    downloader: PassThroughDownloader

    def __init__(
        self,
        crawler: WorkerCrawler,
        spider_closed_callback: Callable[..., Coroutine[Any, Any, None]],
    ) -> None:
        super().__init__(crawler, spider_closed_callback)
        scraper.handle_outputs(self.scraper, self._handle_output)

    @override
    async def open_spider_async(self, *, close_if_idle: bool = True) -> None:
        assert self.crawler.spider is not None
        app = self.crawler.open_app()
        await app.connect()
        # The supervisor's spider starts the crawl. Here neither the spider nor a spider
        # middleware may do so again.
        scraper.start_nothing(self.scraper)
        await super().open_spider_async(close_if_idle=False)
        app.report_ready()

    async def close_spider_async(self, *, reason: str = "cancelled") -> None:
        """Close if the supervisor stops this worker, else ask it to end the crawl."""
        if self.crawler.app.control.is_stopping:
            await super().close_spider_async(reason=reason)
        else:
            self.crawler.app.outbox.here().close_reason = reason

    @override
    async def stop_async(self) -> None:
        if self.crawler.app.control.is_stopping:
            await super().stop_async()
        else:
            self.crawler.app.outbox.here().close_reason = "shutdown"

    def pause(self) -> None:
        """Pause the whole crawl."""
        self.crawler.app.control.pause(is_on=True)

    def unpause(self) -> None:
        """Go on with the whole crawl."""
        self.crawler.app.control.pause(is_on=False)

    @override
    async def download_async(self, request: Request) -> Response:
        """Download *request*; a robots.txt is downloaded once, by the supervisor."""
        if not is_robots(request):
            return await super().download_async(request)
        app = self.crawler.app
        app.limiter.report_idle()  # the request that waits for it is not at its site
        question = FetchRobots(app.codec.encode(request))
        answer = await app.connection.ask(question)
        is_first, response = app.codec.decode(answer)
        robots_are_shared.set(not is_first)
        found: Response = response
        return found

    @override
    def start_next(self) -> bool:
        assert self.scheduler is not None
        if not self.crawler.app.is_started:
            self.crawler.app.start()
        request = self.scheduler.next_request()
        if request is None:
            return False
        engine.begin(self, request)
        self.downloader.active.add(request)
        asyncio.ensure_future(self._work_on(request))  # noqa: RUF006 - the slot waits for it
        return True

    async def _work_on(self, request: Request) -> None:
        """Download *request*, call its callback and send the result."""
        try:
            result = await self._downloaded(request)
            engine.wake(self)  # there may be capacity for the next request
            if isinstance(result, Request):  # a redirect, for example
                self.crawl(result)
            else:
                await self._scrape(result, request)
            await self._call_errbacks()
        finally:
            engine.end(self, request)
            self.crawler.app.finisher.finish(request)
            engine.wake(self)

    def refuse(self, request: Request, error: Exception) -> None:
        """Call the errback of *request*, which cannot leave this process."""
        if request.errback is None:
            return
        work = self.crawler.app.work.current()
        if work is not None:  # its errback is called before the lease ends
            work.refused.append((request, error))
        else:
            asyncio.ensure_future(self._scrape(Failure(error), request))  # noqa: RUF006 - the scraper's slot waits for it

    async def _call_errbacks(self) -> None:
        """Call the errbacks of requests that the callback could not send."""
        work = self.crawler.app.work.current()
        while work is not None and work.refused:
            request, error = work.refused.pop(0)
            await self._scrape(Failure(error), request)

    def inspect(self) -> tuple[Waiting, ...] | None:
        """Return the requests in progress, or None if something may move them."""
        assert self.scraper.slot is not None
        app, limiter = self.crawler.app, self.crawler.app.limiter
        if limiter.inside or not self.scraper.slot.is_idle() or is_something_due():
            return None
        return tuple(
            Waiting(
                f"[{app.name}] {request}",
                "for free capacity at its site"
                if request in limiter.waiting
                else "in a downloader middleware",
                where_awaited(request),
            )
            for request in engine.in_progress(self)
        )

    @property
    def is_downloading(self) -> bool:
        """Whether requests that are not in a callback are in progress."""
        assert self.scraper.slot is not None
        limiter = self.crawler.app.limiter
        is_waiting = bool(limiter.inside or limiter.waiting)
        return is_waiting or not engine.in_progress(self) <= self.scraper.slot.active

    async def _downloaded(self, request: Request) -> Response | Request | Failure:
        try:
            result = await self.downloader.fetch_async(request)
        except Exception:  # noqa: BLE001 - the spider's errback handles it
            return Failure()
        if isinstance(result, Response):
            if result.request is None:
                result.request = request
            assert self.spider is not None
            self.crawler.app.work.note_response(request, result)
            line = self.logformatter.crawled(result.request, result, self.spider)
            if line is not None:
                _engines.log(*logformatter_adapter(line), extra={"spider": self.spider})
            self.signals.send_catch_log(
                signals.response_received,
                response=result,
                request=result.request,
                spider=self.spider,
            )
        return result

    async def _scrape(self, result: Response | Failure, request: Request) -> None:
        """Call back the spider with *result* and handle what it yields."""
        await scraper.scrape(self.scraper, result, request)
        # A task that the callback has started, to end the crawl for example, gets its
        # turn before the result is sent.
        await asyncio.sleep(0)

    async def _handle_output(
        self,
        result: Iterable[Any] | AsyncIterator[Any],
        request: Request,
        response: Response | Failure,
    ) -> None:
        """Handle one output at a time, where Scrapy's scraper handles several.

        Items and requests only leave here; there is nothing to wait for, unless
        pipelines run in workers: then ``CONCURRENT_ITEMS`` is more than one.
        """
        items: set[asyncio.Future[None]] = set()
        outputs = aiter_errback(
            as_async_generator(result),
            self.scraper.handle_spider_error,
            request,
            response,
        )
        began_s = time.monotonic()
        collect_state = self.crawler.app.state.collect
        collect_state()
        async for output in outputs:
            # Before any other callback runs, which could change the state too.
            collect_state()
            handled = scraper.handle_output(self.scraper, output, response)
            if self.scraper.concurrent_items == 1 or isinstance(output, Request):
                await handled
            else:
                items = await _added(items, handled, self.scraper.concurrent_items)
            if time.monotonic() - began_s > _TURN_S:
                await asyncio.sleep(0)  # other callbacks have theirs
                began_s = time.monotonic()
        if items:
            await asyncio.wait(items)


async def _added(
    items: set[asyncio.Future[None]], item: Awaitable[None], most: int
) -> set[asyncio.Future[None]]:
    """Start *item* beside *items*; return those at work once they are below *most*."""
    items.add(asyncio.ensure_future(item))
    if len(items) >= most:
        _, items = await asyncio.wait(items, return_when=asyncio.FIRST_COMPLETED)
    return items


#: Seconds that a callback which awaits nothing runs before others have their turn.
_TURN_S = 0.005

#: Scrapy's logger for the same lines in a crawl without workers.
_engines = logging.getLogger("scrapy.core.engine")
