"""End a crawl that has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import signals

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from scrapy.crawler import Crawler


@touches("scrapy.crawler", "Crawler.spider")
def fail_crawl(crawler: Crawler) -> None:
    """Let ``scrapy crawl`` exit with code 1 once *crawler* has stopped.

    Touches: ``Crawler.spider``, which ``CrawlerProcess`` takes for a failed start if it
    is None at the end (Scrapy 2.19.0). If it moves, the exit code is 0. Wished for: an
    exit code by ``finish_reason``.
    """

    def forget_spider() -> None:
        crawler.spider = None

    # The signal manager keeps weak references; this one lives as long as the crawler.
    crawler.signals.connect(forget_spider, signals.engine_stopped, weak=False)
