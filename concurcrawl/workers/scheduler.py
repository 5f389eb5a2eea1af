"""The scheduler of a supervisor: what it gives out is lent to a worker."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

from scrapy.utils.defer import deferred_from_coro

from concurcrawl import jobdir
from concurcrawl.errors import NotJsonError, NotShippableError
from concurcrawl.scheduler import FrontierScheduler
from concurcrawl.workers.codec import Codec, residents
from concurcrawl.workers.journal import Journal, is_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from concurcrawl.frontier.base import Entry, Lease
    from concurcrawl.workers.cookies import CookieChange
    from concurcrawl.workers.downloader import WorkersDownloader
    from concurcrawl.workers.messages import Product
    from concurcrawl.workers.shared_journal import SharedJournal

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Arriving:
    """A request that a worker made, on its way through the engine.

    Attributes:
        request: It.
        product: It, as it came.
        entry: What to push; None if somebody dropped it.
    """

    request: Request
    product: Product
    entry: Entry | None = None


class SupervisorScheduler(FrontierScheduler):
    """Holds the frontier for all workers."""

    def __init__(self, crawler: Crawler) -> None:
        self._jobdir = jobdir.claimed_by(crawler)
        super().__init__(crawler)
        self.journal: Journal | SharedJournal = self._make_journal()
        self._codec = Codec(residents(crawler))
        self._arriving: _Arriving | None = None

    @property
    def _downloader(self) -> WorkersDownloader:
        # The add-on sets the two together.
        downloader: Any = self._crawler.engine.downloader
        found: WorkersDownloader = downloader
        return found

    def open(self, spider: Spider) -> Deferred[None] | None:
        """See :class:`BaseScheduler`."""
        return deferred_from_coro(self._open(spider))

    async def _open(self, spider: Spider) -> None:
        opened = super().open(spider)
        if opened is not None:
            await opened
        self.journal.decode = self._codec.decode
        await self.journal.open()
        await self._downloader.connect()

    def close(self, reason: str) -> Deferred[None] | None:
        """See :class:`BaseScheduler`. Ends the workers first."""
        return deferred_from_coro(self._close(reason))

    async def _close(self, reason: str) -> None:
        await self._close_workers()
        await self._close_the_rest(reason)

    async def _close_workers(self) -> None:
        await self._downloader.pool.close()
        await self.journal.close()

    async def _close_the_rest(self, reason: str) -> None:
        closed = super().close(reason)
        if closed is not None:
            await closed

    def lease_of(self, request: Request) -> Lease | None:
        """Return the lease of a request that :meth:`lend` gave out."""
        return self._leases.get(request)

    def enqueue_request(self, request: Request) -> bool:
        """See :class:`BaseScheduler`.

        A request that a worker made is only noted; :meth:`complete` pushes it.
        """
        try:
            arriving = self._arriving
            if arriving is None or arriving.request is not request:
                return super().enqueue_request(request)
            return self._enqueue_arriving(arriving)
        except (NotShippableError, NotJsonError) as error:
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._stats.inc_value("concurcrawl/not_shippable")
            return False
        except sqlite3.Error as error:
            self._downloader.fail(error)
            return False

    def _enqueue_arriving(self, arriving: _Arriving) -> bool:
        request, product = arriving.request, arriving.product
        key = None if self._own_filter is not None else product.key or None
        payload = self._payload_of(request, product)
        arriving.entry = self._entry(request, payload, key)
        return arriving.entry is not None

    def next_request(self) -> Request | None:
        """See :class:`BaseScheduler`. The downloader has lent what there was."""
        return None

    def lend(self) -> Request | None:
        """Return the next request, for a worker; None if none may leave now."""
        try:
            return super().next_request()
        except sqlite3.Error as error:
            self._downloader.fail(error)
            return None

    def has_pending_requests(self) -> bool:
        """See :class:`BaseScheduler`."""
        return super().has_pending_requests() or self.journal.is_replaying

    async def complete(
        self,
        lease: Lease | None,
        products: Iterable[Product],
        items: Iterable[bytes] = (),
    ) -> list[int]:
        """End *lease*, push the requests and keep the items that came of it.

        One by one: the requests of a page with many links would take a lot of room.

        Args:
            lease: It, or None for what came of no lease.
            products: The requests, encoded; read more than once.
            items: The items, as the journal wants them.

        Returns:
            The numbers of the items.

        Raises:
            LeaseLostError: If others were lent it meanwhile; nothing was done.
        """
        accepted = bytearray()  # of each product, whether it was pushed
        entries = self._entries(products, accepted)
        if lease is None:
            added = await self._frontier.push(entries)
            numbers = await self._frontier.keep([*items], {}) if items else []
        else:
            completed = await self._frontier.complete(lease.ticket, entries, items)
            added, numbers = completed.added, completed.items
        self.turnstile.pump_all()
        if count := sum(added):
            self._count("scheduler/enqueued", count)
        if count < len(added):
            pushed = compress(products, accepted)
            for product, was_added in zip(pushed, added, strict=True):
                if not was_added:
                    self._note_dropped(self._codec.decode(product.payload))
        return numbers

    def _entries(
        self, products: Iterable[Product], accepted: bytearray
    ) -> Iterator[Entry]:
        """Send *products* through the engine; yield what it has the scheduler push."""
        for product in products:
            request = self._codec.decode(product.payload)
            self._arriving = arriving = _Arriving(request, product)
            self._crawler.engine.crawl(request)
            self._arriving = None
            accepted.append(arriving.entry is not None)
            if arriving.entry is not None:
                yield arriving.entry

    def start_over(self, tickets: Sequence[int]) -> None:
        """Take *tickets* for lent anew: the worker that had them is gone."""
        self.turnstile.withdraw(set(tickets))
        for ticket in tickets:
            self._frontier.start_over(ticket)
        self.turnstile.pump_all()

    def give_back(self, request: Request) -> None:
        """Make *request* wait again: nothing came of it."""
        self._frontier.give_back(self._leases.pop(request).ticket)
        self.turnstile.pump_all()

    def forget(self, request: Request) -> None:
        """Let go of *request*, whose lease is complete."""
        self._leases.pop(request, None)

    def _asks(self) -> Callable[[str], bool] | None:
        return self.politeness.needs_asking

    def _payload_of(self, request: Request, product: Product) -> bytes:
        """Return a request that a worker made as the frontier keeps it."""
        return product.payload

    def share_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Tell other machines, if there are any, of cookies that a worker got."""

    def set_aside(self, lease: Lease, reason: str, deaths: int) -> None:
        """Note where others see it that a request was given up."""

    def _make_journal(self) -> Journal | SharedJournal:
        return Journal(self._crawler, self._frontier, self._jobdir)

    def _close_frontier(self) -> None:
        if self._jobdir is None:
            super()._close_frontier()
        else:  # feeds are finished after the scheduler is closed
            self._jobdir.before_close(super()._close_frontier)

    def _frontier_path(self) -> str:
        if self._jobdir is None:
            return super()._frontier_path()
        return self._jobdir.frontier

    def _notes_with(self, request: Request) -> dict[str, str]:
        return self.journal.start_notes() if is_start(request) else {}

    def _pack(self, request: Request) -> bytes:
        return self._codec.encode(request)

    def _unpack(self, lease: Lease) -> Request:
        request: Request = self._codec.decode(lease.payload)
        request.errback = None  # it is the worker's to call
        return request

    def _settle(self) -> None:
        """Do nothing: the downloader says when a lease is complete."""


def scheduler_of(crawler: Crawler) -> SupervisorScheduler:
    """Return the scheduler of *crawler*, which supervises workers."""
    scheduler = crawler.engine.scheduler
    assert isinstance(scheduler, SupervisorScheduler)
    return scheduler
