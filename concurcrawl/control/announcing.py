"""Publishes the desired state of a job (a pause, limits) to its other nodes."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Self

from scrapy import signals
from scrapy.exceptions import NotConfigured

from concurcrawl.frontier.redis import job_ref
from concurcrawl.frontier.redis.connection import client_errors
from concurcrawl.frontier.redis.control import NodeControl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

#: Prefix of the names of desired limits; the group follows.
LIMITS = "limits:"


class Announcer:
    """Scrapy extension of a node; knows which desired state is in effect here.

    Attributes:
        node: A connection of its own: operators act rarely, and exchanges of the
            frontier, one at a time, must not wait for them.
        done: The part of the desired state that is in effect at this node.
        changes: How often this node has published something.
    """

    def __init__(self, crawler: Crawler) -> None:
        target = job_ref.claimed_by(crawler)
        if target is None:
            raise NotConfigured
        self.node = NodeControl(target)
        self.done: dict[str, str] = {}
        self.changes = 0
        self._telling: set[asyncio.Task[None]] = set()
        crawler.signals.connect(self._stop, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def pause(self, *, is_on: bool) -> None:
        """Pause the other nodes, or resume them."""
        self._publish({"paused": str(int(is_on))})

    def change_limits(
        self, group: str, in_flight: int | None, delay_s: float | None
    ) -> None:
        """Change limits of *group* at the other nodes; earlier ones stay."""
        name = f"{LIMITS}{group}"
        limits = json.loads(self.done.get(name, "{}"))
        given = {"in_flight": in_flight, "delay_s": delay_s}
        limits |= {key: value for key, value in given.items() if value is not None}
        self._publish({name: json.dumps(limits)})

    def forget_pause(self) -> None:
        """Clear the pause, so that nodes which resume the job later are not paused."""
        self._tell({}, forgotten="paused")

    @property
    def is_telling(self) -> bool:
        """Whether a change is on its way to Redis, which then has an older state."""
        return bool(self._telling)

    def _publish(self, wanted: Mapping[str, str]) -> None:
        self.changes += 1
        self.done.update(wanted)
        self._tell(wanted)

    def _tell(self, wanted: Mapping[str, str], forgotten: str = "") -> None:
        task = asyncio.ensure_future(self._write(wanted, forgotten))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _write(self, wanted: Mapping[str, str], forgotten: str) -> None:
        try:
            if wanted:
                await self.node.publish(wanted)
            if forgotten:
                await self.node.forget(forgotten)
        except client_errors() as error:
            logger.error("Other nodes were not told of %s: %s", dict(wanted), error)  # noqa: TRY400 - its sentence says it all

    async def _stop(self) -> None:
        if self._telling:
            await asyncio.wait(self._telling)
        await self.node.close()
