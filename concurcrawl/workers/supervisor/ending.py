"""How a crawl with workers ends: because it is told to, or because it fails."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from concurcrawl.compat.closing import fail_crawl
from concurcrawl.compat.engine import is_closing
from concurcrawl.errors import FrontierError

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class Ending:
    """Ends the crawl.

    Attributes:
        has_begun: Whether the crawl was told to end here; nothing is dispatched then.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self.has_begun = False
        self._has_failed = False

    def close_spider(self, reason: str) -> None:
        """End the crawl, after what is in flight; dispatch nothing any more."""
        self.has_begun = True
        asyncio.ensure_future(  # noqa: RUF006 - the engine outlives it
            self._crawler.engine.close_spider_async(reason=reason)
        )

    def give_up(self, reason: str) -> None:
        """End the crawl with exit code 1, unless it ends for another reason."""
        if not is_closing(self._crawler.engine):
            fail_crawl(self._crawler)
        self.close_spider(reason)

    def fail(self, error: Exception) -> None:
        """End the crawl once: what came of a request could not be kept."""
        if self._has_failed:
            return
        self._has_failed = True
        if isinstance(error, FrontierError):
            logger.error("%s", error)
            self.give_up(error.reason)
        else:
            logger.error(
                "The crawl ends: it cannot write what it has done (%s). Make room or "
                "mend the disk, then run the same command again.",
                error,
            )
            # Also of a crawl that had finished: something of it is not stored.
            fail_crawl(self._crawler)
            self.close_spider("storage_failed")
