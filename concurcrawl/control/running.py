"""The one place where controls touch what runs a crawl: engine, scheduler, limits."""

from __future__ import annotations

import asyncio
import math
import os
from typing import TYPE_CHECKING, Any, Protocol

from scrapy import signals
from scrapy.exceptions import IgnoreRequest
from twisted.python.failure import Failure

from concurcrawl import registry
from concurcrawl.compat.engine import is_closing, wake
from concurcrawl.errors import ControlError, NotJsonError, NotShippableError
from concurcrawl.limits.limiter import Written
from concurcrawl.limits.policy import WHOLE_GROUP

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.core.engine import ExecutionEngine
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import Frontier
    from concurcrawl.limits.policy import Politeness


class _App(Protocol):
    """What controls use of the parts of a crawl, in every kind of process."""

    @property
    def politeness(self) -> Politeness: ...

    @property
    def frontier(self) -> Frontier: ...

    @property
    def leads(self) -> bool: ...

    async def add(self, request: Request) -> bool: ...

    async def make_safe(self) -> None: ...

    async def put_dead_letters_back(self) -> int: ...

    def change_limits(self, group: str, slot: str, written: Written) -> None: ...


class RunningCrawl:
    """A crawl as its controls see it; a mode runs it in this process."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @property
    def _engine(self) -> ExecutionEngine:
        engine = self._crawler.engine
        assert engine is not None
        return engine

    @property
    def _app(self) -> _App:
        app: Any = registry.find(self._crawler)
        found: _App = app
        return found

    @property
    def is_paused(self) -> bool:
        """Whether no request may start."""
        return self._engine.paused

    @property
    def is_stopping(self) -> bool:
        """Whether the spider is about to be closed, or is."""
        return self._engine.spider is None or is_closing(self._engine)

    @property
    def leads(self) -> bool:
        """Whether this process is the leader of all nodes, or the only one."""
        return self._app.leads

    def wake(self) -> None:
        """Make the engine ask its scheduler for requests now."""
        wake(self._engine)

    def require_open(self) -> None:
        """See that requests may be added.

        Raises:
            ControlError: If the crawl ends.
        """
        if self.is_stopping:
            raise ControlError("the crawl ends and takes nothing more")

    def pause(self) -> None:
        """Let no request start."""
        self._engine.pause()

    def resume(self) -> None:
        """Let requests start again."""
        self._engine.unpause()
        wake(self._engine)

    def stop(self, reason: str) -> None:
        """Close the spider once the requests in flight are done."""
        if not self.is_stopping:
            asyncio.ensure_future(  # noqa: RUF006 - the engine outlives it
                self._engine.close_spider_async(reason=reason)
            )

    async def add(self, request: Request) -> bool:
        """Add *request* as the engine would; return whether it was new.

        Raises:
            ControlError: If it cannot be kept, or an extension does not want it.
        """
        results = self._crawler.signals.send_catch_log(
            signals.request_scheduled,
            request=request,
            spider=self._crawler.spider,
            dont_log=IgnoreRequest,
        )
        for _, result in results:
            if isinstance(result, Failure) and isinstance(result.value, IgnoreRequest):
                raise ControlError(
                    f"{request.url} is outside of allowed_domains, or an extension "
                    "ignores it"
                )
        try:
            is_new = await self._app.add(request)
        except (NotShippableError, NotJsonError) as error:
            raise ControlError(str(error)) from error
        if not is_new:
            self._crawler.signals.send_catch_log(
                signals.request_dropped, request=request, spider=self._crawler.spider
            )
        return is_new

    async def make_safe(self) -> None:
        """Write added requests to the disk, and wake the engine for them."""
        await self._app.make_safe()
        wake(self._engine)

    async def retry(self) -> int:
        """Put dead-lettered requests back; return how many."""
        count = await self._app.put_dead_letters_back()
        wake(self._engine)
        return count

    def change_limits(
        self, group: str, in_flight: int | None, delay_s: float | None
    ) -> dict[str, Any]:
        """Change the limits of the group that *group* names, or is a host of.

        Returns:
            The group, and what it must not exceed from now on.

        Raises:
            ControlError: If a value makes no sense, or a profile forbids it.
        """
        _check_limits(group, in_flight, delay_s)
        politeness = self._app.politeness
        name = politeness.group_of_slot(group)
        politeness.require_allowed(name, in_flight, delay_s)
        written = Written(delay_s, in_flight)
        self._app.change_limits(name, WHOLE_GROUP, written)
        limits = politeness.limits_of(name)
        return {
            "group": name,
            "in_flight": limits.in_flight,
            "delay_s": limits.delay_s,
        }

    def status(self) -> dict[str, Any]:
        """Return how the crawl is, as JSON can say it."""
        crawler = self._crawler
        assert crawler.spider is not None
        state = "running"
        if self.is_stopping:
            state = "stopping"
        elif self.is_paused:
            state = "paused"
        return {
            "spider": crawler.spider.name,
            "pid": os.getpid(),
            "state": state,
            "responses": crawler.stats.get_value("response_received_count", 0),
            "items": crawler.stats.get_value("item_scraped_count", 0),
            "dead_lettered": crawler.stats.get_value("concurcrawl/poisoned", 0),
            "waiting": self._app.frontier.waiting(),
            "leased": self._app.frontier.leased(),
        }


def _check_limits(group: str, in_flight: int | None, delay_s: float | None) -> None:
    if not group or "/" in group:
        raise ControlError(f"{group!r} is no group: name a host or a group of hosts")
    if in_flight is None and delay_s is None:
        raise ControlError("no limit was given: name in_flight or delay_s")
    if in_flight is not None and in_flight < 1:
        raise ControlError(
            f"in_flight={in_flight} must be at least 1; pause the crawl to send none"
        )
    if delay_s is not None and not 0 <= delay_s < math.inf:
        raise ControlError(f"delay_s={delay_s} must be a number of seconds, 0 or more")
