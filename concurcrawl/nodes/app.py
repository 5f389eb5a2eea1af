"""The composition root of a node: a supervisor whose crawl is kept in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.nodes.storage import NodeStorage
from concurcrawl.workers.supervisor.app import SupervisorApp

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from concurcrawl.workers.supervisor.starter import EarlyStart


def node_app(crawler: Crawler, early: EarlyStart) -> SupervisorApp:
    """Build the parts of *crawler*.

    Args:
        crawler: The crawl, whose engine is there and does not run yet.
        early: Its workers, which were started before.
    """
    return SupervisorApp(crawler, early, NodeStorage)
