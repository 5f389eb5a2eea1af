"""The engine of a worker: Scrapy's, with one task for all of a request.

Scrapy makes a chain of deferreds, tasks and queues of it, which costs time for each
page. What it does, and in which order, is the same here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextvars import ContextVar
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
from concurcrawl.limits.handler import are_threaded, is_robots
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.watchdog.frames import where_awaited
from concurcrawl.watchdog.stall import Waiting
from concurcrawl.watchdog.timers import is_something_due
from concurcrawl.workers.protocol.messages.lifecycle import FileOpened, Ready
from concurcrawl.workers.protocol.messages.questions import FetchRobots
from concurcrawl.workers.worker.channel import robots_were_known
from concurcrawl.workers.worker.exclusive import dbm_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from scrapy.settings import BaseSettings

    from concurcrawl.workers.worker.crawler import WorkerCrawler, WorkerGate


#: Requests that the lease at hand made and that cannot leave this process.
_refused: ContextVar[list[tuple[Request, Exception]] | None] = ContextVar(
    "refused", default=None
)


class WorkerDownloader(PassThroughDownloader):
    """Prefetches only where threads keep to the number that may be in flight.

    A leased request whose site has no limits does not ask before it starts.
    """

    def _prefetch(self, settings: BaseSettings) -> int:
        return super()._prefetch(settings) if are_threaded(settings) else 0


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
        await self.crawler.channel.connect(self.crawler)
        # The supervisor's spider starts the crawl; ours only has callbacks. Nor may a
        # middleware make up a start of its own.
        scraper.start_nothing(self.scraper)
        await super().open_spider_async(close_if_idle=False)
        self.crawler.channel.send(Ready(os.getpid()))
        dbm_files.tell(lambda path: self.crawler.channel.send(FileOpened(path)))

    async def close_spider_async(self, *, reason: str = "cancelled") -> None:
        """Close for the supervisor; for a callback that asks, ask the supervisor."""
        if self.crawler.channel.is_stopping:
            await super().close_spider_async(reason=reason)
        else:
            self.crawler.channel.here().close_reason = reason

    @override
    async def stop_async(self) -> None:
        if self.crawler.channel.is_stopping:
            await super().stop_async()
        else:
            self.crawler.channel.here().close_reason = "shutdown"

    def pause(self) -> None:
        """Pause the whole crawl."""
        self.crawler.channel.pause(is_on=True)

    def unpause(self) -> None:
        """Go on with the whole crawl."""
        self.crawler.channel.pause(is_on=False)

    @override
    async def download_async(self, request: Request) -> Response:
        """A robots.txt is fetched once for all."""
        if not is_robots(request):
            return await super().download_async(request)
        channel = self.crawler.channel
        channel.on_recall()  # the request that waits for it is not at its site
        answer = await channel.ask(FetchRobots(channel.encode(request)))
        is_first, response = channel.decode(answer)
        robots_were_known.set(not is_first)
        found: Response = response
        return found

    @override
    def start_next(self) -> bool:
        assert self.scheduler is not None
        request = self.scheduler.next_request()
        if request is None:
            return False
        engine.begin(self, request)
        self.downloader.active.add(request)
        asyncio.ensure_future(self._work_on(request))  # noqa: RUF006 - the slot waits for it
        return True

    async def _work_on(self, request: Request) -> None:
        """Download *request* and have the spider scrape what came."""
        refused: list[tuple[Request, Exception]] = []
        _refused.set(refused)
        try:
            result = await self._downloaded(request)
            engine.wake(self)  # there may be room for the next
            if isinstance(result, Request):  # a redirect, say
                self.crawl(result)
            else:
                await self._scrape(result, request)
            await self._call_errbacks(refused)
        finally:
            engine.end(self, request)
            self.crawler.channel.finish(request)
            engine.wake(self)

    def refuse(self, request: Request, error: Exception) -> None:
        """Call the errback of *request*, which cannot leave this process."""
        if request.errback is None:
            return
        refused = _refused.get()
        if refused is not None:  # its errback is called before the lease at hand ends
            refused.append((request, error))
        else:
            asyncio.ensure_future(self._scrape(Failure(error), request))  # noqa: RUF006 - the scraper's slot waits for it

    async def _call_errbacks(self, refused: list[tuple[Request, Exception]]) -> None:
        while refused:
            request, error = refused.pop(0)
            await self._scrape(Failure(error), request)
        _refused.set(None)

    def look(self) -> tuple[Waiting, ...] | None:
        """Return the requests in progress, or None if something may move them."""
        assert self.scraper.slot is not None
        gate = self._gate
        if gate.inside or not self.scraper.slot.is_idle() or is_something_due():
            return None
        return tuple(
            Waiting(
                f"[{self.crawler.channel.name}] {request}",
                "for free capacity at its site"
                if request in gate.waiting
                else "in a downloader middleware",
                where_awaited(request),
            )
            for request in engine.in_progress(self)
        )

    @property
    def is_downloading(self) -> bool:
        """Whether something else than callbacks is in progress."""
        assert self.scraper.slot is not None
        is_waiting = bool(self._gate.inside or self._gate.waiting)
        return is_waiting or not engine.in_progress(self) <= self.scraper.slot.active

    @property
    def _gate(self) -> WorkerGate:
        gate: WorkerGate = self.scheduler.gate  # type: ignore[union-attr]
        return gate

    async def _downloaded(self, request: Request) -> Response | Request | Failure:
        try:
            result = await self.downloader.fetch_async(request)
        except Exception:  # noqa: BLE001 - the spider's errback handles it
            return Failure()
        if isinstance(result, Response):
            if result.request is None:
                result.request = request
            assert self.spider is not None
            self.crawler.channel.note_page(request, result)
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
        # What a callback has scheduled, the end of the crawl say, is told with it.
        await asyncio.sleep(0)

    async def _handle_output(
        self,
        result: Iterable[Any] | AsyncIterator[Any],
        request: Request,
        response: Response | Failure,
    ) -> None:
        """Do for one output at a time what the scraper does for several.

        Here they only leave, through the pipelines that were moved here, if any.
        """
        outputs = aiter_errback(
            as_async_generator(result),
            self.scraper.handle_spider_error,
            request,
            response,
        )
        began_s = time.monotonic()
        collect_state = self.crawler.channel.collect_state
        collect_state()
        async for output in outputs:
            # Now, while no other callback can have had its turn.
            collect_state()
            await scraper.handle_output(self.scraper, output, response)
            if time.monotonic() - began_s > _TURN_S:
                await asyncio.sleep(0)  # others have theirs
                began_s = time.monotonic()


#: How long a callback that does not wait for anything has its turn.
_TURN_S = 0.005

#: The one that says the same in a crawl without workers.
_engines = logging.getLogger("scrapy.core.engine")
