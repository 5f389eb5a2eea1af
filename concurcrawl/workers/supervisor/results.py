"""What workers did, applied in the process that supervises them.

The order of effects: everything is decoded and the project's code has decided about new
requests; the lease is ended with all that came of it, in one commit; stats are counted
and signals sent; items go through the pipelines. What fails before the commit leaves no
trace, so that the request can be done again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, repeat, starmap
from typing import TYPE_CHECKING, Any, TypeVar, cast

from scrapy import signals

from concurcrawl import stats
from concurcrawl.durable.feeds import item_at_hand
from concurcrawl.errors import UnreadableError
from concurcrawl.tracing import collector
from concurcrawl.workers.protocol.messages.signals import Event, OwnEvent
from concurcrawl.workers.protocol.pickle_codec import Codec, codec_of, read_back
from concurcrawl.workers.protocol.response_meta import RestoredRequest, response_of
from concurcrawl.workers.protocol.spool import Spool, SpoolView
from concurcrawl.workers.supervisor.scheduler import scheduler_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from concurcrawl.workers.protocol.messages.results import Product, RequestResult
    from concurcrawl.workers.protocol.messages.signals import RequestState, ResponseMeta
    from concurcrawl.workers.supervisor.audience import Audience
    from concurcrawl.workers.supervisor.worker_handle import Products

    Requests = Sequence[Product] | SpoolView[Product]
    #: Items, encoded.
    Payloads = Sequence[bytes] | SpoolView[bytes]
    #: The response that each item came of.
    Pages = Iterable[Response | None]

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class _Decoded:
    """What signals are sent with, decoded before anything has an effect.

    Attributes:
        responses: Those that receivers of signals are told of.
        leased: The leased request, which becomes what its worker made of it.
        events: Each event with its request, if it is another, and its failure.
    """

    responses: list[Response]
    leased: RestoredRequest | None
    events: list[tuple[Event | OwnEvent, Request | None, Any]] = field(
        default_factory=list
    )


@dataclass(slots=True)
class _Items:
    """The items of a result.

    Attributes:
        items: The items, decoded.
        count: How many they are.
        pages: The response that each came of.
        kept: How the delivery keeps each, if it does.
    """

    items: Iterable[Any]
    count: int
    pages: Pages
    kept: Iterable[bytes] = ()


#: So many items of one page have tasks at a time.
_TASKS = 500


class Results:
    """Makes what workers did true here.

    Attributes:
        items_at_work: Items that are in the pipelines.
    """

    def __init__(
        self, crawler: Crawler, audience: Audience, close: Callable[[str], None]
    ) -> None:
        """Make one; the spider is not open yet.

        Args:
            crawler: The crawl.
            audience: Sends signals of the project's own.
            close: Ends the crawl, for a reason.
        """
        self._crawler = crawler
        self._audience = audience
        self._close = close
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

    async def apply(
        self,
        result: RequestResult,
        products: Products,
        request: Request | None,
        on_counted: Callable[[], None] = lambda: None,
    ) -> None:
        """End the lease of *request*, if it is one, with all that came of it.

        With a frontier of this machine it is committed, counted and told of before
        this suspends for the first time.

        Args:
            result: The result.
            products: Its requests and items, also those that were sent ahead.
            request: The leased request, or None.
            on_counted: Called once the stats are in those of the crawl.

        Raises:
            UnreadableError: If a class of the project cannot be decoded; nothing has
                been applied.
            LeaseLostError: If others hold the lease now; nothing has been applied.
        """
        try:
            await self._apply(result, products, request, on_counted)
        finally:
            if isinstance(products, Spool):
                products.close()

    async def _apply(
        self,
        result: RequestResult,
        products: Products,
        request: Request | None,
        on_counted: Callable[[], None],
    ) -> None:
        scheduler = scheduler_of(self._crawler)
        if isinstance(products, Spool) and scheduler.journal.is_whole:
            products = list(products)  # the one exchange with Redis has it all
        decoded = self._decode(result, request)
        requests, payloads = _apart(products)
        items = await self._prepare_items(result, payloads, decoded)
        lease = None
        if request is not None and not result.is_partial:
            lease = scheduler.lease_of(request)
        changes = (result.state, result.worker)
        numbers = await scheduler.complete(lease, requests, items.kept, changes)
        hearing = self._tell(result, decoded)
        on_counted()
        spent = collector.clock_pipelines() if self._clocks_pipelines else None
        try:
            if hearing:
                await asyncio.wait(hearing)
            if items.count:
                await self._process(items, numbers)
            scheduler.journal.processed(numbers)
        finally:
            record = result.record
            if record is not None and spent is not None:
                record = collector.with_pipelines(record, spent)
            scheduler.write(record)

    async def _prepare_items(
        self, result: RequestResult, payloads: Payloads, decoded: _Decoded
    ) -> _Items:
        """Return the items, and how the journal keeps them."""
        journal = scheduler_of(self._crawler).journal
        items = _Items(
            self._decode_items(payloads),
            len(payloads),
            _of_each(result, decoded.responses),
        )
        if journal.streams:
            # In a stream an item cannot be changed any more.
            self._restore(decoded.leased, result.page_state)
            process = partial(self._process, items, [])
            return _Items([], 0, [], await journal.through_pipelines(process))
        if journal.is_kept and items.count:
            return self._keepable(items, payloads, result)
        return items

    def _decode(self, result: RequestResult, request: Request | None) -> _Decoded:
        """Return what signals are sent with. Nothing is changed or sent yet.

        Raises:
            UnreadableError: If something cannot be decoded.
        """
        decode = partial(read_back, codec=self._codec)
        plain = self._codec.decode
        decoded = _Decoded(
            [response_of(head, request, plain) for head in result.responses],
            None if request is None else RestoredRequest(request, plain),
        )
        for event in result.events:
            other = failure = None
            if isinstance(event, Event):
                if event.request is not None:
                    other = decode("a request", event.request)
                    if event.response is not None:
                        decoded.responses[event.response].request = other
                if event.failure is not None:
                    failure = decode("an error", event.failure)
            decoded.events.append((event, other, failure))
        return decoded

    def _decode_items(self, payloads: Payloads) -> Iterable[Any]:
        """Return the items that *payloads* are.

        Of very many, which are on disk, only a few are in memory at a time: they are
        decoded once to see that it is possible and once more for the pipelines.

        Raises:
            UnreadableError: If one cannot be decoded.
        """
        items = (read_back("an item", payload, self._codec) for payload in payloads)
        if not isinstance(payloads, SpoolView):
            return [*items]
        for _ in items:
            pass
        return (self._codec.decode(payload) for payload in payloads)

    def _tell(
        self, result: RequestResult, decoded: _Decoded
    ) -> list[asyncio.Task[None]]:
        """Count the stats and send the signals; it may end the crawl.

        Returns:
            What receivers that are coroutines have left to do.
        """
        stats.apply(result.stats, self._crawler.stats)
        hearing: list[asyncio.Task[None]] = []
        for event, other, failure in decoded.events:
            if isinstance(event, OwnEvent):
                hearing += self._audience.pass_on(event)
            else:
                self._replay(event, other, failure, decoded)
        self._restore(decoded.leased, result.page_state)
        if result.close_reason is not None:
            self._close(result.close_reason)
        return hearing

    def _restore(
        self, leased: RestoredRequest | None, state: RequestState | None
    ) -> None:
        if state is not None and leased is not None:
            self._audience.name_left_out(leased.update(state))

    def _keepable(
        self, items: _Items, payloads: Payloads, result: RequestResult
    ) -> _Items:
        """Return the items that go on, and how the journal keeps them."""
        journal = scheduler_of(self._crawler).journal
        # Each item is kept by itself, and the page is not.
        metas = _of_each(
            result, [meta._replace(content=None) for meta in result.responses]
        )
        if isinstance(payloads, SpoolView):
            entries = (
                journal.entry(None, payload, meta)
                for payload, meta in zip(payloads, metas, strict=False)
            )
            items.kept = cast("Iterable[bytes]", entries)
            return items
        # What cannot be kept has been said to be dropped.
        good = [
            (item, page, entry)
            for item, payload, page, meta in zip(
                items.items, payloads, items.pages, metas, strict=False
            )
            if (entry := journal.entry(item, payload, meta)) is not None
        ]
        return _Items(
            [item for item, _, _ in good],
            len(good),
            [page for _, page, _ in good],
            [entry for _, _, entry in good],
        )

    def _replay(
        self, event: Event, other: Request | None, failure: Any, decoded: _Decoded
    ) -> None:
        about: dict[str, Any] = {"spider": self._crawler.spider}
        leased = decoded.leased
        request = None if leased is None else leased.request
        if other is not None:
            request = other
            self._restore(RestoredRequest(other, self._codec.decode), event.state)
        elif request is not None:
            self._note_in_meta(event, request)
            self._restore(leased, event.state)
        if event.signal == "spider_error":
            about["failure"] = failure
        else:
            about["request"] = request
        if event.signal in ("response_downloaded", "response_received", "spider_error"):
            head = event.response
            about["response"] = None if head is None else decoded.responses[head]
        self._crawler.signals.send_catch_log(getattr(signals, event.signal), **about)

    def _note_in_meta(self, event: Event, request: Request) -> None:
        """Note in the meta of *request* what Scrapy's downloader does."""
        if event.latency_s is not None:
            request.meta["download_latency"] = event.latency_s
        if event.slot is not None:
            request.meta["download_slot"] = event.slot
            self._crawler.engine.downloader.note_slot(request)  # type: ignore[attr-defined]

    async def _process(self, items: _Items, numbers: Sequence[int]) -> None:
        """Send *items* through the pipelines, several at a time, as Scrapy does.

        Args:
            items: The items.
            numbers: Their numbers in the delivery; none if it keeps nothing.
        """
        room = asyncio.Semaphore(self._max_items)

        async def process(
            item: Any, number: int | None, response: Response | None
        ) -> None:
            async with room:
                item_at_hand.set(number)
                await self._crawler.engine.scraper.start_itemproc_async(
                    item, response=response
                )

        each = chain(numbers, repeat(None))
        numbered = zip(items.items, each, items.pages, strict=False)
        self.items_at_work += items.count
        try:
            # Each in a task of its own, for the sake of its context.
            while some := [*islice(numbered, _TASKS)]:
                await asyncio.gather(*starmap(process, some))
        finally:
            self.items_at_work -= items.count

    async def _process_kept(
        self, payload: bytes, head: ResponseMeta | None, number: int
    ) -> None:
        """Send an item through the pipelines that comes of no request of this crawl."""
        response = None if head is None else response_of(head, None, self._codec.decode)
        try:
            item = read_back("an item", payload, self._codec)
        except UnreadableError as error:
            origin = response or "start()"
            logger.error("%s: %s", origin, error)  # noqa: TRY400 - its sentence says it all
            self._crawler.stats.inc_value("concurcrawl/not_shippable")
            return
        await self._process(_Items([item], 1, [response]), [number])


def _of_each(result: RequestResult, found: Sequence[T]) -> Iterable[T | None]:
    """Return what is *found* of the page of each item of *result*, in their order."""
    if not result.pages:
        return repeat(None if result.page is None else found[result.page])
    return [
        None if page is None else found[page]
        for items, page in result.pages
        for _ in range(items)
    ]


def _apart(products: Products) -> tuple[Requests, Payloads]:
    """Return the requests, and the items."""
    if isinstance(products, Spool):
        return products.requests(), products.items()
    requests = [product for product in products if not product.is_item]
    return requests, [product.payload for product in products if product.is_item]
