"""Does at each node what is wanted of a job in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.exceptions import NotConfigured

from concurcrawl.control.operations import CrawlControl
from concurcrawl.errors import ConcurcrawlError, ControlError
from concurcrawl.frontier.redis import job_ref
from concurcrawl.frontier.redis.control import NodeControl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler

    from concurcrawl.frontier.redis.control import Orders

logger = logging.getLogger(__name__)

#: Seconds between two looks at what is wanted.
_INTERVAL_S = 0.4

_LIMITS = "limits:"


class SharedControl:
    """Scrapy extension of a node: looks at what is wanted, and does it.

    It asks by a connection of its own: an exchange of the frontier has no place for
    what people want now and then, and one that is late must not hold a page up.
    """

    def __init__(self, crawler: Crawler) -> None:
        target = job_ref.claimed_by(crawler)
        if target is None:
            raise NotConfigured
        self._node = NodeControl(target)
        self._control = CrawlControl(crawler)
        self._done: dict[str, str] = {}  # of what is wanted, what was done here
        self._task: asyncio.Task[None] | None = None
        crawler.signals.connect(self._start, signals.engine_started)
        crawler.signals.connect(self._stop, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def publish(self, wanted: Mapping[str, str]) -> None:
        """Have the other nodes do what was done here."""
        self._done.update(wanted)
        asyncio.ensure_future(self._publish(wanted))  # noqa: RUF006 - the engine outlives it

    def publish_limits(
        self, group: str, in_flight: int | None, delay_s: float | None
    ) -> None:
        """Have the other nodes keep limits of *group*, besides those of before."""
        name = f"{_LIMITS}{group}"
        limits = json.loads(self._done.get(name, "{}"))
        given = {"in_flight": in_flight, "delay_s": delay_s}
        limits |= {key: value for key, value in given.items() if value is not None}
        self.publish({name: json.dumps(limits)})

    def forget_pause(self) -> None:
        """Let nodes that resume the job find no pause."""
        asyncio.ensure_future(self._publish({}, forgotten="paused"))  # noqa: RUF006 - as above

    async def _publish(self, wanted: Mapping[str, str], forgotten: str = "") -> None:
        try:
            if wanted:
                await self._node.publish(wanted)
            if forgotten:
                await self._node.forget(forgotten)
        except Exception as error:  # noqa: BLE001 - redis-py's, and the network's
            logger.error("Other nodes were not told to do %s: %s", dict(wanted), error)  # noqa: TRY400 - its sentence says it all

    def _start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._node.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - the frontier says that it is away
                logger.debug("What is wanted of this job is not known: %s", error)
            await asyncio.sleep(_INTERVAL_S)

    async def _look(self) -> None:
        if self._control.is_stopping:
            return
        orders: Orders = await self._node.orders(leads=self._control.leads)
        for name, value in orders.wanted.items():
            if self._done.get(name) != value:
                self._done[name] = value
                self._do(name, value)
        for command in orders.commands:
            await self._obey(command)

    def _do(self, name: str, value: str) -> None:
        """Do what is wanted of every node; the others do it by themselves."""
        if name == "paused":
            self._control.pause_here() if value == "1" else self._control.resume_here()
        elif name.startswith(_LIMITS):
            group = name.removeprefix(_LIMITS)
            try:
                self._control.change_limits_here(group, **json.loads(value))
            except ControlError as error:
                logger.warning("Limits that another node has changed: %s", error)

    async def _obey(self, command: bytes) -> None:
        fields = json.loads(command)
        number = fields.pop("id")
        try:
            answer: dict[str, Any] = {"done": await self._command(**fields)}
        except (ConcurcrawlError, TypeError) as error:
            answer = {"error": str(error)}
        await self._node.answer(command, number, answer)

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
