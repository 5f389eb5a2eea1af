"""The scheduler of a supervisor that shares its crawl with other machines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from scrapy import signals
from typing_extensions import override

from concurcrawl import stats
from concurcrawl.compat.engine import wake
from concurcrawl.config import Config
from concurcrawl.errors import (
    ConcurcrawlError,
    FrontierError,
    NotJsonError,
)
from concurcrawl.frontier.redis import job_ref
from concurcrawl.frontier.redis.connection import RedisConnection
from concurcrawl.frontier.redis.frontier import RedisFrontier
from concurcrawl.frontier.redis.session import Member
from concurcrawl.local.scheduler import newest_first
from concurcrawl.nodes import json_cookies
from concurcrawl.nodes.delivery import NodeDelivery
from concurcrawl.nodes.json_codec import JsonCodec
from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import Lease
    from concurcrawl.workers.protocol.cookies import CookieChange
    from concurcrawl.workers.protocol.messages.results import Product
    from concurcrawl.workers.supervisor.scheduler import StateChanges

logger = logging.getLogger(__name__)

#: Seconds between two times that stats are sent.
_STATS_S = 1.0

#: Reasons to end that are this node's own: the others go on.
_OWN_REASONS = {"shutdown", "workers_failed", "storage_failed", "memusage_exceeded"}


class NodeScheduler(SupervisorScheduler):
    """One node's: what it leases to a worker was leased to it by Redis."""

    _frontier: RedisFrontier
    journal: NodeDelivery

    def __init__(self, crawler: Crawler) -> None:
        assert crawler.spider is not None
        self._portable = JsonCodec(crawler.spider)
        super().__init__(crawler)
        self._payloads: dict[int, bytes] = {}
        self._written: dict[stats.StatKey, Any] = {}
        self._sender: asyncio.Task[None] | None = None
        self._leads = asyncio.Event()
        self._is_begun = False
        self._last_seen: tuple[Any, ...] = ()
        crawler.stats.written = lambda *change: stats.note(self._written, *change)  # type: ignore[attr-defined]

    @property
    def frontier(self) -> RedisFrontier:
        """This node's part of the frontier."""
        return self._frontier

    async def _open(self, spider: Spider) -> None:
        frontier = self._frontier
        frontier.on_news = self._hear_news
        frontier.on_ended = self._end
        frontier.on_lost = self._lose
        frontier.on_failure = self._fail
        frontier.on_cookies = self._hear_cookies
        frontier.on_throttled = self._hear_trouble
        frontier.free_capacity = self._downloader.pool.room
        self.journal.lead = self._lead
        try:
            await frontier.join()
        except FrontierError as error:
            self._fail(error)
            await self._downloader.connect()
            return
        if frontier.has_joined:
            frontier.start()
        logger.info("This node is %s of the job %s", frontier.node, self._target.job)
        self._sender = asyncio.ensure_future(self._send_stats())
        await super()._open(spider)
        self.journal.decode = self._codec.decode
        # Not earlier: only then are pipelines and feeds open.
        self._crawler.signals.connect(self._begin, signals.engine_started)

    async def _close(self, reason: str) -> None:
        frontier = self._frontier
        is_own = reason in _OWN_REASONS or reason.startswith("frontier_")
        self._leads.set()
        if not (is_own or reason == "finished"):
            self.finish(reason)
        self._downloader.pool.stop(reason)
        with contextlib.suppress(ConcurcrawlError):
            await super()._close_workers()
            is_over = reason == "finished" and frontier.has_joined
            if is_over and not await frontier.finish(reason):
                logger.info("Something came up at other nodes, which go on")
        if self._sender is not None:
            self._sender.cancel()
        self._flush_stats()
        if not frontier.failure:
            await frontier.quit()
        if not is_own:
            self._tell_of_items_in_doubt()
        await super()._close_the_rest(reason)

    def _tell_of_items_in_doubt(self) -> None:
        count = self._frontier.in_doubt
        if count:
            self._stats.set_value("concurcrawl/items_unsettled", count)
            logger.error(
                "%d items were being written when their node died, and only that node "
                "can tell whether they are in its feeds: start it again there, with "
                "the same feeds. CONCURCRAWL_FRONTIER_START=new gives them up.",
                count,
            )

    @override
    def has_pending_requests(self) -> bool:
        """Only the leader ever finds that it is over."""
        frontier = self._frontier
        is_over = (
            frontier.is_leader
            and frontier.is_quiet
            and not frontier.kept
            and not self.journal.is_replaying
        )
        return not is_over

    @override
    def holds_back(self) -> bool:
        """What is on its way waits, too."""
        return self._frontier.is_pushing or super().holds_back()

    @override
    def lend(self) -> Request | None:
        try:
            request = super().lend()
        except NotJsonError as error:
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._stats.inc_value("concurcrawl/not_shippable")
            return self.lend()
        if request is not None:
            lease = self._leases[request]
            payload = self._payloads.pop(lease.lease_id)
            self._leases[request] = replace(lease, payload=payload)
        return request

    @override
    async def complete(
        self,
        lease: Lease | None,
        products: Iterable[Product],
        items: Iterable[bytes] = (),
        changes: StateChanges = ((), ""),
    ) -> list[int]:
        numbers = await super().complete(lease, products, items, changes)
        if not self._streams:
            self.journal.took(numbers)
        return numbers

    def finish(self, reason: str) -> None:
        """End the crawl everywhere."""
        with contextlib.suppress(ConcurcrawlError):
            self._frontier.finish(reason)

    def share_cookies(self, changes: Sequence[CookieChange]) -> None:
        """Tell other nodes of cookies that a worker of this one got."""
        payload = json_cookies.write(changes)
        if payload:
            self._frontier.share_cookies(payload)

    @override
    def dead_letter(self, lease: Lease, reason: str, deaths: int) -> None:
        """Keep for all a request that was given up."""
        request = self._codec.decode(lease.payload)
        payload = self._portable.write_request(request)
        self._frontier.dead_letter(deaths, lease.group, payload)

    @override
    async def put_dead_letters_back(self) -> int:
        return await self._frontier.put_dead_letters_back()

    # ---------------------------------------------------------------------------------

    def _make_frontier(self) -> RedisFrontier:
        crawler = self._crawler
        config = Config.from_settings(crawler.settings)
        target = job_ref.claimed_by(crawler)
        assert target is not None
        self._target = target
        self._link = RedisConnection(target)
        self._streams = config.frontier_items == "stream"
        self._home = job_ref.home(config.frontier_node)
        member = Member(
            node=job_ref.node_name(config.frontier_node),
            spider=crawler.spidercls.name,
            how=config.frontier_start,
            lease_s=config.frontier_lease_s,
            max_attempts=config.max_attempts,
            streams=self._streams,
            about={
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "mode": str(
                    crawler.settings.get("CONCURCRAWL_MODE", crawler.settings["MODE"])
                ),
                "workers": len(crawler.settings.getlist("CONCURCRAWL_SLOTS")),
            },
            limits=self.politeness.default,
            started_s=time.monotonic() - _age_s(),
        )
        frontier = RedisFrontier(
            self._link,
            member,
            self.politeness.limits_of,
            total=crawler.settings.getint("CONCURRENT_REQUESTS"),
            asks=self._asks(),
            newest_first=newest_first(crawler.settings),
        )
        slots = sum(int(s) for s in crawler.settings.getlist("CONCURCRAWL_SLOTS"))
        frontier.prefetch = max(1, slots // 4)
        return frontier

    def _make_journal(self) -> NodeDelivery:
        return NodeDelivery(
            self._crawler,
            self._frontier,
            self._link,
            self._portable,
            self._home,
            self.start,
            streams=self._streams,
        )

    def _wait_for(self, request: Request, pushed: asyncio.Future[None]) -> None:
        if self.start.wait_for(request, pushed):
            self._frontier.hurry()

    async def _is_known(self, request: Request, key: bytes) -> bool:
        return await self._link.knows(key)

    def _pack(self, request: Request) -> bytes:
        return self._portable.write_request(request)

    def _payload_of(self, request: Request, product: Product) -> bytes:
        return self._portable.write_request(request)

    def _unpack(self, lease: Lease) -> Request:
        try:
            request = self._portable.read_request(lease.payload)
        except NotJsonError:
            self._frontier.ack(lease.lease_id)
            self._frontier.dead_letter(0, lease.group, lease.payload)
            raise
        self._payloads[lease.lease_id] = self._codec.encode(request)
        request.errback = None  # it is the worker's to call
        return request

    # What the frontier says ------------------------------------------------------

    def _hear_news(self) -> None:
        frontier = self._frontier
        if frontier.is_leader:
            self._leads.set()
        self.admissions.pump_all()
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
        self._frontier.on_adopted = self.journal.adopt
        if self._frontier.ended is not None:
            self._end(self._frontier.ended)

    def _end(self, reason: str) -> None:
        self._leads.set()
        if self._is_begun:  # else there is no spider yet that could be closed
            self._downloader.close_spider(reason)

    def _lose(self) -> None:
        logger.warning(
            "This node was silent for longer than CONCURCRAWL_FRONTIER_LEASE_S, and "
            "others do what it held; it goes on with other requests."
        )
        self._stats.inc_value("concurcrawl/leases_lost")
        self._leads.clear()  # another leads now, and runs start()
        self.admissions.withdraw({lease.lease_id for lease in self._leases.values()})
        self._claims.clear()
        self.journal.disown()

    def _fail(self, error: Exception) -> None:
        self._leads.set()
        self._downloader.fail(error)

    def _hear_cookies(self, changes: list[bytes]) -> None:
        for payload in changes:
            self._downloader.coordinator.take_cookies(json_cookies.read(payload))

    def _hear_trouble(self, groups: list[str]) -> None:
        for group in groups:
            self._downloader.coordinator.trouble(group)

    async def _lead(self) -> bool:
        """Return whether this node is to make the start requests, when it is."""
        await self._leads.wait()
        return self._frontier.is_leader and self._frontier.ended is None

    async def _send_stats(self) -> None:
        while True:
            await asyncio.sleep(_STATS_S)
            self._flush_stats()

    def _flush_stats(self) -> None:
        written, self._written = self._written, {}
        for (how, name), value in written.items():
            if how == "set":
                self._frontier.note_stat(how, name, json.dumps(value, default=str))
            elif how != "start" and isinstance(value, int | float):
                self._frontier.note_stat(how, name, value)


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
