"""Scrapy's ``SCHEDULER`` of a supervisor that shares its crawl with other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from concurcrawl.nodes.app import node_app
from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler

if TYPE_CHECKING:
    from scrapy.crawler import Crawler


class NodeScheduler(SupervisorScheduler):
    """The same for Scrapy; what waits is kept in Redis."""

    @classmethod
    @override
    def from_crawler(cls, crawler: Crawler) -> Self:
        downloader: Any = crawler.engine.downloader  # the add-on sets the two together
        return cls(node_app(crawler, downloader.early))
