"""The two Scrapy components that make ``scrapy crawl`` a supervisor of workers.

The engine works as ever: it asks the scheduler for a request, has the downloader fetch
it, and waits for all of that before it closes. Here the downloader fetches by lending
the request to a worker and applying what came of it: signals are sent, items go through
the pipelines, new requests to the scheduler. Then it says that the request is to be
ignored, which ends it in the engine without a callback.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from scrapy import signals
from scrapy.core.downloader import Downloader
from scrapy.exceptions import IgnoreRequest
from scrapy.settings import BaseSettings
from scrapy.utils.defer import deferred_from_coro
from twisted.python.failure import Failure

from concurcrawl import stats
from concurcrawl.config import Config
from concurcrawl.errors import ConcurcrawlError, NotShippableError, PoisonError
from concurcrawl.frontier.limits import Limits
from concurcrawl.scheduler import FrontierScheduler, wake
from concurcrawl.workers.cookies import SharedCookies
from concurcrawl.workers.pool import Tolerance, Worker, WorkerPool
from concurcrawl.workers.wire import Codec, Crawl, Listen, SetCookies, residents

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

    from concurcrawl.frontier.base import Entry, Lease
    from concurcrawl.workers.wire import Event, Head, Outcome, Product, ToWorker

logger = logging.getLogger(__name__)

#: Signals that workers report and we send.
_REPLAYED = (
    "request_reached_downloader",
    "request_left_downloader",
    "response_downloaded",
    "response_received",
    "spider_error",
)

#: What a worker must not do, because the supervisor does it for all.
_WORKER_SETTINGS: dict[str, Any] = {
    "ADDONS": {},
    "AUTOTHROTTLE_ENABLED": False,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 1 << 30,
    "DOWNLOADER": "scrapy.core.downloader.Downloader",
    "DOWNLOAD_DELAY": 0,
    "EXTENSIONS": {},
    "EXTENSIONS_BASE": {},
    "FEEDS": {},
    "ITEM_PIPELINES": {},
    "ITEM_PROCESSOR": "concurcrawl.workers.process.WorkerItems",
    "JOBDIR": None,
    "LOG_FILE": None,
    "LOG_INSTALL_ROOT_HANDLER": False,  # our lines go through the supervisor's
    "MODE": None,
    "SCHEDULER": "concurcrawl.workers.process.WorkerScheduler",
    "STATS_CLASS": "concurcrawl.stats.MergingStatsCollector",
    "STATS_DUMP": False,
}


@dataclass(slots=True)
class _Batch:
    """New requests that are pushed together with the completion of their parent."""

    entries: list[Entry]
    requests: list[Request]


class SupervisorScheduler(FrontierScheduler):
    """Holds the frontier for all workers; what it gives the engine is lent to one."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._codec = Codec(residents(crawler))
        self._arriving: tuple[Request, Product] | None = None
        self._batch: _Batch | None = None

    @property
    def _downloader(self) -> WorkersDownloader:
        downloader = self._crawler.engine.downloader
        assert isinstance(downloader, WorkersDownloader)
        return downloader

    def open(self, spider: Spider) -> Deferred[None] | None:
        """See :class:`BaseScheduler`."""
        return deferred_from_coro(self._open(spider))

    async def _open(self, spider: Spider) -> None:
        opened = super().open(spider)
        if opened is not None:
            await opened
        await self._downloader.connect()

    def close(self, reason: str) -> Deferred[None] | None:
        """See :class:`BaseScheduler`. Ends the workers first."""
        return deferred_from_coro(self._close(reason))

    async def _close(self, reason: str) -> None:
        await self._downloader.pool.close()
        closed = super().close(reason)
        if closed is not None:
            await closed

    def lease_of(self, request: Request) -> Lease | None:
        """Return the lease of a request that :meth:`next_request` gave out."""
        return self._leases.get(request)

    def waiting(self) -> int:
        """Return how many requests wait."""
        return self._frontier.waiting()

    def enqueue_request(self, request: Request) -> bool:
        """See :class:`BaseScheduler`.

        A request that a worker made is only noted; :meth:`complete` pushes it.
        """
        try:
            if self._arriving is None or self._arriving[0] is not request:
                return super().enqueue_request(request)
        except NotShippableError as error:
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._stats.inc_value("concurcrawl/not_shippable")
            return False
        product = self._arriving[1]
        key = None if self._own_filter is not None else product.key or None
        entry = self._entry(request, product.payload, key)
        if entry is None:
            return False
        assert self._batch is not None
        self._batch.entries.append(entry)
        self._batch.requests.append(request)
        return True

    def complete(self, lease: Lease | None, products: Iterable[Product]) -> None:
        """End *lease* and push the requests that came of it, in one step.

        Args:
            lease: It, or None for requests that came of no lease.
            products: The requests, encoded.
        """
        self._batch = batch = _Batch([], [])
        for product in products:
            request = self._codec.decode(product.payload)
            self._arriving = (request, product)
            self._crawler.engine.crawl(request)
        self._arriving = self._batch = None
        if lease is None:
            added = self._frontier.push(batch.entries)
        else:
            added = self._frontier.complete(lease.ticket, batch.entries)
        for request, was_added in zip(batch.requests, added, strict=True):
            self._note_pushed(request, added=was_added)
            if not was_added:
                self._crawler.signals.send_catch_log(
                    signals.request_dropped,
                    request=request,
                    spider=self._crawler.spider,
                )

    def give_back(self, request: Request) -> None:
        """Make *request* wait again: nothing came of it."""
        self._frontier.give_back(self._leases.pop(request).ticket)

    def forget(self, request: Request) -> None:
        """Let go of *request*, whose lease is complete."""
        self._leases.pop(request, None)

    def _limits(self, settings: BaseSettings) -> Limits:
        return Limits(
            in_flight=settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"),
            delay_s=settings.getfloat("DOWNLOAD_DELAY"),
            jitter=self._downloader.jitter,
        )

    def _pack(self, request: Request) -> bytes:
        return self._codec.encode(request)

    def _unpack(self, lease: Lease) -> Request:
        request: Request = self._codec.decode(lease.payload)
        request.errback = None  # it is the worker's to call
        return request

    def _settle(self) -> None:
        """Do nothing: the downloader says when a lease is complete."""


class WorkersDownloader(Downloader):
    """Fetches what the scheduler lends by having a worker do it.

    Requests that somebody here downloads directly (a media pipeline, ``start()``) are
    downloaded here.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.jitter = self._jitter
        self._items_at_work = 0
        self._max_items = crawler.settings.getint("CONCURRENT_ITEMS")
        self._cookies: SharedCookies | None = None
        self._codec = Codec()
        config = Config.from_settings(crawler.settings)
        self.pool = WorkerPool(
            [int(share) for share in crawler.settings.getlist("CONCURCRAWL_SLOTS")],
            Codec().encode(_crawl(crawler)),
            _import_path(crawler.spidercls),
            Tolerance(deaths=config.max_attempts, restarts=config.max_restarts),
            self._hear,
        )
        self.pool.greeting = self._greeting
        self.pool.on_room = lambda: wake(crawler)
        self.pool.on_give_up = lambda: self._close_spider("workers_failed")

    @property
    def _scheduler(self) -> SupervisorScheduler:
        scheduler = self.crawler.engine.scheduler
        assert isinstance(scheduler, SupervisorScheduler)
        return scheduler

    async def connect(self) -> None:
        """Begin to talk to the workers; the spider opens."""
        self._cookies = SharedCookies(self.crawler)
        self._codec = Codec(residents(self.crawler))
        await self.pool.connect()

    def needs_backout(self) -> bool:
        """See :class:`Downloader`. Slow pipelines hold the workers back."""
        if self._items_at_work >= self._max_items:
            return True
        return not self.pool.has_room(self._scheduler.waiting())

    def fetch(self, request: Request, spider: Spider | None = None) -> Deferred[Any]:
        """See :class:`Downloader`."""
        lease = self._scheduler.lease_of(request)
        if lease is None:
            return super().fetch(request)
        self.active.add(request)
        # Lent now, not when the coroutine runs: needs_backout() must know.
        return deferred_from_coro(self._by_worker(request, self.pool.lend(lease)))

    def close(self) -> None:
        """See :class:`Downloader`."""
        super().close()
        self.pool.stop()

    async def _by_worker(
        self, request: Request, lent: asyncio.Future[Outcome]
    ) -> Response:
        scheduler = self._scheduler
        lease = scheduler.lease_of(request)
        assert lease is not None
        try:
            outcome = await lent
            await self._apply(outcome, request)
            scheduler.forget(request)
        except PoisonError as error:
            logger.error("%s is set aside: %s", request, error)  # noqa: TRY400
            self.crawler.stats.inc_value("concurcrawl/poisoned")
            scheduler.complete(lease, ())
            scheduler.forget(request)
        except ConcurcrawlError:
            scheduler.give_back(request)
        finally:
            self.active.discard(request)
        raise IgnoreRequest

    # What workers say -----------------------------------------------------------

    def _hear(self, worker: Worker, outcome: Outcome) -> None:
        """Do at once what does not belong to a lease."""
        for line in outcome.logs:
            record = logging.LogRecord(
                line.logger,
                line.level,
                "",
                0,
                f"[{worker.name}] {line.message}",
                None,
                None,
            )
            record.created = line.created_s
            record.exc_text = line.traceback
            record.spider = self.crawler.spider
            logging.getLogger(line.logger).handle(record)
        if outcome.cookies and self._cookies is not None:
            self._cookies.apply(outcome.cookies)
            self.pool.tell_all(SetCookies(tuple(outcome.cookies)), but=worker)
        if outcome.ticket is None:
            asyncio.ensure_future(self._apply(outcome, None))  # noqa: RUF006 - the engine outlives it

    async def _apply(self, outcome: Outcome, request: Request | None) -> None:
        """Make what a worker did true here."""
        scheduler = self._scheduler
        if outcome.close_reason is not None:
            # First, so that none of the new requests is lent. The engine waits for us.
            self._close_spider(outcome.close_reason)
            await asyncio.sleep(0)
        stats.apply(outcome.stats, self.crawler.stats)
        responses = [_response(head, request) for head in outcome.heads]
        for event in outcome.events:
            self._replay(event, request, responses)
        made = [product for product in outcome.products if not product.is_item]
        items = [product for product in outcome.products if product.is_item]
        lease = None if request is None else scheduler.lease_of(request)
        scheduler.complete(lease, made)
        scheduler.write(outcome.record)
        await self._process(items, responses)

    def _replay(
        self, event: Event, request: Request | None, responses: list[Response]
    ) -> None:
        about: dict[str, Any] = {"spider": self.crawler.spider}
        if event.signal == "spider_error":
            about["failure"] = Failure(RuntimeError(event.error))
        else:
            about["request"] = request
        if event.signal in ("response_downloaded", "response_received", "spider_error"):
            about["response"] = None if event.head is None else responses[event.head]
        self.crawler.signals.send_catch_log(getattr(signals, event.signal), **about)

    async def _process(self, items: list[Product], responses: list[Response]) -> None:
        """Send *items* through the pipelines, several at a time, as Scrapy does."""
        room = asyncio.Semaphore(self._max_items)

        async def process(product: Product) -> None:
            async with room:
                response = None if product.head is None else responses[product.head]
                await self.crawler.engine.scraper.start_itemproc_async(
                    self._codec.decode(product.payload), response=response
                )

        self._items_at_work += len(items)
        try:
            if len(items) == 1:
                await process(items[0])
            else:
                await asyncio.gather(*(process(product) for product in items))
        finally:
            self._items_at_work -= len(items)

    def _close_spider(self, reason: str) -> None:
        asyncio.ensure_future(  # noqa: RUF006 - the engine outlives it
            self.crawler.engine.close_spider_async(reason=reason)
        )

    def _greeting(self) -> list[ToWorker]:
        """Return what a worker must know besides its job."""
        listened = frozenset(
            name
            for name in _REPLAYED
            if any(liveReceivers(getAllReceivers(self.crawler, getattr(signals, name))))
        )
        cookies = self._cookies.everything() if self._cookies is not None else ()
        return [Listen(listened), SetCookies(cookies)]


def _response(head: Head, request: Request | None) -> Response:
    return head.kind(
        url=head.url,
        status=head.status,
        headers=head.headers,
        flags=list(head.flags),
        request=request,
        protocol=head.protocol,
    )


def _crawl(crawler: Crawler) -> Crawl:
    """Describe *crawler* for its workers."""
    settings: dict[str, tuple[Any, int]] = {}
    args, kwargs = _spider_arguments(crawler)
    for name in crawler.settings:
        priority = crawler.settings.getpriority(name) or 0
        if priority > 0 and name not in _WORKER_SETTINGS:
            value = crawler.settings[name]
            if isinstance(value, BaseSettings):
                value = value.copy_to_dict()
            settings[name] = (value, priority)
    rank = 1 << 10  # above every source
    settings |= {name: (value, rank) for name, value in _WORKER_SETTINGS.items()}
    addons = tuple(crawler.settings.getdict("ADDONS"))
    return Crawl(crawler.spidercls, settings, addons, args, kwargs)


def _spider_arguments(crawler: Crawler) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what *crawler* made its spider with.

    Nobody keeps them, but while a crawler starts, ``Crawler.crawl(*args, **kwargs)`` or
    its asynchronous twin is among our callers.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        names = frame.f_locals
        if names.get("self") is crawler and {"args", "kwargs"} <= names.keys():
            return names["args"], names["kwargs"]
        frame = frame.f_back
    return (), {}


def _import_path(spidercls: type[Spider]) -> tuple[str, ...]:
    """Return where a worker must look for modules, the spider's own file included.

    ``scrapy runspider`` imports a file whose folder is on no path.
    """
    path = list(sys.path)
    module = sys.modules.get(spidercls.__module__)
    file = getattr(module, "__file__", None)
    if file and spidercls.__module__ != "__main__":
        depth = spidercls.__module__.count(".")
        folder = str(Path(file).resolve().parents[depth])
        if folder not in path:
            path.append(folder)
    return tuple(path)
