"""Asks the supervisor before a request starts, where its limits require that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.utils.httpobj import urlparse_cached
from typing_extensions import override

from concurcrawl.limits.handler import RequestLimiter, robots_agent, slot_of
from concurcrawl.limits.policy import Politeness, delay_of
from concurcrawl.limits.slots import SlotLimits
from concurcrawl.workers.protocol.messages.leases import Idle, Recall
from concurcrawl.workers.protocol.messages.limits import (
    CrawlDelay,
    RequestLeft,
    RequestSent,
    SlotChanged,
    Throttled,
)
from concurcrawl.workers.protocol.messages.questions import Enter

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.robotstxt import RobotParser
    from scrapy.settings import BaseSettings

    from concurcrawl.limits.limiter import FetchResult, Written
    from concurcrawl.workers.worker.connection import Connection
    from concurcrawl.workers.worker.leases import Leases
    from concurcrawl.workers.worker.work import WorkInProgress


class WorkerLimiter(RequestLimiter):
    """Keeps the limits of sites together with the supervisor.

    A leased request whose group has no limit of its own starts without a question,
    until its site has refused one. The supervisor counts it as in flight from its
    dispatch on, unless it was reported as idle.

    Attributes:
        inside: Requests that have entered and not left, and their groups.
        waiting: Requests whose question is not answered yet.
        slot_limits: The limits as the downloader's slots show them.
    """

    def __init__(
        self,
        connection: Connection,
        leases: Leases,
        work: WorkInProgress,
        settings: BaseSettings,
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._work = work
        self._settings = settings
        self._politeness = Politeness.from_settings(settings)
        self.inside: dict[Request, str] = {}
        self.waiting: set[Request] = set()
        self._asked: set[Request] = set()
        self._idle: set[int] = set()  # leases that were reported
        self._throttled: set[str] = set()
        self._is_recalled = False
        self.slot_limits = SlotLimits(
            self._politeness,
            settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"),
            self._change_slot,
        )

    @override
    async def enter(self, request: Request) -> bool:
        group, lease_id = self.group_of(request), self._work.lease_id_of(request)
        if lease_id is not None:
            if self._is_free(request, group, lease_id):
                self.inside[request] = group
                return False
        else:
            # The leased request that needs this one is not at its site while it waits.
            # If it stayed counted as in flight there, a limit of one would never let
            # this one start.
            self.report_idle()
        self.waiting.add(request)
        try:
            await self._connection.ask(Enter(group, lease_id))
        finally:
            self.waiting.discard(request)
        self._asked.add(request)
        self.inside[request] = group
        # The group may be throttled for reasons that only the supervisor knows, such as
        # its robots.txt.
        return group in self._throttled or self._politeness.is_paced(group)

    @override
    def sent(self, request: Request, at_s: float) -> None:
        lease_id = self._work.lease_id_of(request)
        self._connection.send(RequestSent(self.inside[request], lease_id, at_s))

    @override
    def leave(self, request: Request, result: FetchResult) -> None:
        was_asked = request in self._asked
        self._asked.discard(request)
        group, lease_id = self.inside.pop(request), self._work.lease_id_of(request)
        if was_asked or result.status in (429, 503):
            self._connection.send(RequestLeft(group, lease_id, result))
        elif self._is_recalled:
            self.report_idle()

    def report_idle(self) -> None:
        """Report leases that are not at their sites: not yet, or no longer."""
        lease_ids = self._leases.lease_ids()
        self._idle &= lease_ids
        at_sites = {self._work.lease_id_of(request) for request in self.inside}
        found = lease_ids - self._idle - at_sites
        if found:
            self._idle |= found
            self._connection.send(Idle(tuple(found)))

    def report_if_recalled(self) -> None:
        """Report leases that have just arrived, too, during a recall."""
        if self._is_recalled:
            self.report_idle()

    def on_recall(self, message: Recall) -> None:
        """Begin or end to report idle leases."""
        self._is_recalled = message.is_on

    def on_throttled(self, message: Throttled) -> None:
        """Ask before each request to a group from now on."""
        self._throttled.add(message.group)

    def on_slot_changed(self, message: SlotChanged) -> None:
        """Take over what another process wrote to a slot."""
        self._politeness.write(message.group, message.slot, message.written)

    def on_robots_parsed(self, robotparser: RobotParser, request: Request) -> None:
        """Report the ``Crawl-delay`` of a robots.txt that was parsed here."""
        delay_s = delay_of(robotparser, robots_agent(request, self._settings))
        if delay_s:
            group = self.group_of(request)
            # Before the supervisor confirms it: the next request may start right now.
            self._throttled.add(group)
            self._connection.send(CrawlDelay(group, delay_s))

    def _change_slot(self, group: str, slot: str, written: Written) -> None:
        """Apply what was written to a slot here, and report it."""
        # Before the supervisor confirms it: the next request may start right now.
        self._throttled.add(group)
        self._politeness.write(group, slot, written)
        self._connection.send(SlotChanged(group, slot, written))

    def _is_free(self, request: Request, group: str, lease_id: int) -> bool:
        return not (
            self._is_recalled
            or lease_id in self._idle
            or self._must_ask(group)
            or self._was_moved(request)
        )

    def _must_ask(self, group: str) -> bool:
        return group in self._throttled or self._politeness.needs_asking(group)

    def _was_moved(self, request: Request) -> bool:
        """Return whether a middleware may have put *request* into another group.

        Then the one that it was leased for, which has limits, waits for it.
        """
        slot = request.meta.get("download_slot")
        if slot is None or slot == urlparse_cached(request).hostname:
            return False
        return self._must_ask(self._politeness.group_of(request.url, None))

    def group_of(self, request: Request) -> str:
        """Return the group of hosts whose limits *request* shares."""
        return self._politeness.group_of(request.url, slot_of(request))
