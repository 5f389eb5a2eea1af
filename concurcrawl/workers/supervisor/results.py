"""What workers did, made true in the process that supervises them.

Stats are counted and signals sent as soon as an outcome is heard of. The rest waits for
the frontier: new requests are pushed and items go through the pipelines once the lease
is complete.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat, starmap
from typing import TYPE_CHECKING, Any, TypeVar, cast

from scrapy import signals

from concurcrawl import stats
from concurcrawl.durable.feeds import item_at_hand
from concurcrawl.tracing import collector
from concurcrawl.workers.protocol.messages.signals import OwnEvent
from concurcrawl.workers.protocol.pickle_codec import Codec, codec_of
from concurcrawl.workers.protocol.response_meta import RestoredRequest, response_of
from concurcrawl.workers.protocol.spool import Spool
from concurcrawl.workers.supervisor.scheduler import scheduler_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from concurcrawl.workers.protocol.messages.results import Product, RequestResult
    from concurcrawl.workers.protocol.messages.signals import (
        Event,
        RequestState,
        ResponseMeta,
    )
    from concurcrawl.workers.protocol.spool import SpoolView
    from concurcrawl.workers.supervisor.audience import Audience
    from concurcrawl.workers.supervisor.worker_handle import Products

    Requests = Sequence[Product] | SpoolView[Product]
    #: Items, encoded.
    Payloads = Sequence[bytes] | SpoolView[bytes]
    #: The response that each item came of.
    Pages = Iterable[Response | None]

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a request, on its way to be applied.

    Attributes:
        outcome: It.
        responses: Those that receivers of signals are told of.
        products: Its requests and items, also those that were sent ahead.
        hearing: What receivers that are coroutines have left to do.
    """

    outcome: RequestResult
    responses: list[Response]
    products: Products
    hearing: list[asyncio.Task[None]]


#: So many items of one page have tasks at a time.
_TASKS = 500


class Results:
    """Makes what workers did true here.

    Attributes:
        items_at_work: Items that are in the pipelines.
    """

    def __init__(self, crawler: Crawler, audience: Audience) -> None:
        self._crawler = crawler
        self._audience = audience
        self._codec = Codec()
        self._max_items = crawler.settings.getint("CONCURRENT_ITEMS")
        self._clocks_pipelines = collector.clocks_pipelines(crawler.settings)
        self.items_at_work = 0

    def open(self) -> None:
        """Begin; the spider opens."""
        self._codec = codec_of(self._crawler)
        journal = scheduler_of(self._crawler).journal
        journal.process = self._process_kept
        journal.encode = self._codec.encode

    @property
    def is_full(self) -> bool:
        """Whether as many items as may are in the pipelines."""
        return self.items_at_work >= self._max_items

    def take(
        self, outcome: RequestResult, products: Products, request: Request | None
    ) -> Taken:
        """Count what a worker did and tell who listens; it may end the crawl."""
        if outcome.close_reason is not None:
            # First, so that none of the new requests is lent. The engine waits for us.
            close_spider(self._crawler, outcome.close_reason)
        stats.apply(outcome.stats, self._crawler.stats)
        decode = self._codec.decode
        responses = [response_of(head, request, decode) for head in outcome.responses]
        leased = None if request is None else RestoredRequest(request, decode)
        hearing: list[asyncio.Task[None]] = []
        for event in outcome.events:
            if isinstance(event, OwnEvent):
                hearing += self._audience.pass_on(event)
            else:
                self._replay(event, leased, responses)
        self._restore(leased, outcome.page_state)
        return Taken(outcome, responses, products, hearing)

    def _restore(
        self, leased: RestoredRequest | None, state: RequestState | None
    ) -> None:
        if state is not None and leased is not None:
            self._audience.name_left_out(leased.update(state))

    async def apply(self, taken: Taken, request: Request | None) -> None:
        """Complete the lease of *request*, if it is one, with all that came of it."""
        products = taken.products
        try:
            if taken.hearing:
                await asyncio.wait(taken.hearing)
            await self._apply(taken.outcome, taken.responses, products, request)
        finally:
            if isinstance(products, Spool):
                products.close()

    async def _apply(
        self,
        outcome: RequestResult,
        responses: list[Response],
        products: Products,
        request: Request | None,
    ) -> None:
        scheduler = scheduler_of(self._crawler)
        if isinstance(products, Spool) and scheduler.journal.is_whole:
            products = list(products)  # the one exchange with Redis has it all
        made, payloads = _apart(products)
        lease = None if request is None else scheduler.lease_of(request)
        heads = _of_each(outcome, outcome.responses)
        pages = _of_each(outcome, responses)
        journal = scheduler.journal
        kept: Iterable[bytes]
        if journal.streams:
            raw, payloads = payloads, []
            process = partial(self._process, raw, pages, [])
            kept = await journal.through_pipelines(process)
        else:
            payloads, pages, kept = self._keepable(payloads, heads, pages)
        changes = (outcome.state, outcome.worker)
        ends = None if outcome.is_partial else lease
        numbers = await scheduler.complete(ends, made, kept, changes)
        spent = collector.clock_pipelines() if self._clocks_pipelines else None
        try:
            if payloads:
                await self._process(payloads, pages, numbers)
            journal.processed(numbers)
        finally:
            record = outcome.record
            if record is not None and spent is not None:
                record = collector.with_pipelines(record, spent)
            scheduler.write(record)

    def _keepable(
        self, payloads: Payloads, heads: Iterable[ResponseMeta | None], pages: Pages
    ) -> tuple[Payloads, Pages, Iterable[bytes]]:
        """Return the items that go on, and how the journal keeps them, if it does."""
        journal = scheduler_of(self._crawler).journal
        if not journal.is_kept:
            return payloads, pages, []
        # Each item is kept by itself, and the page is not.
        heads = (
            None if head is None else head._replace(content=None) for head in heads
        )
        entries = map(journal.entry, payloads, heads)
        if not journal.is_selective:
            return payloads, pages, cast("Iterable[bytes]", entries)
        # What cannot be kept has been said to be dropped.
        good = [
            (payload, page, entry)
            for payload, page, entry in zip(payloads, pages, entries, strict=False)
            if entry is not None
        ]
        return (
            [payload for payload, _, _ in good],
            [page for _, page, _ in good],
            [entry for _, _, entry in good],
        )

    def _replay(
        self, event: Event, leased: RestoredRequest | None, responses: list[Response]
    ) -> None:
        about: dict[str, Any] = {"spider": self._crawler.spider}
        response = None if event.response is None else responses[event.response]
        request = None if leased is None else leased.request
        if event.request is not None:
            request = self._codec.decode(event.request)
            self._restore(RestoredRequest(request, self._codec.decode), event.state)
            if response is not None:
                response.request = request
        elif request is not None:
            self._note_in_meta(event, request)
            self._restore(leased, event.state)
        if event.signal == "spider_error":
            assert event.failure is not None
            about["failure"] = self._codec.decode(event.failure)
        else:
            about["request"] = request
        if event.signal in ("response_downloaded", "response_received", "spider_error"):
            about["response"] = response
        self._crawler.signals.send_catch_log(getattr(signals, event.signal), **about)

    def _note_in_meta(self, event: Event, request: Request) -> None:
        """Note in the meta of *request* what Scrapy's downloader does."""
        if event.latency_s is not None:
            request.meta["download_latency"] = event.latency_s
        if event.slot is not None:
            request.meta["download_slot"] = event.slot
            self._crawler.engine.downloader.note_slot(request)  # type: ignore[attr-defined]

    async def _process(
        self,
        items: Payloads,
        pages: Pages,
        numbers: Sequence[int],
    ) -> None:
        """Send *items* through the pipelines, several at a time, as Scrapy does.

        Args:
            items: They, encoded.
            pages: What each came of.
            numbers: Theirs in the journal; none if it is not kept.
        """
        room = asyncio.Semaphore(self._max_items)

        async def process(
            payload: bytes, number: int | None, response: Response | None
        ) -> None:
            async with room:
                item_at_hand.set(number)
                try:
                    item = self._codec.decode(payload)
                except Exception:
                    logger.exception(
                        "An item of %s cannot be read back and is dropped",
                        response or "start()",
                    )
                    self._crawler.stats.inc_value("concurcrawl/not_shippable")
                    return
                await self._crawler.engine.scraper.start_itemproc_async(
                    item, response=response
                )

        numbered = zip(items, chain(numbers, repeat(None)), pages, strict=False)
        self.items_at_work += len(items)
        try:
            # Each in a task of its own, for the sake of its context.
            while some := [*islice(numbered, _TASKS)]:
                await asyncio.gather(*starmap(process, some))
        finally:
            self.items_at_work -= len(items)

    async def _process_kept(
        self, payload: bytes, head: ResponseMeta | None, number: int
    ) -> None:
        """Send an item through the pipelines that comes of no request of this crawl."""
        response = None if head is None else response_of(head, None, self._codec.decode)
        await self._process([payload], [response], [number])


def _of_each(outcome: RequestResult, found: Sequence[T]) -> Iterable[T | None]:
    """Return what is *found* of the page of each item of *outcome*, in their order."""
    if not outcome.pages:
        return repeat(None if outcome.page is None else found[outcome.page])
    return [
        None if page is None else found[page]
        for items, page in outcome.pages
        for _ in range(items)
    ]


def _apart(products: Products) -> tuple[Requests, Payloads]:
    """Return the requests, and the items."""
    if isinstance(products, Spool):
        return products.requests(), products.items()
    requests = [product for product in products if not product.is_item]
    return requests, [product.payload for product in products if product.is_item]


def close_spider(crawler: Crawler, reason: str) -> None:
    """End the crawl of *crawler*, after what is in flight."""
    asyncio.ensure_future(  # noqa: RUF006 - the engine outlives it
        crawler.engine.close_spider_async(reason=reason)
    )
