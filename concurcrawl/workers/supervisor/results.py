"""What workers did, applied in the process that supervises them.

The order of effects: everything is decoded and the project's code has decided about new
requests; the lease is ended with all that came of it, in one commit; stats are counted
and signals sent; items go through the pipelines. What fails before the commit leaves no
trace, so that the request can be done again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

from scrapy import signals

from concurcrawl import stats
from concurcrawl.tracing import collector
from concurcrawl.workers.protocol.messages.signals import Event, OwnEvent
from concurcrawl.workers.protocol.pickle_codec import read_back
from concurcrawl.workers.protocol.response_meta import RestoredRequest, response_of
from concurcrawl.workers.protocol.spool import Spool, SpoolView
from concurcrawl.workers.supervisor.pipelines import Items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from concurcrawl.local.records import RecordOutput
    from concurcrawl.workers.protocol.messages.results import Product, RequestResult
    from concurcrawl.workers.protocol.messages.signals import RequestState
    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.supervisor.audience import Audience
    from concurcrawl.workers.supervisor.delivery import Delivery
    from concurcrawl.workers.supervisor.pipelines import Pipelines
    from concurcrawl.workers.supervisor.queue import WorkerQueue
    from concurcrawl.workers.supervisor.worker_handle import Products

    Requests = Sequence[Product] | SpoolView[Product]
    #: Items, encoded.
    Payloads = Sequence[bytes] | SpoolView[bytes]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ResultParts:
    """What results are applied to.

    Attributes:
        queue: Ends leases and pushes requests.
        delivery: Keeps items until they are in the feeds.
        pipelines: Process items.
        audience: Sends signals of the project's own.
        records: Gets a record for each request.
        close: Ends the crawl, for a reason.
        note_slot: Has a request's slot be there in the downloader.
    """

    queue: WorkerQueue
    delivery: Delivery
    pipelines: Pipelines
    audience: Audience
    records: RecordOutput
    close: Callable[[str], None]
    note_slot: Callable[[Request], None]


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


class Results:
    """Applies what workers did."""

    def __init__(self, crawler: Crawler, codec: Codec, parts: ResultParts) -> None:
        """Make one.

        Args:
            crawler: The crawl.
            codec: Decodes requests, items and failures.
            parts: What results are applied to.
        """
        self._crawler = crawler
        self._codec = codec
        self._parts = parts
        self._queue, self._delivery = parts.queue, parts.delivery
        self._clocks_pipelines = collector.clocks_pipelines(crawler.settings)

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
            products: Its requests and items, also those in partial results.
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
        if isinstance(products, Spool) and self._delivery.is_whole:
            products = list(products)  # the one exchange with Redis has it all
        decoded = self._decode(result, request)
        requests, payloads = _apart(products)
        items = await self._prepare_items(result, payloads, decoded)
        lease = None
        if request is not None and not result.is_partial:
            lease = self._queue.lease_of(request)
        changes = (result.state, result.worker)
        numbers = await self._queue.commit(lease, requests, items.kept, changes)
        self._delivery.kept(numbers)
        pending = self._count_and_send(result, decoded)
        on_counted()
        spent = collector.clock_pipelines() if self._clocks_pipelines else None
        try:
            if pending:
                await asyncio.wait(pending)
            if items.count:
                await self._parts.pipelines.process(items, numbers)
            self._delivery.processed(numbers)
        finally:
            record = result.record
            if record is not None and spent is not None:
                record = collector.with_pipelines(record, spent)
            self._parts.records.write(record)

    async def _prepare_items(
        self, result: RequestResult, payloads: Payloads, decoded: _Decoded
    ) -> Items:
        """Return the items, and how the delivery keeps them."""
        delivery = self._delivery
        items = Items(
            self._decode_items(payloads),
            len(payloads),
            _of_each(result, decoded.responses),
        )
        if delivery.streams:
            # In a stream an item cannot be changed any more.
            self._restore(decoded.leased, result.page_state)
            process = partial(self._parts.pipelines.process, items)
            return Items([], 0, [], await delivery.through_pipelines(process))
        if delivery.is_kept and items.count:
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

    def _count_and_send(
        self, result: RequestResult, decoded: _Decoded
    ) -> list[asyncio.Task[None]]:
        """Count the stats and send the signals; it may end the crawl.

        Returns:
            What receivers that are coroutines have left to do.
        """
        stats.apply(result.stats, self._crawler.stats)
        pending: list[asyncio.Task[None]] = []
        for event, other, failure in decoded.events:
            if isinstance(event, OwnEvent):
                pending += self._parts.audience.pass_on(event)
            else:
                self._replay(event, other, failure, decoded)
        self._restore(decoded.leased, result.page_state)
        if result.close_reason is not None:
            self._parts.close(result.close_reason)
        return pending

    def _restore(
        self, leased: RestoredRequest | None, state: RequestState | None
    ) -> None:
        if state is not None and leased is not None:
            self._parts.audience.name_left_out(leased.update(state))

    def _keepable(
        self, items: Items, payloads: Payloads, result: RequestResult
    ) -> Items:
        """Return the items that go on, and how the delivery keeps them."""
        delivery = self._delivery
        # Each item is kept by itself, and the page is not.
        metas = _of_each(
            result, [meta._replace(content=None) for meta in result.responses]
        )
        if isinstance(payloads, SpoolView):
            entries = (
                delivery.entry(None, payload, meta)
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
            if (entry := delivery.entry(item, payload, meta)) is not None
        ]
        return Items(
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
            index = event.response
            about["response"] = None if index is None else decoded.responses[index]
        self._crawler.signals.send_catch_log(getattr(signals, event.signal), **about)

    def _note_in_meta(self, event: Event, request: Request) -> None:
        """Note in the meta of *request* what Scrapy's downloader does."""
        if event.latency_s is not None:
            request.meta["download_latency"] = event.latency_s
        if event.slot is not None:
            request.meta["download_slot"] = event.slot
            self._parts.note_slot(request)


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
