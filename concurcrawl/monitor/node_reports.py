"""What a node says of itself to pages outside, each time that one of them asks.

A page writes into Redis that it watches the job, see ``JobControl.reports``; nodes read
that with the desired state of the job, and answer. Nothing runs while none watches.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals

from concurcrawl.control.shared import SharedControl

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from concurcrawl.monitor.crawl_view import CrawlView
    from concurcrawl.monitor.processes import Processes


class NodeReports:
    """Scrapy extension of a node: reports its memory, CPU and worker restarts."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._parts: tuple[CrawlView, Processes] | None = None
        crawler.signals.connect(self._start, signals.spider_opened)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _start(self) -> None:
        shared = self._crawler.get_extension(SharedControl)
        if shared is not None:  # the project may have switched it off
            shared.report = self.report

    async def report(self) -> tuple[str, str]:
        """Return the node's name and its report, which is JSON."""
        view, processes = self._parts or self._make_parts()
        measured = await asyncio.to_thread(processes.measure, view.processes())
        found: dict[str, Any] = {
            "restarts": view.restarts,
            "memory_bytes": sum(one.memory_bytes for one in measured),
            "cpu": sum(one.cpu or 0.0 for one in measured),
            "cpu_s": sum(one.cpu_s for one in measured),
        }
        return view.node, json.dumps(found)

    def _make_parts(self) -> tuple[CrawlView, Processes]:
        from concurcrawl.monitor.activity import ActivityReports  # most need none
        from concurcrawl.monitor.crawl_view import CrawlView
        from concurcrawl.monitor.processes import Processes

        view = CrawlView(self._crawler, ActivityReports(self._crawler))
        self._parts = view, Processes()
        return self._parts
