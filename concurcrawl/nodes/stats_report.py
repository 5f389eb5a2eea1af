"""A node's stats, which Redis adds up over all nodes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from concurcrawl import stats

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.redis.frontier import RedisFrontier

#: Seconds between two times that stats are sent.
_INTERVAL_S = 1.0


class StatsReport:
    """Sends what was written to the stats since the last time."""

    def __init__(self, crawler: Crawler, frontier: RedisFrontier) -> None:
        self._frontier = frontier
        self._written: dict[stats.StatKey, Any] = {}
        self._task: asyncio.Task[None] | None = None
        crawler.stats.written = self._note  # type: ignore[attr-defined]

    def _note(self, *change: Any) -> None:
        stats.note(self._written, *change)

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Send what is left, and nothing more."""
        if self._task is not None:
            self._task.cancel()
        self._flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self._flush()

    def _flush(self) -> None:
        written, self._written = self._written, {}
        for (how, name), value in written.items():
            if how == "set":
                self._frontier.note_stat(how, name, json.dumps(value, default=str))
            elif how != "start" and isinstance(value, int | float):
                self._frontier.note_stat(how, name, value)
