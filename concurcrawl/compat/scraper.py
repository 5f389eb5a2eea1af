"""The handling of what callbacks yield, and the number of its tasks."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.utils.asyncgen import as_async_generator
from scrapy.utils.defer import aiter_errback

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from scrapy.core.scraper import Scraper
    from scrapy.http import Response
    from twisted.python.failure import Failure

_SCRAPER = "scrapy.core.scraper"

#: The one that says the same in a crawl without workers.
_scrapers = logging.getLogger(_SCRAPER)


@touches(
    _SCRAPER,
    "Scraper.handle_spider_output_async",
    "Scraper._process_spidermw_output_async",
)
def handle_with_few_tasks(scraper: Scraper) -> None:
    """Let *scraper* start tasks for items only, in a crawl whose pipelines never wait.

    Scrapy starts a hundred tasks for each response. They schedule all requests of the
    response at once, one turn of the loop later, which decides the order of sending.

    Touches: replaces ``Scraper.handle_spider_output_async()``, and calls
    ``Scraper._process_spidermw_output_async()`` (Scrapy 2.19.0). If one moves, a serial
    crawl costs Scrapy's tasks. Wished for: that ``CONCURRENT_ITEMS`` tasks start only
    where items have to wait.
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

    handle_outputs(scraper, handle)


@touches(_SCRAPER, "Scraper._start_itemproc_nowait_async", "Scraper._check_if_closing")
def close_after_start_items(scraper: Scraper) -> None:
    """Let a stop end once the last item of ``start()`` has left the pipelines.

    In Scrapy the scraper looks whether it can close after a response only: a stop while
    nothing but items of ``start()`` is in the pipelines waits for ever.

    Touches: replaces ``Scraper._start_itemproc_nowait_async()``, and calls
    ``Scraper._check_if_closing()`` (Scrapy 2.19.0). If one moves, such a stop has to be
    forced. Wished for: that Scrapy looks after items too.
    """
    start = scraper._start_itemproc_nowait_async

    async def handle(item: Any) -> None:
        try:
            await start(item)
        finally:
            slot = scraper.slot
            if slot is not None and slot.closing and not slot.closing.called:
                scraper._check_if_closing()

    scraper._start_itemproc_nowait_async = handle  # type: ignore[method-assign]


#: What the pipelines raise for the item of this context; they do not get it.
fails_with: ContextVar[Exception | None] = ContextVar("fails_with", default=None)


@touches(_SCRAPER, "Scraper.start_itemproc_async")
@touches("scrapy.pipelines", "ItemPipelineManager.process_item_async")
def let_items_fail(scraper: Scraper) -> None:
    """Let the pipelines raise the error that is set in :data:`fails_with`.

    A pipeline in a worker has raised it; Scrapy logs it and sends its signals here.

    Touches: replaces ``process_item_async()`` of ``Scraper.itemproc`` (Scrapy 2.19.0).
    If it moves, items that were dropped in workers pass. Wished for: a public way to
    report an item as dropped.
    """
    processor: Any = scraper.itemproc
    process = processor.process_item_async

    async def process_or_fail(item: Any) -> Any:
        error = fails_with.get()
        if error is not None:
            raise error
        return await process(item)

    processor.process_item_async = process_or_fail


@touches(_SCRAPER, "Scraper.handle_spider_output_async")
def handle_outputs(
    scraper: Scraper, handle: Callable[[Any, Request, Any], Awaitable[None]]
) -> None:
    """Let *handle* handle what callbacks yield.

    Touches: replaces ``Scraper.handle_spider_output_async()`` (Scrapy 2.19.0). If it
    moves, what the callbacks of a worker yield is handled in Scrapy's order, and
    ``spider.state`` is sent too late. Wished for: a setting for the class of the
    scraper.

    Args:
        scraper: Of a crawler.
        handle: Called with what a callback returned (an iterable or an async iterator),
            its request, and the response or the failure.
    """
    scraper.handle_spider_output_async = handle  # type: ignore[method-assign,assignment]


@touches(_SCRAPER, "Scraper._process_spidermw_output_async")
def handle_output(
    scraper: Scraper, output: Any, response: Response | Failure
) -> Awaitable[None]:
    """Schedule a request or send an item through the pipelines, as *scraper* does.

    Touches: ``Scraper._process_spidermw_output_async()`` (Scrapy 2.19.0). If it moves,
    nothing that a callback yields leaves a worker. Wished for: a public name.
    """
    return scraper._process_spidermw_output_async(output, response)


@touches(
    _SCRAPER,
    *("Scraper._scrape", "Scraper._check_if_closing", "Slot.add_response_request"),
    *("Slot.next_response_request_deferred", "Slot.finish_response"),
)
async def scrape(
    scraper: Scraper, result: Response | Failure, request: Request
) -> None:
    """Call back the spider with *result* and handle what it yields, in this task.

    Touches: ``Scraper._scrape()`` and ``._check_if_closing()``, and the methods of
    ``Scraper.slot`` that count responses (Scrapy 2.19.0), as ``enqueue_scrape()`` uses
    them, which takes two more tasks. If one moves, no callback is called in a worker.
    Wished for: an ``enqueue_scrape_async()``.
    """
    slot = scraper.slot
    assert slot is not None
    slot.add_response_request(result, request)
    slot.next_response_request_deferred()  # the same one
    try:
        await scraper._scrape(result, request)
    except Exception:  # noqa: BLE001 - as Scrapy does
        _scrapers.exception("Scraper bug processing %s", request)
    finally:
        slot.finish_response(result, request)
        scraper._check_if_closing()


@touches("scrapy.core.spidermw", "SpiderMiddlewareManager.process_start")
def start_nothing(scraper: Scraper) -> None:
    """Let the spider of *scraper* start without any request.

    Touches: replaces ``SpiderMiddlewareManager.process_start()`` (Scrapy 2.19.0), which
    returns what ``Spider.start()`` yields. If it moves, each worker starts the crawl
    anew. Wished for: an argument of ``open_spider_async()``.
    """
    scraper.spidermw.process_start = _start_nothing  # type: ignore[method-assign,assignment]


async def _start_nothing(*_: Any) -> AsyncIterator[Any]:
    return _nothing()


async def _nothing() -> AsyncIterator[Any]:
    return
    yield
