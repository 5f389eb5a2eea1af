"""What callbacks yield, handled with as few tasks as its order allows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.utils.asyncgen import as_async_generator
from scrapy.utils.defer import aiter_errback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from scrapy.core.scraper import Scraper
    from scrapy.http import Response
    from twisted.python.failure import Failure


def handle_with_few_tasks(scraper: Scraper) -> None:
    """Have *scraper* start a task for each item only, where no pipeline waits.

    Scrapy starts a hundred for each response. They schedule all requests that are there
    at once, one turn of the loop later; which of them leaves next hangs on that.
    """

    async def handle(
        result: Iterable[Any] | AsyncIterator[Any],
        request: Request,
        response: Response | Failure,
    ) -> None:
        outputs = aiter_errback(
            as_async_generator(result), scraper.handle_spider_error, request, response
        )
        await asyncio.sleep(0)
        items = []
        async for output in outputs:
            handled = scraper._process_spidermw_output_async(output, response)
            if isinstance(output, Request):
                await handled
            else:
                items.append(asyncio.ensure_future(handled))
        if items:
            await asyncio.wait(items)

    scraper.handle_spider_output_async = handle  # type: ignore[method-assign]
