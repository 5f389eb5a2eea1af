"""The Scrapy crawler of a worker.

It is a whole crawler with three parts exchanged: its requests come from the supervisor,
its items and new requests go there, and signals about them are sent there.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.core.scheduler import BaseScheduler
from scrapy.pipelines import ItemPipelineManager
from scrapy.signalmanager import SignalManager
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.httpobj import urlparse_cached
from scrapy.utils.python import global_object_name
from typing_extensions import override

from concurcrawl.compat.crawler import MakingCrawler, leave_settings
from concurcrawl.config import CLOSED_IN_WORKERS
from concurcrawl.errors import NotSharedError, NotShippableError
from concurcrawl.integrations.receivers import SCRAPYS
from concurcrawl.limits.handler import RequestGate, robots_agent, slot_of
from concurcrawl.limits.policy import Politeness, delay_of
from concurcrawl.limits.slots import SlotLimits
from concurcrawl.workers.protocol import replayed
from concurcrawl.workers.protocol.messages.leases import Idle
from concurcrawl.workers.protocol.messages.limits import (
    CrawlDelay,
    RequestLeft,
    RequestSent,
    SlotChanged,
)
from concurcrawl.workers.protocol.messages.questions import Enter
from concurcrawl.workers.worker.engine import WorkerEngine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.robotstxt import RobotParser
    from scrapy.settings import BaseSettings, Settings
    from twisted.internet.defer import Deferred

    from concurcrawl.limits.limiter import FetchResult, Written
    from concurcrawl.workers.worker.channel import SupervisorChannel

logger = logging.getLogger(__name__)

#: What an error says of a file that another process has locked.
_IS_LOCKED = {errno.EAGAIN, errno.EWOULDBLOCK}

_ENDS = {signals.spider_closed, signals.engine_stopped}


class WorkerCrawler(MakingCrawler):
    """A crawler whose engine, scheduler and signals are those of this module.

    Attributes:
        closes_spider: Whether the end of the crawl is told to the spider here, too.
    """

    def __init__(
        self,
        spidercls: Any,
        settings: Settings,
        channel: SupervisorChannel,
        attributes: Mapping[str, Any],
    ) -> None:
        # The spider has had its way with these settings in the supervisor.
        leave_settings(spidercls)
        super().__init__(spidercls, settings)
        self.channel = channel
        self.closes_spider = settings.getbool(CLOSED_IN_WORKERS)
        self.signals = WorkerSignals(self)
        self._attributes = attributes

    @override
    def complete(self, spider: Spider) -> None:
        unlike = object()
        for name, value in self._attributes.items():
            # What is alike stays where it is: of a class, its methods may count there.
            if getattr(spider, name, unlike) != value:
                vars(spider)[name] = value

    @override
    def make_engine(self) -> WorkerEngine:
        return WorkerEngine(self, lambda _: self.stop_async())


class WorkerGate(RequestGate):
    """Asks the supervisor before a request starts, where that is needed.

    A request that was leased and whose group has no limit of its own need not ask,
    until its site has refused one. The supervisor counts it as in flight from when it
    was leased, unless it was reported as idle.

    Attributes:
        inside: Requests that have entered and not left, and their groups.
        waiting: Requests that have asked and wait for the answer.
    """

    def __init__(self, channel: SupervisorChannel, settings: BaseSettings) -> None:
        self._channel = channel
        self._settings = settings
        self._politeness = Politeness.from_settings(settings)
        self.inside: dict[Request, str] = {}
        self.waiting: set[Request] = set()
        self._asked: set[Request] = set()
        self._idle: set[int] = set()  # lease ids that were reported
        channel.on_recall = self.report_idle
        channel.on_limits = self._on_limits
        self.slot_limits = SlotLimits(
            self._politeness,
            settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"),
            self._change_limits,
        )

    @override
    async def enter(self, request: Request) -> bool:
        group, lease_id = self._group(request), self._channel.lease_id_of(request)
        if lease_id is not None:
            if self._is_free(request, group, lease_id):
                self.inside[request] = group
                return False
        else:
            # The request that this one is for is not at its site: it waits for this
            # one. Counted all the same, it would leave no free capacity for it.
            self.report_idle()
        self.waiting.add(request)
        try:
            await self._channel.ask(Enter(group, lease_id))
        finally:
            self.waiting.discard(request)
        self._asked.add(request)
        self.inside[request] = group
        # Why it is troubled, only the supervisor knows; it may be its robots.txt.
        return group in self._channel.throttled or self._politeness.is_paced(group)

    @override
    def sent(self, request: Request, at_s: float) -> None:
        lease_id = self._channel.lease_id_of(request)
        self._channel.send(RequestSent(self.inside[request], lease_id, at_s))

    @override
    def leave(self, request: Request, visit: FetchResult) -> None:
        was_asked = request in self._asked
        self._asked.discard(request)
        group, lease_id = self.inside.pop(request), self._channel.lease_id_of(request)
        if was_asked or visit.status in (429, 503):
            self._channel.send(RequestLeft(group, lease_id, visit))
        elif self._channel.is_recalled:
            self.report_idle()

    def report_idle(self) -> None:
        """Report leases that are not at their sites: not yet, or no longer."""
        lease_ids = self._channel.lease_ids()
        self._idle &= lease_ids
        at_sites = {self._channel.lease_id_of(request) for request in self.inside}
        found = lease_ids - self._idle - at_sites
        if found:
            self._idle |= found
            self._channel.send(Idle(tuple(found)))

    def _is_free(self, request: Request, group: str, lease_id: int) -> bool:
        return not (
            self._channel.is_recalled
            or lease_id in self._idle
            or self._must_ask(group)
            or self._was_moved(request)
        )

    def _must_ask(self, group: str) -> bool:
        return group in self._channel.throttled or self._politeness.needs_asking(group)

    def _was_moved(self, request: Request) -> bool:
        """Return whether a middleware may have put *request* into another group.

        Then the one that it was leased for, which has limits, waits for it.
        """
        slot = request.meta.get("download_slot")
        if slot is None or slot == urlparse_cached(request).hostname:
            return False
        return self._must_ask(self._politeness.group_of(request.url, None))

    def _on_limits(self, message: SlotChanged) -> None:
        self._politeness.write(message.group, message.slot, message.written)

    def _change_limits(self, group: str, slot: str, written: Written) -> None:
        """Tell the supervisor what was written to a slot here."""
        # At once, not when the supervisor says so: the next may start right now.
        self._channel.throttled.add(group)
        self._politeness.write(group, slot, written)
        self._channel.send(SlotChanged(group, slot, written))

    def slow_down(self, robotparser: RobotParser, request: Request) -> None:
        """Tell the supervisor of the pace that a robots.txt wants."""
        delay_s = delay_of(robotparser, robots_agent(request, self._settings))
        if delay_s:
            # At once, not when the supervisor says so: the next may start right now.
            self._channel.throttled.add(self._group(request))
            self._channel.send(CrawlDelay(self._group(request), delay_s))

    def _group(self, request: Request) -> str:
        return self._politeness.group_of(request.url, slot_of(request))


class WorkerScheduler(BaseScheduler):
    """Requests come from the supervisor, and new ones go there."""

    def __init__(self, crawler: WorkerCrawler) -> None:
        self._crawler = crawler
        self._channel = crawler.channel
        self.gate = WorkerGate(crawler.channel, crawler.settings)
        crawler.signals.connect(self.gate.slow_down, signals.robots_parsed)

    @override
    def open(self, spider: Spider) -> None:
        downloader: Any = self._crawler.engine.downloader
        downloader.slots.limits = self.gate.slot_limits

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> WorkerScheduler:
        """Make one for a :class:`WorkerCrawler`."""
        assert isinstance(crawler, WorkerCrawler)
        return cls(crawler)

    @override
    def has_pending_requests(self) -> bool:
        return bool(self._channel.inbox or self._channel.local)

    def __len__(self) -> int:
        """Return how many requests wait here; all that wait, the supervisor knows."""
        return len(self._channel.inbox) + len(self._channel.local)

    @override
    def enqueue_request(self, request: Request) -> bool:
        """Whether it is a duplicate, others find out."""
        try:
            self._channel.add_request(request)
        except NotShippableError as error:
            if self._channel.keep_local(request):
                return True
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._channel.write_stat("inc", "concurcrawl/not_shippable", 1)
            self._crawler.engine.refuse(request, error)  # type: ignore[attr-defined]
            return False
        return True

    @override
    def close(self, reason: str) -> Deferred[None] | None:
        """Everything asked for is done by now."""
        return deferred_from_coro(self._channel.retire())

    @override
    def next_request(self) -> Request | None:
        return self._channel.next_request()


class WorkerItems(ItemPipelineManager):
    """Sends items to the supervisor, after the pipelines that were moved here."""

    @override
    async def process_item_async(self, item: Any) -> Any:
        item = await super().process_item_async(item)
        assert isinstance(self.crawler, WorkerCrawler)
        self.crawler.channel.add_item(item)
        return item


class WorkerSignals(SignalManager):
    """Keeps signals that the supervisor sends from being sent here too."""

    def __init__(self, crawler: WorkerCrawler) -> None:
        super().__init__(crawler)
        self._crawler = crawler

    @override
    def connect(self, receiver: Any, signal: Any, **kwargs: Any) -> None:
        if signal in replayed.ELSEWHERE:
            return
        is_spiders_end = signal in _ENDS and self._is_spiders(receiver)
        if is_spiders_end and not self._crawler.closes_spider:
            return  # the spider closes once, in the supervisor
        super().connect(receiver, signal, **kwargs)

    @override
    def send_catch_log(self, signal: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        if signal in replayed.NAMES:
            self._crawler.channel.reports.add(replayed.NAMES[signal], kwargs)
            return []
        self._report(signal, kwargs)
        return super().send_catch_log(signal, **kwargs)

    @override
    def send_catch_log_deferred(
        self, signal: Any, **kwargs: Any
    ) -> Deferred[list[tuple[Any, Any]]]:
        self._report(signal, kwargs)
        return super().send_catch_log_deferred(signal, **kwargs)

    @override
    async def send_catch_log_async(
        self, signal: Any, **kwargs: Any
    ) -> list[tuple[Any, Any]]:
        """What receivers elsewhere answer is not there.

        Raises:
            NotSharedError: If a middleware cannot open what another process has.
        """
        self._report(signal, kwargs)
        results = await super().send_catch_log_async(signal, **kwargs)
        if signal is signals.spider_opened:
            for receiver, result in results:
                if isinstance(result, OSError) and result.errno in _IS_LOCKED:
                    owner = getattr(receiver, "__self__", receiver)
                    name = global_object_name(type(owner))
                    raise NotSharedError(name, str(result))
        return results

    def _report(self, signal: Any, about: dict[str, Any]) -> None:
        if signal not in SCRAPYS:
            self._crawler.channel.report_own(signal, about)

    def _is_spiders(self, receiver: Any) -> bool:
        owner = getattr(receiver, "__self__", None)
        cls = self._crawler.spidercls
        return isinstance(owner, cls) or receiver is getattr(cls, "close", None)
