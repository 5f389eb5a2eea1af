"""The scheduler and the item processor of a worker, as Scrapy makes them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from scrapy.core.scheduler import BaseScheduler
from scrapy.pipelines import ItemPipelineManager
from scrapy.utils.defer import deferred_from_coro
from typing_extensions import override

from concurcrawl.errors import NotShippableError
from concurcrawl.workers.worker.crawler import WorkerCrawler

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from concurcrawl.workers.worker.app import WorkerApp

logger = logging.getLogger(__name__)


class WorkerScheduler(BaseScheduler):
    """Takes requests from leases and sends new ones to the supervisor."""

    def __init__(self, app: WorkerApp, engine: Any) -> None:
        self._leases = app.leases
        self._products = app.products
        self._claims = app.claims
        self._outbox = app.outbox
        self._engine = engine
        self._limiter = app.limiter

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> WorkerScheduler:
        """Make the scheduler of a :class:`WorkerCrawler`."""
        assert isinstance(crawler, WorkerCrawler)
        return cls(crawler.app, crawler.engine)

    @override
    def open(self, spider: Spider) -> None:
        # Scrapy makes the downloader before the scheduler, so its slots get to know
        # their limits here.
        self._engine.downloader.slots.limits = self._limiter.slot_limits

    @override
    def has_pending_requests(self) -> bool:
        return bool(len(self._leases))

    def __len__(self) -> int:
        """Return how many requests wait in this worker."""
        return len(self._leases)

    @override
    def enqueue_request(self, request: Request) -> bool:
        """Send *request* to the supervisor, which finds out if it is a duplicate."""
        try:
            self._products.add_request(request, self._limiter.group_of(request))
        except NotShippableError as error:
            if self._claims.keep(request):
                return True
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._outbox.write_stat("inc", "concurcrawl/not_shippable", 1)
            self._engine.refuse(request, error)
            return False
        return True

    @override
    def close(self, reason: str) -> Deferred[None] | None:
        """Send what is due; the engine has finished all requests."""
        return deferred_from_coro(self._outbox.close())

    @override
    def next_request(self) -> Request | None:
        return self._leases.next_request()


class WorkerItems(ItemPipelineManager):
    """Sends items to the supervisor, after the pipelines that run in workers."""

    @override
    async def process_item_async(self, item: Any) -> Any:
        assert isinstance(self.crawler, WorkerCrawler)
        products = self.crawler.app.products
        try:
            passed = await super().process_item_async(item)
        except Exception as error:  # noqa: BLE001 - any code of the project's
            products.add_failed_item(item, error)
            return item
        products.add_item(passed)
        return passed
