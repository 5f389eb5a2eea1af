"""Where a supervisor keeps a crawl: on this machine, or with other nodes."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Protocol

from scrapy import signals
from scrapy.dupefilters import BaseDupeFilter
from typing_extensions import override

from concurcrawl.durable import jobdir, own_filter
from concurcrawl.durable.delivery import JobDirDelivery
from concurcrawl.durable.kept_state import KeptState
from concurcrawl.durable.own_filter import DurableFilter
from concurcrawl.durable.start import StartOutputs
from concurcrawl.durable.state import KEEPS_STATE
from concurcrawl.frontier.base import at_once
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.local.duplicates import Duplicates, make_own_filter, own_filter_class
from concurcrawl.local.entries import newest_first, newest_start_first
from concurcrawl.workers.supervisor.commits import JobCommitter
from concurcrawl.workers.supervisor.encoding import PickleEncoding
from concurcrawl.workers.supervisor.filters import JobFilter, PlainFilter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import Completed, Frontier, Lease
    from concurcrawl.limits.policy import Politeness
    from concurcrawl.workers.protocol.cookies import CookieChange
    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.supervisor.commits import RequestCommit
    from concurcrawl.workers.supervisor.delivery import Delivery
    from concurcrawl.workers.supervisor.encoding import RequestEncoding
    from concurcrawl.workers.supervisor.filters import RequestFilter
    from concurcrawl.workers.supervisor.pipelines import Pipelines

logger = logging.getLogger(__name__)


class Storage(Protocol):
    """Keeps what waits and what came of it.

    Attributes:
        frontier: What waits, and how fast it may leave.
        encoding: How requests are kept there.
        duplicates: Names duplicates.
        own_filter: Asks the project's own filter.
        start: What ``start()`` yields.
        delivery: Brings items into the feeds.
        state: ``spider.state``, where that is kept.
        is_closed: Whether nothing can be pushed any more.
    """

    frontier: Frontier
    encoding: RequestEncoding
    duplicates: Duplicates
    own_filter: RequestFilter
    start: StartOutputs
    delivery: Delivery
    state: KeptState | None

    is_closed: bool

    async def join(self) -> bool:
        """Join the crawl; return whether there is one to join."""

    async def open(self) -> None:
        """Load what an earlier run has left; the spider opens."""

    def begin_close(self, reason: str) -> None:
        """Note that the crawl ends here; workers are told next."""

    async def close(
        self, reason: str, end_workers: Callable[[], Awaitable[None]]
    ) -> None:
        """Close the frontier, once *end_workers* has returned."""

    def commit(self, commit: RequestCommit) -> Awaitable[Completed]:
        """Commit all of it or nothing."""

    def has_pending(self) -> bool:
        """Return whether the crawl is not over."""

    def holds_back(self) -> bool:
        """Return whether requests wait and none of them may be leased now."""

    async def is_known(self, request: Request, key: bytes) -> bool:
        """Return whether a request that a worker keeps is a duplicate."""

    def wait_for(self, request: Request, pushed: asyncio.Future[None]) -> None:
        """Ask ``start()`` for nothing more until *request*, if it is its, is safe."""

    def share_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Send cookies that a worker got to other machines, if there are any."""

    def dead_letter(self, lease: Lease, reason: str, attempts: int) -> None:
        """Keep a leased request that is given up; its lease ends next.

        Args:
            lease: Its lease.
            reason: Its URL; empty if it cannot be decoded.
            attempts: How many workers died of it.
        """

    async def put_dead_letters_back(self) -> int:
        """Make dead-lettered requests wait again; return how many there were."""
        raise NotImplementedError

    async def make_safe(self) -> None:
        """Write what was committed to the disk, where there is one."""

    @property
    def leads(self) -> bool:
        """Whether this process runs what only one of the nodes may run."""
        return True


class JobStorage(Storage):
    """A crawl of this machine alone, with or without a ``JOBDIR``."""

    frontier: SqliteFrontier

    def __init__(
        self,
        crawler: Crawler,
        codec: Codec,
        politeness: Politeness,
        pipelines: Pipelines,
        fail: Callable[[Exception], None],
        send_state: Callable[[Sequence[bytes], str], None],
    ) -> None:
        """Open the frontier.

        Args:
            crawler: The crawl, whose spider is about to open.
            codec: Encodes requests.
            politeness: The limits of each group.
            pipelines: Process items that an earlier run has left.
            fail: Ends the crawl if nothing can be kept any more.
            send_state: Sends changes of ``spider.state`` to all workers but one.
        """
        self.is_closed = False
        self._crawler = crawler
        self._jobdir = folder = jobdir.claimed_by(crawler)
        settings = crawler.settings
        self.frontier = SqliteFrontier(
            politeness.limits_of,
            path="" if folder is None else folder.frontier,
            asks=politeness.needs_asking,
            total=settings.getint("CONCURRENT_REQUESTS"),
            newest_first=newest_first(settings),
            newest_start_first=newest_start_first(settings),
        )
        self.encoding = PickleEncoding(codec)
        durable = self._make_filters()
        self.start = StartOutputs(
            crawler, self.frontier, lambda: self.duplicates.own_filter is not None
        )
        self.state = None
        if folder is not None and settings.getbool(KEEPS_STATE):
            spider = crawler.spider
            self.state = KeptState(spider, self.frontier, folder.state, send_state)
        self._committer = JobCommitter(self.frontier, durable, self.state)
        self._durable_filter = durable
        self._delivery = self.delivery = JobDirDelivery(
            crawler, self.frontier, folder, self.start, pipelines, fail
        )

    def _make_filters(self) -> DurableFilter | None:
        kind, folder = own_filter_class(self._crawler), self._jobdir
        if folder is None or kind in (None, BaseDupeFilter):
            self.duplicates = Duplicates(self._crawler, make_own_filter(self._crawler))
            self.own_filter: RequestFilter = PlainFilter(self.duplicates)
            return None
        own_filter.cut_back(at_once(self.frontier.notes()))
        found = make_own_filter(self._crawler)
        assert found is not None
        durable = DurableFilter(found, self.frontier, folder.path)
        self.duplicates = Duplicates(self._crawler, found)
        self.own_filter = JobFilter(self.duplicates, durable)
        return durable

    @override
    async def join(self) -> bool:
        return True

    @override
    async def open(self) -> None:
        if self.state is not None:
            self.state.open()
            # The last of all receivers: what others change as they close is kept, too.
            self._crawler.signals.connect(self.state.close, signals.spider_closed)
        await self.delivery.open()

    @override
    def begin_close(self, reason: str) -> None:
        """Do nothing."""

    @override
    async def close(
        self, reason: str, end_workers: Callable[[], Awaitable[None]]
    ) -> None:
        await end_workers()
        if self._jobdir is None:
            self._close_frontier()
        else:  # feeds, which are closed after the scheduler, have notes in it
            self._jobdir.before_close(lambda: self._end(reason))

    def _end(self, reason: str) -> None:
        """Close the frontier, when nothing more can happen to the JOBDIR."""
        try:
            if self._durable_filter is not None:
                self._durable_filter.close()
            self._delivery.end(reason)
        except sqlite3.Error as error:
            logger.error("The JOBDIR could not be written: %s", error)  # noqa: TRY400
        finally:
            self._close_frontier()

    def _close_frontier(self) -> None:
        self.is_closed = True
        self.frontier.close()

    @override
    def commit(self, commit: RequestCommit) -> Awaitable[Completed]:
        return self._committer.commit(commit)

    @override
    def has_pending(self) -> bool:
        return self.frontier.waiting() > 0 or self.delivery.is_replaying

    @override
    def holds_back(self) -> bool:
        return self.frontier.waiting() > 0 and not self.frontier.has_ready()

    @override
    async def is_known(self, request: Request, key: bytes) -> bool:
        if self.duplicates.own_filter is not None:
            return self.own_filter.claim(request, key)
        return self.frontier.keys.knows(key)

    @override
    def wait_for(self, request: Request, pushed: asyncio.Future[None]) -> None:
        self.start.wait_for(request, pushed)

    @override
    def share_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Do nothing: there is no other machine."""

    @override
    def dead_letter(self, lease: Lease, reason: str, attempts: int) -> None:
        self.frontier.dead_letter(lease.lease_id)

    @override
    async def put_dead_letters_back(self) -> int:
        return self.frontier.put_dead_letters_back()

    @override
    async def make_safe(self) -> None:
        if self._jobdir is not None:
            await self.frontier.deliver((), {})
