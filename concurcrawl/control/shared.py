"""Applies the desired state of a job in Redis at each node, and runs its commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.exceptions import NotConfigured

from concurcrawl.control.announcing import LIMITS, Announcer
from concurcrawl.control.operations import CrawlControl
from concurcrawl.errors import ConcurcrawlError, ControlError
from concurcrawl.frontier.redis import job_ref
from concurcrawl.frontier.redis.connection import client_errors
from concurcrawl.frontier.redis.control import WATCHED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy.crawler import Crawler

    from concurcrawl.frontier.redis.control import NodeControl

logger = logging.getLogger(__name__)

#: Seconds between two reads of the desired state.
_INTERVAL_S = 0.4


class SharedControl:
    """Scrapy extension of a node: polls Redis for desired state and commands.

    Attributes:
        report: Returns the node's name and a report for pages outside. The monitor,
            which may import this module, sets it when the spider opens.
    """

    def __init__(self, crawler: Crawler) -> None:
        if job_ref.claimed_by(crawler) is None:
            raise NotConfigured
        self._crawler = crawler
        self._control = CrawlControl(crawler)
        self._task: asyncio.Task[None] | None = None
        self.report: Callable[[], Awaitable[tuple[str, str]]] | None = None
        crawler.signals.connect(self._start, signals.engine_started)
        crawler.signals.connect(self._stop, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _start(self) -> None:
        announcer = self._crawler.get_extension(Announcer)
        assert announcer is not None
        self._task = asyncio.ensure_future(self._run(announcer))

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, announcer: Announcer) -> None:
        while not self._control.is_stopping:
            try:
                await self._look(announcer)
            except client_errors() as error:  # the frontier reports that it is away
                logger.debug("The desired state of this job cannot be read: %s", error)
            except Exception:
                logger.exception(
                    "This node can no longer be paused, stopped or fed for all nodes"
                )
                return
            await asyncio.sleep(_INTERVAL_S)

    async def _look(self, announcer: Announcer) -> None:
        before = announcer.changes
        orders = await announcer.node.orders(leads=self._control.leads)
        is_old = announcer.is_telling or announcer.changes != before
        for name, value in orders.wanted.items():
            if announcer.done.get(name) != value and not is_old:
                announcer.done[name] = value
                if name == WATCHED:
                    await self._report(announcer.node)
                else:
                    self._do(name, value)
        for command in orders.commands:
            await self._obey(announcer.node, command)

    def _do(self, name: str, value: str) -> None:
        """Apply one part of the desired state at this node alone."""
        if name == "paused":
            self._control.pause_here() if value == "1" else self._control.resume_here()
        elif name.startswith(LIMITS):
            group = name.removeprefix(LIMITS)
            try:
                self._control.change_limits_here(group, **json.loads(value))
            except ControlError as error:
                logger.warning("Limits that another node has changed: %s", error)

    async def _report(self, node: NodeControl) -> None:
        if self.report is not None:
            await node.report(*await self.report())

    async def _obey(self, node: NodeControl, command: bytes) -> None:
        try:
            fields = json.loads(command)
            number = str(fields.pop("id"))
        except (ValueError, TypeError, KeyError, AttributeError):
            logger.error("%r is no command and is dropped", command[:100])  # noqa: TRY400 - its sentence says it all
            await node.discard(command)
            return
        try:
            answer: dict[str, Any] = {"done": await self._command(**fields)}
        except ConcurcrawlError as error:
            answer = {"error": str(error)}
        except Exception as error:  # else it would be tried again and again
            logger.exception("The command %r failed", command[:100])
            answer = {"error": f"{type(error).__name__}: {error}"}
        await node.answer(command, number, answer)

    async def _command(self, op: str, **fields: Any) -> Any:
        control = self._control
        match op:
            case "add":
                return (await control.add(fields["urls"])).as_json()
            case "limits":
                return control.change_limits(**fields)
            case "retry":
                return await control.retry()
        raise ControlError(f"this release has no command {op!r}")
