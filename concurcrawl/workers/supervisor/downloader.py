"""The downloader of a supervisor, which dispatches requests to workers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scrapy.utils.defer import deferred_from_coro
from typing_extensions import override

from concurcrawl import registry
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.workers.supervisor.app import SupervisorApp
from concurcrawl.workers.supervisor.dormant import DormantMiddlewares
from concurcrawl.workers.supervisor.starter import EarlyStart

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

    from concurcrawl.progress.rates import Row, Tally


class DispatchingDownloader(PassThroughDownloader):
    """Is full when workers are, and downloads nothing that the scheduler has.

    Requests that code of this process downloads directly (a media pipeline,
    ``start()``) are downloaded here.

    Attributes:
        early: The workers that were started with it.
    """

    makes_handlers_late = True  # most crawls need none here

    def __init__(self, crawler: Crawler) -> None:
        # First of all: workers start while our own handlers and middlewares load.
        self.early = EarlyStart(crawler)
        super().__init__(crawler)
        self._middlewares: DormantMiddlewares | None = None
        self._spider_middlewares: DormantMiddlewares | None = None

    @property
    def _app(self) -> SupervisorApp:
        return registry.app_of(self.crawler, SupervisorApp)

    def put_middlewares_to_sleep(self) -> None:
        """Tell middlewares of the crawl's begin only once they are needed here."""
        scraper = self.crawler.engine.scraper
        self._middlewares = DormantMiddlewares(
            self.crawler, self.middleware.middlewares
        )
        self._spider_middlewares = DormantMiddlewares(
            self.crawler, scraper.spidermw.middlewares
        )

    def wake_spider_middlewares(self) -> None:
        """Put spider middlewares in use: an errback is about to be called here."""
        if self._spider_middlewares is not None:
            self._spider_middlewares.wake_now()

    @override
    def is_full(self) -> bool:
        return not self._app.dispatcher.has_capacity()

    @override
    def fetch(
        self, request: Request, spider: Spider | None = None
    ) -> Deferred[Response | Request]:
        """Middlewares are in use from now on."""
        return deferred_from_coro(self._fetch(request))

    async def _fetch(self, request: Request) -> Response | Request:
        if self._middlewares is not None:
            await self._middlewares.wake()
        return await self.fetch_async(request)

    @override
    def close(self) -> None:
        super().close()
        self._app.stop()

    def note_slot(self, request: Request) -> None:
        """Have the slot be here that *request* was in at a worker."""
        _, slot = self.slot_for(request)
        slot.lastseen = time.monotonic()

    def begin_tallies(self) -> None:
        """Count what each worker does from now on."""
        self._app.dispatcher.begin_tallies()

    def rows(self) -> tuple[tuple[Row, ...], Tally]:
        """Return a row for each worker, and the sum of them all."""
        return self._app.dispatcher.rows()
