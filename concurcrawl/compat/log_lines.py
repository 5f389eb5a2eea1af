"""Lines that Scrapy logs by itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

#: The logger of lines about items.
_SCRAPER = "scrapy.core.scraper"


@touches("scrapy.logformatter", "LogFormatter.scraped")
def leave_out_scraped(crawler: Crawler) -> None:
    """Switch off *crawler*'s log line for each scraped item.

    Touches: replaces ``LogFormatter.scraped()`` of one crawler's (Scrapy 2.19.0), which
    may be the project's class. If it moves, each item is logged twice, by a worker and
    by the supervisor. Wished for: a level for each of Scrapy's lines.
    """
    crawler.logformatter.scraped = _log_nothing  # type: ignore[method-assign,assignment]


def _log_nothing(*_: Any) -> None:
    return None


@touches("scrapy.logformatter", "LogFormatter.scraped")
def leave_out_unread(crawler: Crawler) -> None:
    """Make no record of a scraped item that no handler takes.

    Scrapy sets ``LOG_LEVEL`` on its handler, not on loggers: a line below it becomes a
    record, with the place in the code that it comes from, and is dropped then. That is
    15 % of what the supervisor of a crawl of many items does.

    Touches: replaces ``LogFormatter.scraped()`` of one crawler's (Scrapy 2.19.0), which
    may be the project's class. If it moves, that time is lost. Wished for:
    ``LOG_LEVEL`` on Scrapy's own loggers.
    """
    scraped, logger = crawler.logformatter.scraped, logging.getLogger(_SCRAPER)

    def taken(*about: Any) -> Any:
        line = scraped(*about)
        if line is not None and not is_read(logger, line.get("level", logging.INFO)):
            return None
        return line

    crawler.logformatter.scraped = taken  # type: ignore[method-assign,assignment]


def is_read(logger: logging.Logger, level: int) -> bool:
    """Return whether a line of *logger* may reach anything.

    Handlers and filters may come and go while a crawl runs.
    """
    found: logging.Logger | None = logger
    while found is not None:
        if found.filters or any(level >= one.level for one in found.handlers):
            return True
        found = found.parent if found.propagate else None
    return False
