"""What is asked of Scrapy's engine, of a real one that has opened its spider."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scrapy import Request

from concurcrawl.compat import engine as compat
from concurcrawl.compat.closing import fail_crawl
from concurcrawl.compat.start import wrap_start
from tests.unit.compat.crawlers import with_open_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.crawler import Crawler

PAGE = Request("http://a.test/")


def test_requests_are_in_progress_from_begin_to_end() -> None:
    async def check(crawler: Crawler) -> None:
        assert compat.in_progress(crawler.engine) == set()
        compat.begin(crawler.engine, PAGE)
        assert compat.in_progress(crawler.engine) == {PAGE}
        compat.end(crawler.engine, PAGE)
        assert compat.in_progress(crawler.engine) == set()

    with_open_engine(check)


def test_an_engine_closes_when_its_requests_were_abandoned() -> None:
    async def check(crawler: Crawler) -> None:
        engine = crawler.engine
        compat.begin(engine, PAGE)
        assert not compat.is_closing(engine)
        assert compat.may_start(engine)
        closed = asyncio.ensure_future(engine.close_spider_async(reason="stalled"))
        await asyncio.sleep(0)
        assert compat.is_closing(engine)
        assert not compat.may_start(engine)
        compat.abandon_requests(engine)
        compat.end(engine, PAGE)  # what it waited for came after all
        await closed
        compat.end(engine, PAGE)
        assert compat.in_progress(engine) == set()

    with_open_engine(check)


def test_two_functions_are_called_around_each_look() -> None:
    called = []

    async def check(crawler: Crawler) -> None:
        engine: Any = crawler.engine
        looked = asyncio.Event()
        engine.scheduler.next_request = lambda: called.append("look")
        compat.call_each_turn(engine, lambda: called.append("before"), looked.set)
        compat.wake(engine)
        await looked.wait()

    with_open_engine(check)
    assert called == ["before", "look"]


def test_pauses_are_told_instead_of_made() -> None:
    told: list[bool] = []

    async def check(crawler: Crawler) -> None:
        compat.on_pause(crawler.engine, told.append)
        crawler.engine.pause()
        crawler.engine.unpause()
        assert not crawler.engine.paused

    with_open_engine(check)
    assert told == [True, False]


def test_something_is_called_before_the_spider_closes() -> None:
    reasons: list[str] = []

    async def check(crawler: Crawler) -> None:
        assert crawler.stats is not None
        stats = crawler.stats
        compat.before_close(
            crawler.engine, lambda: reasons.append(stats.get_value("finish_reason"))
        )
        await crawler.engine.close_spider_async(reason="done")
        reasons.append(stats.get_value("finish_reason"))

    with_open_engine(check)
    assert reasons == [None, "done"]


def test_what_start_yields_passes_what_wraps_it() -> None:
    async def nothing(_: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield PAGE

    async def check(crawler: Crawler) -> None:
        engine = crawler.engine
        assert compat.is_starting(engine)
        wrap_start(engine, nothing)
        await engine._process_start_next()
        assert engine.scheduler is not None
        assert engine.scheduler.next_request() is PAGE
        await engine._process_start_next()
        assert not compat.is_starting(engine)
        wrap_start(engine, nothing)
        assert not compat.is_starting(engine)

    with_open_engine(check)


def test_a_crawl_that_failed_has_no_spider_at_its_end() -> None:
    async def check(crawler: Crawler) -> None:
        fail_crawl(crawler)
        assert crawler.spider is not None
        crawler.engine._starting = True  # as one that was started
        await crawler.engine.stop_async()
        assert crawler.spider is None

    with_open_engine(check)
