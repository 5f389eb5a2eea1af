"""Real engines of Scrapy for the tests of this folder, without a crawl."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scrapy import Spider
from scrapy.utils.test import get_crawler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scrapy.crawler import Crawler


def crawler_of(cls: type[Any] = Spider, **settings: Any) -> Crawler:
    """Return a crawler that has a spider and an engine, as at the start of a crawl."""
    # Else a test of this process would install a reactor for all.
    quiet = {
        "TWISTED_REACTOR_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "DOWNLOAD_HANDLERS": {"http": None, "https": None},
    }
    crawler = get_crawler(cls, quiet | settings)
    crawler.spider = crawler._create_spider("any")
    crawler.engine = crawler._create_engine()
    return crawler


def with_open_engine(
    call: Callable[[Crawler], Awaitable[None]], cls: type[Any] = Spider, **settings: Any
) -> None:
    """Await *call* with a crawler whose engine has opened its spider."""

    async def opened() -> None:
        crawler = crawler_of(cls, **settings)
        await crawler.engine.open_spider_async(close_if_idle=False)
        crawler.engine.running = True
        await call(crawler)

    asyncio.run(opened())
