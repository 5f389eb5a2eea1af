"""Lines that Scrapy logs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from scrapy.crawler import Crawler


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
