"""The scheduler of a supervisor: what it gives out is lent to a worker."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from functools import partial
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.dupefilters import BaseDupeFilter
from scrapy.utils.defer import deferred_from_coro
from twisted.python.failure import Failure
from typing_extensions import override

from concurcrawl.compat.start import wrap_start
from concurcrawl.durable import jobdir, own_filter
from concurcrawl.durable.delivery import JobDirDelivery
from concurcrawl.durable.kept_state import KeptState
from concurcrawl.durable.own_filter import DurableFilter
from concurcrawl.durable.start import StartOutputs
from concurcrawl.durable.state import KEEPS_STATE
from concurcrawl.errors import NotJsonError, NotShippableError
from concurcrawl.frontier.base import at_once
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.local.scheduler import FrontierScheduler
from concurcrawl.workers.protocol.pickle_codec import codec_of
from concurcrawl.workers.supervisor.claims import Claims

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from concurcrawl.frontier.base import Entry, Lease
    from concurcrawl.limits.limiter import Written
    from concurcrawl.workers.protocol.cookies import CookieChange
    from concurcrawl.workers.protocol.messages.results import Product
    from concurcrawl.workers.supervisor.delivery import Delivery
    from concurcrawl.workers.supervisor.downloader import DispatchingDownloader

    #: Changes of ``spider.state``, and the worker that made them.
    StateChanges = tuple[Sequence[bytes], str]

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
        self._durable_filter: DurableFilter | None = None
        self._asked: list[bytes] = []
        self._claims = Claims()
        super().__init__(crawler)
        self.start = StartOutputs(
            crawler, self._frontier, lambda: self._own_filter is not None
        )
        self.state: KeptState | None = None
        self.journal: Delivery = self._make_journal()
        self._codec = codec_of(crawler)
        self._arriving: _Arriving | None = None

    @property
    def _downloader(self) -> DispatchingDownloader:
        # The add-on sets the two together.
        downloader: Any = self._crawler.engine.downloader
        found: DispatchingDownloader = downloader
        return found

    @override
    def open(self, spider: Spider) -> Deferred[None] | None:
        return deferred_from_coro(self._open(spider))

    async def _open(self, spider: Spider) -> None:
        opened = super().open(spider)
        if opened is not None:
            await opened
        self._open_state(spider)
        self.journal.decode = self._codec.decode
        await self.journal.open()
        await self._downloader.connect()
        wrap_start(self._crawler.engine, self.journal.in_turns)

    def _open_state(self, spider: Spider) -> None:
        """Load ``spider.state``, where Scrapy's extension would have it be."""
        folder = self._jobdir
        if folder is None or not self._crawler.settings.getbool(KEEPS_STATE):
            return
        self.state = KeptState(spider, self._job_frontier(), folder.state)
        self.state.tell = self._downloader.coordinator.tell_state
        self.state.open()
        # The last of all receivers: what others change as they close is kept, too.
        self._crawler.signals.connect(self.state.close, signals.spider_closed)

    def _job_frontier(self) -> SqliteFrontier:
        """Return the frontier of a crawl with a JOBDIR."""
        assert isinstance(self._frontier, SqliteFrontier)
        return self._frontier

    @override
    def close(self, reason: str) -> Deferred[None] | None:
        """Ends the workers first."""
        return deferred_from_coro(self._close(reason))

    async def _close(self, reason: str) -> None:
        self._downloader.pool.stop(reason)
        await self._close_workers()
        await self._close_the_rest(reason)

    async def _close_workers(self) -> None:
        await self._downloader.pool.close()
        await self.journal.close()

    async def _close_the_rest(self, reason: str) -> None:
        closed = super().close(reason)
        if closed is not None:
            await closed
        if self._jobdir is not None:  # feeds are finished after the scheduler is closed
            self._jobdir.before_close(partial(self._end, reason))

    def _close_frontier(self) -> None:
        if self._jobdir is None:  # else feeds, which are closed later, have notes in it
            super()._close_frontier()

    def _end(self, reason: str) -> None:
        """Close the frontier, when nothing more can happen to the JOBDIR."""
        try:
            if self._durable_filter is not None:
                self._durable_filter.close()
            assert isinstance(self.journal, JobDirDelivery)  # there is a JOBDIR
            self.journal.end(reason)
        except sqlite3.Error as error:
            logger.error("The JOBDIR could not be written: %s", error)  # noqa: TRY400
        finally:
            super()._close_frontier()

    def leased(self) -> set[Request]:
        """Return the requests that workers hold."""
        return set(self._leases)

    def leased_by(self, leases: set[int]) -> list[Request]:
        """Return the requests of certain leases, which are named by their ids."""
        return [one for one, lease in self._leases.items() if id(lease) in leases]

    @override
    def enqueue_request(self, request: Request) -> bool:
        """A request that a worker made is only noted; :meth:`complete` pushes it."""
        try:
            arriving = self._arriving
            if arriving is None or arriving.request is not request:
                return super().enqueue_request(request)
            return self._enqueue_arriving(arriving)
        except (NotShippableError, NotJsonError) as error:
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._stats.inc_value("concurcrawl/not_shippable")
            if request.errback is not None:
                if self._downloader.dormant_spidermw is not None:
                    self._downloader.dormant_spidermw.wake_now()
                self._crawler.engine.scraper.enqueue_scrape(Failure(error), request)
            return False
        except sqlite3.Error as error:
            self._downloader.fail(error)
            return False

    def _enqueue_arriving(self, arriving: _Arriving) -> bool:
        request, product = arriving.request, arriving.product
        if product.key in self._claims:
            self._note_duplicate(request)
            return False
        key = None if self._own_filter is not None else product.key or None
        payload = self._payload_of(request, product)
        arriving.entry = self._entry(request, payload, key)
        return arriving.entry is not None

    @override
    def next_request(self) -> Request | None:
        """What may start was lent to workers before."""
        return None

    def lend(self) -> Request | None:
        """Return the next request, for a worker; None if none may leave now."""
        try:
            return super().next_request()
        except sqlite3.Error as error:
            self._downloader.fail(error)
            return None

    @override
    def has_pending_requests(self) -> bool:
        return super().has_pending_requests() or self.journal.is_replaying

    async def complete(
        self,
        lease: Lease | None,
        products: Iterable[Product],
        items: Iterable[bytes] = (),
        changes: StateChanges = ((), ""),
    ) -> list[int]:
        """End *lease*, push the requests and keep the items that came of it.

        One by one: the requests of a page with many links would take a lot of room.

        Args:
            lease: It, or None for what came of no lease.
            products: The requests, encoded; read more than once.
            items: The items, as the journal wants them.
            changes: Those of ``spider.state``, and which worker made them.

        Returns:
            The numbers of the items.

        Raises:
            LeaseLostError: If others were lent it meanwhile; nothing was done.
        """
        accepted = bytearray()  # of each product, whether it was pushed
        entries = self._entries(products, accepted, lease)
        entries = self._in_step(products, entries, changes)
        if lease is None:
            added = await self._frontier.push(entries)
            numbers = await self._frontier.keep([*items], {}) if items else []
        else:
            claimed = len(self._claims.of(lease.lease_id))
            if claimed:
                entries = chain(entries, self._claims.entries(lease))
            completed = await self._frontier.ack(lease.lease_id, entries, items)
            added, numbers = completed.added, completed.items
            if claimed:
                del added[-claimed:]
                self._settle_claims(lease)
        self.admissions.pump_all()
        if count := sum(added):
            self._count("scheduler/enqueued", count)
        if count < len(added):
            pushed = compress(products, accepted)
            for product, was_added in zip(pushed, added, strict=True):
                if not was_added:
                    self._note_dropped(self._codec.decode(product.payload))
        return numbers

    async def claim(self, lease_id: int, key: bytes, request: Request) -> bool:
        """Return whether a request that a worker keeps is new, and remember it then.

        Args:
            lease_id: The lease that it came of.
            key: Its fingerprint.
            request: It, without what cannot travel.
        """
        if key in self._claims:
            is_new = self._claims.claim_again(key, lease_id)
        else:
            is_new = not await self._is_known(request, key) and key not in self._claims
            if is_new:
                self._claims.add(key, lease_id)
        if not is_new:
            self._note_dropped(request)
        return is_new

    def _settle_claims(self, lease: Lease) -> None:
        if self._durable_filter is not None:
            self._durable_filter.settle(self._claims.of(lease.lease_id))

    async def _is_known(self, request: Request, key: bytes) -> bool:
        """Return whether a request that a worker keeps is a duplicate."""
        if self._durable_filter is not None:
            return self._durable_filter.claim(request, key)
        if self._own_filter is not None:
            return self._own_filter.request_seen(request)
        assert isinstance(self._frontier, SqliteFrontier)
        return self._frontier.knows(key)

    def _name_of(self, lease: Lease | None) -> str:
        held = (request for request, one in self._leases.items() if one is lease)
        return "a worker" if lease is None else str(next(held, "a lost lease"))

    def _in_step(
        self,
        products: Iterable[Product],
        entries: Iterator[Entry],
        changes: StateChanges,
    ) -> Iterator[Entry]:
        """Return *entries*; the step that reads them keeps what belongs to it, too."""
        if self._durable_filter is not None:
            keys = [product.key for product in products if product.key]
            if keys:
                self._durable_filter.ask(keys)
                entries = self._durable_filter.step(entries, keys)
        if self.state is not None:
            entries = self._with_state(self.state, entries, changes)
        return entries

    def _with_state(
        self, state: KeptState, entries: Iterator[Entry], changes: StateChanges
    ) -> Iterator[Entry]:
        state.merge(*changes)
        yield from entries

    def _entries(
        self, products: Iterable[Product], accepted: bytearray, lease: Lease | None
    ) -> Iterator[Entry]:
        """Send *products* through the engine; yield what it has the scheduler push.

        Args:
            products: The requests, encoded.
            accepted: Whether each was yielded is appended to it.
            lease: What they came of, or None.
        """
        for product in products:
            try:
                request = self._codec.decode(product.payload)
            except Exception:
                logger.exception(
                    "A request of %s cannot be read back and is dropped",
                    self._name_of(lease),
                )
                self._stats.inc_value("concurcrawl/not_shippable")
                accepted.append(False)
                continue
            self._arriving = arriving = _Arriving(request, product)
            try:
                self._crawler.engine.crawl(request)
            finally:
                self._arriving = None
            accepted.append(arriving.entry is not None)
            if arriving.entry is not None:
                yield arriving.entry

    def start_over(self, lease_ids: Sequence[int]) -> None:
        """Take *lease_ids* for lent anew: the worker that had them is gone."""
        self.admissions.withdraw(set(lease_ids))
        for lease_id in lease_ids:
            self._claims.redo(lease_id)
            self._frontier.start_over(lease_id)
        self.admissions.pump_all()

    def give_back(self, request: Request) -> None:
        """Make *request* wait again: nothing came of it."""
        lease_id = self._leases.pop(request).lease_id
        self._claims.redo(lease_id)
        self._frontier.release(lease_id)
        self._count("scheduler/dequeued", -1)  # it will be counted again
        self.admissions.pump_all()

    def forget(self, request: Request) -> None:
        """Let go of *request*, whose lease is complete."""
        lease = self._leases.pop(request, None)
        if lease is not None:
            self._claims.drop(lease.lease_id)

    def _make_watch(self) -> None:
        """Return nothing: the downloader watches workers."""

    def _asks(self) -> Callable[[str], bool] | None:
        return self.politeness.needs_asking

    def _payload_of(self, request: Request, product: Product) -> bytes:
        """Return a request that a worker made as the frontier keeps it."""
        return product.payload

    def share_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Tell other machines, if there are any, of cookies that a worker got."""

    def dead_letter(self, lease: Lease, reason: str, deaths: int) -> None:
        """Keep a request that was given up, to be put back when that is wished."""
        assert isinstance(self._frontier, SqliteFrontier)
        self._frontier.dead_letter(lease.lease_id)

    @override
    async def put_dead_letters_back(self) -> int:
        assert isinstance(self._frontier, SqliteFrontier)
        return self._frontier.put_dead_letters_back()

    @override
    async def make_safe(self) -> None:
        if self._jobdir is not None:
            await self._frontier.deliver((), {})

    def _make_journal(self) -> Delivery:
        return JobDirDelivery(self._crawler, self._frontier, self._jobdir, self.start)

    def _frontier_path(self) -> str:
        if self._jobdir is None:
            return super()._frontier_path()
        return self._jobdir.frontier

    def _push(self, request: Request, entry: Entry) -> Awaitable[list[bool]]:
        entries: Iterable[Entry] = [entry]
        asked, self._asked = self._asked, []
        if asked and self._durable_filter is not None:
            entries = self._durable_filter.step(entries, asked)
        return self._frontier.push(entries, None, self.start.output_of(request))

    def _wait_for(self, request: Request, pushed: asyncio.Future[None]) -> None:
        self.start.wait_for(request, pushed)

    def _build_filter(self, filter_cls: type[BaseDupeFilter]) -> BaseDupeFilter:
        if self._jobdir is None or filter_cls is BaseDupeFilter:
            return super()._build_filter(filter_cls)
        frontier = self._job_frontier()
        own_filter.cut_back(at_once(frontier.notes()))
        found = super()._build_filter(filter_cls)
        self._durable_filter = DurableFilter(found, frontier, self._jobdir.path)
        return found

    def _was_seen(self, request: Request) -> bool:
        durable, arriving = self._durable_filter, self._arriving
        if durable is None:
            return super()._was_seen(request)
        if arriving is not None and arriving.request is request:
            return durable.seen(request, arriving.product.key)
        key = self._crawler.request_fingerprinter.fingerprint(request)
        durable.ask([key])
        is_seen = durable.seen(request, key)
        if is_seen:
            durable.end([key])
        else:
            self._asked = [key]
        return is_seen

    def _pack(self, request: Request) -> bytes:
        return self._codec.encode(request)

    def _unpack(self, lease: Lease) -> Request:
        request: Request = self._codec.decode(lease.payload)
        request.errback = None  # it is the worker's to call
        return request

    def _begin_turn(self) -> None:
        self._downloader.dispatch()

    def _end_turn(self) -> None:
        """Do nothing: :meth:`lend` was asked for what could be lent."""

    def _settle(self) -> None:
        """Do nothing: the downloader says when a lease is complete."""

    @override
    def change_limits(self, group: str, slot: str, written: Written) -> None:
        """Tells all workers."""
        self._downloader.coordinator.tell_limits(group, slot, written)
        super().change_limits(group, slot, written)


def scheduler_of(crawler: Crawler) -> SupervisorScheduler:
    """Return the scheduler of *crawler*, which supervises workers."""
    scheduler = crawler.engine.scheduler
    assert isinstance(scheduler, SupervisorScheduler)
    return scheduler
