"""Requests that workers made, until they are committed to the frontier.

The code of a project decides about them: receivers of ``request_scheduled`` and its
duplicate filter. All of it has run before the transaction begins that adds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from scrapy import Request, signals
from scrapy.core.engine import ExecutionEngine
from scrapy.downloadermiddlewares.offsite import OffsiteMiddleware

from concurcrawl.frontier.base import Entry
from concurcrawl.integrations.receivers import receivers_of
from concurcrawl.workers.protocol.pickle_codec import read_back
from concurcrawl.workers.protocol.spool import SpoolView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scrapy.crawler import Crawler

    from concurcrawl.workers.protocol.messages.results import Product
    from concurcrawl.workers.protocol.pickle_codec import Codec

    Requests = Sequence[Product] | SpoolView[Product]


@dataclass(slots=True)
class Arrived:
    """The requests of one result, ready to be committed.

    Those of a page with very many links are on disk. Of these ``entries`` has the
    place in the queue only, and equal places are one object.

    Attributes:
        products: The requests, encoded.
        entries: Of each request what to push; None if it was dropped.
        others: Requests that receivers of signals had the engine crawl meanwhile, and
            what to push of them.
    """

    products: Requests
    entries: list[Entry | None] = field(default_factory=list)
    others: list[tuple[Request, Entry]] = field(default_factory=list)

    def all_entries(self) -> Iterator[Entry]:
        """Yield what to push. No code of the project runs meanwhile."""
        for product, entry in zip(self.products, self.entries, strict=True):
            if entry is not None and not entry.payload:
                key = product.key if entry.key is not None else None
                yield replace(entry, key=key, payload=product.payload)
            elif entry is not None:
                yield entry
        for _, entry in self.others:
            yield entry

    def __bool__(self) -> bool:
        return bool(self.others) or any(entry is not None for entry in self.entries)

    def not_added(
        self, added: Sequence[bool], decode: Callable[[bytes], Request]
    ) -> Iterator[Request]:
        """Yield the requests that were duplicates.

        Args:
            added: Whether each of :meth:`all_entries` was added.
            decode: Returns a request that was encoded.
        """
        results = iter(added)
        for product, entry in zip(self.products, self.entries, strict=True):
            if entry is not None and not next(results):
                yield decode(product.payload)
        for request, _ in self.others:
            if not next(results):
                yield request


class Arrivals:
    """Sends the requests of results through the engine and collects their entries."""

    def __init__(  # noqa: PLR0913 - the last two by name
        self,
        crawler: Crawler,
        codec: Codec,
        make_entry: Callable[[Request, Product | None], Entry | None],
        is_claimed: Callable[[bytes], bool],
        note_duplicate: Callable[[Request], None],
        *,
        has_start_queue: bool,
        is_free: bool,
    ) -> None:
        """Make one.

        Args:
            crawler: The crawl.
            codec: Decodes requests.
            make_entry: Returns what to push of a request, which is a product if a
                worker made it; None if a filter of the project's own knows it.
            is_claimed: Whether a request of that fingerprint stays in a worker.
            note_duplicate: Called with a request that is claimed.
            is_free: Whether a request can be queued as it came, if no receiver wants
                to see it.
            has_start_queue: Whether requests of ``start()`` have a queue of their own.
        """
        self._crawler = crawler
        self._codec = codec
        self._make_entry = make_entry
        self._is_claimed = is_claimed
        self._note_duplicate = note_duplicate
        self._is_free = is_free
        self._has_start_queue = has_start_queue
        self._any_of_host = "", Request("http://a/")
        self._arrived: Arrived | None = None
        self._current: tuple[Request, Product] | None = None
        self._entry: Entry | None = None

    def collect(self, products: Requests) -> Arrived:
        """Return what to push of *products*.

        A request is decoded only if the project's code wants to see it: what takes it
        from the queue decodes it once more, and the worker again.

        Raises:
            UnreadableError: If a request cannot be decoded.
            Exception: What a duplicate filter of the project raises.
        """
        arrived = Arrived(products)
        if not products:
            return arrived
        crawl = self._direct()
        # Of very many requests it has the places only, and few of those differ.
        places: dict[Entry, Entry] | None = None
        if isinstance(products, SpoolView):
            places = {}
        self._arrived = arrived
        try:
            for product in products:
                entry = crawl(product)
                if places is not None and entry is not None:
                    entry = _place(entry, product, places)
                arrived.entries.append(entry)
        finally:
            self._arrived = None
        return arrived

    def _direct(self) -> Callable[[Product], Entry | None]:
        """Return how to queue requests: past the engine if no project code is lost.

        Scrapy's own filter of hosts, which is on by default, needs their host only.
        """
        engine = self._crawler.engine
        is_scrapys = type(engine).crawl is ExecutionEngine.crawl
        if not (self._is_free and is_scrapys and "crawl" not in vars(engine)):
            return self._crawl
        receivers = [*receivers_of(self._crawler, signals.request_scheduled)]
        filters: list[Any] = [getattr(one, "__self__", None) for one in receivers]
        if any(type(one) is not OffsiteMiddleware for one in filters):
            return self._crawl
        return partial(self._queue, filters)

    def _queue(
        self, filters: Sequence[OffsiteMiddleware], product: Product
    ) -> Entry | None:
        if not product.host or self._is_claimed(product.key):
            return self._crawl(product)
        if filters and not self._is_on_site(filters, product.host):
            return self._crawl(product)  # it may be allowed by its meta
        return Entry(
            key=product.key or None,
            group=product.group,
            priority=product.priority,
            is_start=product.is_start and self._has_start_queue,
            payload=product.payload,
        )

    def _is_on_site(self, filters: Sequence[OffsiteMiddleware], host: str) -> bool:
        known, request = self._any_of_host
        if known != host:
            request = Request(f"http://{host}/")
            self._any_of_host = host, request
        spider = self._crawler.spider
        assert spider is not None
        return all(one.should_follow(request, spider) for one in filters)

    def _crawl(self, product: Product) -> Entry | None:
        request = read_back("a request", product.payload, self._codec)
        self._current, self._entry = (request, product), None
        try:
            self._crawler.engine.crawl(request)
        finally:
            self._current = None
        return self._entry

    @property
    def is_collecting(self) -> bool:
        """Whether a request that is enqueued now belongs to the result at hand."""
        return self._arrived is not None

    def enqueue(self, request: Request) -> bool:
        """Collect *request*, which the engine enqueues while results are collected.

        Returns:
            Whether it is not known to be a duplicate.
        """
        assert self._arrived is not None
        if self._current is not None and self._current[0] is request:
            product = self._current[1]
            if self._is_claimed(product.key):
                self._note_duplicate(request)
                return False
            self._entry = self._make_entry(request, product)
            return self._entry is not None
        entry = self._make_entry(request, None)
        if entry is not None:  # a receiver of a signal had the engine crawl it
            self._arrived.others.append((request, entry))
        return entry is not None


def _place(entry: Entry, product: Product, places: dict[Entry, Entry]) -> Entry:
    """Return *entry* without what *product* has; equal ones are one object."""
    if entry.payload is not product.payload:
        return entry
    key = None if entry.key is None else b""
    place = replace(entry, key=key, payload=b"")
    return places.setdefault(place, place)


def keys_of(products: Iterable[Product]) -> list[bytes]:
    """Return the fingerprints of *products* that have one."""
    return [product.key for product in products if product.key]
