"""What callbacks yield is handled as the scraper would, in fewer tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, Spider
from scrapy.http import TextResponse

from concurcrawl.compat import scraper as compat
from tests.unit.compat.crawlers import with_open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler

URL = "http://a.test/"


class Yields(Spider):
    name = "yields"
    start_urls = [URL]  # noqa: RUF012 - as people write it

    def parse(self, response: Any) -> Iterator[Any]:
        yield {"url": response.url}
        yield Request(URL + "next")


def has_begun(crawler: Crawler) -> bool:
    slot = crawler.engine.scraper.slot
    assert slot is not None
    return not slot.is_idle()


@pytest.mark.parametrize("has_few_tasks", [False, True])
def test_a_callback_is_called_and_its_outputs_leave(has_few_tasks: bool) -> None:
    async def check(crawler: Crawler) -> None:
        scraper = crawler.engine.scraper
        if has_few_tasks:
            compat.handle_with_few_tasks(scraper)
        request = Request(URL)
        await compat.scrape(scraper, TextResponse(URL, request=request), request)
        assert crawler.stats is not None
        assert crawler.stats.get_value("item_scraped_count") == 1
        assert crawler.stats.get_value("scheduler/enqueued") == 1
        assert not has_begun(crawler)

    with_open_engine(check, Yields)


def test_outputs_go_to_what_handles_them() -> None:
    handled: list[Any] = []

    async def check(crawler: Crawler) -> None:
        scraper = crawler.engine.scraper

        async def handle(outputs: Any, request: Request, response: Any) -> None:
            assert has_begun(crawler)
            async for output in outputs:
                handled.append(output)
                await compat.handle_output(scraper, output, response)

        compat.handle_outputs(scraper, handle)
        request = Request(URL)
        await compat.scrape(scraper, TextResponse(URL, request=request), request)
        assert crawler.stats is not None
        assert crawler.stats.get_value("item_scraped_count") == 1

    with_open_engine(check, Yields)
    assert handled[0] == {"url": URL}


def test_a_spider_that_may_not_start_yields_nothing() -> None:
    async def check(crawler: Crawler) -> None:
        spidermw: Any = crawler.engine.scraper.spidermw
        assert len([one async for one in await spidermw.process_start()]) == 1
        compat.start_nothing(crawler.engine.scraper)
        assert [one async for one in await spidermw.process_start()] == []

    with_open_engine(check, Yields)
