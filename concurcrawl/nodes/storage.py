"""A crawl that several machines share: this node's part of it, over Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from scrapy import signals
from typing_extensions import override

from concurcrawl.compat.engine import wake
from concurcrawl.config import Config
from concurcrawl.durable.start import StartOutputs
from concurcrawl.errors import ConcurcrawlError, FrontierError
from concurcrawl.frontier.redis import job_ref
from concurcrawl.frontier.redis.connection import RedisConnection
from concurcrawl.frontier.redis.frontier import RedisFrontier
from concurcrawl.frontier.redis.session import Member
from concurcrawl.local.duplicates import Duplicates, make_own_filter
from concurcrawl.local.entries import newest_first
from concurcrawl.nodes import json_cookies
from concurcrawl.nodes.delivery import NodeDelivery
from concurcrawl.nodes.encoding import JsonEncoding
from concurcrawl.nodes.json_codec import JsonCodec
from concurcrawl.nodes.stats_report import StatsReport
from concurcrawl.workers.supervisor.commits import commit_to
from concurcrawl.workers.supervisor.filters import PlainFilter
from concurcrawl.workers.supervisor.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    from scrapy import Request

    from concurcrawl.frontier.base import Completed, Lease
    from concurcrawl.workers.protocol.cookies import CookieChange
    from concurcrawl.workers.supervisor.app import SupervisorApp
    from concurcrawl.workers.supervisor.commits import RequestCommit

logger = logging.getLogger(__name__)

#: Reasons to end that are this node's own: the others go on.
_OWN_REASONS = {"shutdown", "workers_failed", "storage_failed", "memusage_exceeded"}


class NodeStorage(Storage):
    """What this node leases to a worker was leased to it by Redis."""

    frontier: RedisFrontier
    delivery: NodeDelivery

    def __init__(self, app: SupervisorApp) -> None:
        """Make one that has not joined.

        Args:
            app: The supervisor, whose parts are told of what other nodes do.
        """
        self._app = app
        self._crawler = crawler = app.crawler
        assert crawler.spider is not None
        config = Config.from_settings(crawler.settings)
        target = job_ref.claimed_by(crawler)
        assert target is not None
        self._job = target.job
        self._link = RedisConnection(target)
        self.frontier = self._make_frontier(config)
        portable = JsonCodec(crawler.spider)
        self.encoding = JsonEncoding(portable, app.codec)
        self.duplicates = Duplicates(crawler, make_own_filter(crawler))
        self.own_filter = PlainFilter(self.duplicates)
        self.state = None
        self.is_closed = False
        self.start = StartOutputs(
            crawler, self.frontier, lambda: self.duplicates.own_filter is not None
        )
        self.delivery = NodeDelivery(
            crawler,
            self.frontier,
            self._link,
            portable,
            job_ref.home(config.frontier_node),
            self.start,
            streams=config.frontier_items == "stream",
            pipelines=app.pipelines,
            lead=self._lead,
            fail=app.ending.fail,
        )
        self._stats = StatsReport(crawler, self.frontier)
        self._leads = asyncio.Event()
        self._is_begun = False
        self._last_seen: tuple[Any, ...] = ()

    def _make_frontier(self, config: Config) -> RedisFrontier:
        settings = self._crawler.settings
        slots = [int(share) for share in settings.getlist("CONCURCRAWL_SLOTS")]
        mode = settings.get("CONCURCRAWL_MODE", settings["MODE"])
        member = Member(
            node=job_ref.node_name(config.frontier_node),
            spider=self._crawler.spidercls.name,
            how=config.frontier_start,
            lease_s=config.frontier_lease_s,
            max_attempts=config.max_attempts,
            streams=config.frontier_items == "stream",
            about={
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "mode": str(mode),
                "workers": len(slots),
            },
            limits=self._app.politeness.default,
            started_s=time.monotonic() - _age_s(),
        )
        politeness = self._app.politeness
        frontier = RedisFrontier(
            self._link,
            member,
            politeness.limits_of,
            total=settings.getint("CONCURRENT_REQUESTS"),
            asks=politeness.needs_asking,
            newest_first=newest_first(settings),
        )
        frontier.prefetch = max(1, sum(slots) // 4)
        return frontier

    # The crawl -----------------------------------------------------------------------

    @override
    async def join(self) -> bool:
        frontier = self.frontier
        frontier.on_change = self._on_change
        frontier.on_ended = self._on_ended
        frontier.on_lost = self._on_lost
        frontier.on_failure = self._on_failure
        frontier.on_cookies = self._on_cookies
        frontier.on_throttled = self._on_throttled
        frontier.free_capacity = self._app.pool.free_capacity
        try:
            await frontier.join()
        except FrontierError as error:
            self._on_failure(error)
            return False
        if frontier.has_joined:
            frontier.start()
        logger.info("This node is %s of the job %s", frontier.node, self._job)
        self._stats.start()
        return True

    @override
    async def open(self) -> None:
        await self.delivery.open()
        # Not earlier: only then are pipelines and feeds open.
        self._crawler.signals.connect(self._begin, signals.engine_started)

    @override
    def begin_close(self, reason: str) -> None:
        self._leads.set()
        if not (_is_own(reason) or reason == "finished"):
            self.finish(reason)

    @override
    async def close(
        self, reason: str, end_workers: Callable[[], Awaitable[None]]
    ) -> None:
        frontier = self.frontier
        with contextlib.suppress(ConcurcrawlError):
            await end_workers()
            is_over = reason == "finished" and frontier.has_joined
            if is_over and not await frontier.finish(reason):
                logger.info("Something came up at other nodes, which go on")
        self._stats.stop()
        if not frontier.failure:
            await frontier.quit()
        if not _is_own(reason):
            self._name_items_in_doubt()
        self.is_closed = True
        frontier.close()

    def _name_items_in_doubt(self) -> None:
        count = self.frontier.in_doubt
        if count:
            self._crawler.stats.set_value("concurcrawl/items_in_doubt", count)
            logger.error(
                "%d items were being written when their node died, and only that node "
                "can tell whether they are in its feeds: start it again there, with "
                "the same feeds. CONCURCRAWL_FRONTIER_START=new gives them up.",
                count,
            )

    def finish(self, reason: str) -> None:
        """End the crawl everywhere."""
        with contextlib.suppress(ConcurcrawlError):
            self.frontier.finish(reason)

    # The contract --------------------------------------------------------------------

    @override
    def commit(self, commit: RequestCommit) -> Awaitable[Completed]:
        return commit_to(self.frontier, commit)

    @override
    def has_pending(self) -> bool:
        """Only the leader ever finds that it is over."""
        frontier = self.frontier
        is_over = (
            frontier.is_leader
            and frontier.is_quiet
            and not frontier.kept
            and not self.delivery.is_replaying
        )
        return not is_over

    @override
    def holds_back(self) -> bool:
        """What is on its way waits, too."""
        frontier = self.frontier
        is_waiting = frontier.waiting() > 0 and not frontier.has_ready()
        return frontier.is_pushing or is_waiting

    @override
    async def is_known(self, request: Request, key: bytes) -> bool:
        return await self._link.knows(key)

    @override
    def wait_for(self, request: Request, pushed: asyncio.Future[None]) -> None:
        if self.start.wait_for(request, pushed):
            self.frontier.hurry()

    @override
    def share_cookies(self, changes: Sequence[CookieChange]) -> None:
        payload = json_cookies.write(changes)
        if payload:
            self.frontier.share_cookies(payload)

    @override
    def dead_letter(self, lease: Lease, reason: str, attempts: int) -> None:
        payload = lease.payload
        if reason:  # then it is encoded for workers, not for other nodes
            payload = self.encoding.encode(self._app.codec.decode(payload))
        self.frontier.dead_letter(attempts, lease.group, payload)

    @override
    async def put_dead_letters_back(self) -> int:
        return await self.frontier.put_dead_letters_back()

    @property
    @override
    def leads(self) -> bool:
        return self.frontier.is_leader

    # What other nodes do -------------------------------------------------------------

    def _on_change(self) -> None:
        frontier = self.frontier
        if frontier.is_leader:
            self._leads.set()
        self._app.admissions.pump_all()
        seen = (
            frontier.waiting(),
            frontier.leased(),
            frontier.kept,
            frontier.is_leader,
        )
        if self._is_begun and (seen != self._last_seen or frontier.is_quiet):
            self._last_seen = seen
            wake(self._crawler.engine)

    def _begin(self) -> None:
        self._is_begun = True
        self.frontier.on_adopted = self.delivery.adopt
        if self.frontier.ended is not None:
            self._on_ended(self.frontier.ended)

    def _on_ended(self, reason: str) -> None:
        self._leads.set()
        if self._is_begun:  # else there is no spider yet that could be closed
            self._app.ending.close_spider(reason)

    def _on_lost(self) -> None:
        logger.warning(
            "This node was silent for longer than CONCURCRAWL_FRONTIER_LEASE_S, and "
            "others do what it held; it goes on with other requests."
        )
        self._crawler.stats.inc_value("concurcrawl/leases_lost")
        self._leads.clear()  # another leads now, and runs start()
        self._app.queue.forget_claims()
        self.delivery.disown()

    def _on_failure(self, error: Exception) -> None:
        self._leads.set()
        self._app.ending.fail(error)

    def _on_cookies(self, changes: list[bytes]) -> None:
        for payload in changes:
            self._app.coordinator.apply_cookies(json_cookies.read(payload))

    def _on_throttled(self, groups: list[str]) -> None:
        for group in groups:
            self._app.coordinator.throttle(group)

    async def _lead(self) -> bool:
        """Return whether this node is to make the start requests, when it is."""
        await self._leads.wait()
        return self.frontier.is_leader and self.frontier.ended is None


def _is_own(reason: str) -> bool:
    """Return whether this node ends for *reason* alone."""
    return reason in _OWN_REASONS or reason.startswith("frontier_")


def _age_s() -> float:
    """Return for how long this process has run."""
    try:
        # Not by psutil where there is this: it goes by the time at which the kernel
        # says it was booted, which is in whole seconds.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
    except (OSError, AttributeError):
        return time.time() - psutil.Process().create_time()
