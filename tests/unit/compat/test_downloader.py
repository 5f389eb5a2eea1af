"""A downloader and its connections."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from scrapy import Request
from scrapy.core.downloader import Slot
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.http import Response
from scrapy.utils.test import get_crawler
from twisted.internet.defer import Deferred, succeed

from concurcrawl.compat import http11
from concurcrawl.compat.compression import DecodingMiddleware
from concurcrawl.compat.downloader import DirectDownloader
from concurcrawl.compat.robots import obey_robots_for_all_waiters

PAGE = Request("http://a.test/")


class Downloads(DirectDownloader):
    slot = Slot(8, 0.0, 0.0)

    async def download_now(self, request: Request) -> Response:
        assert request in self.active
        return Response(request.url, status=201)

    def slot_for(self, request: Request) -> tuple[str, Slot]:
        return "mine", self.slot


def downloader() -> Downloads:
    settings = {
        "DOWNLOAD_HANDLERS": {"http": None, "https": None},
        "DOWNLOADER_MIDDLEWARES_BASE": {},
    }
    return Downloads(get_crawler(settings_dict=settings))


def test_a_subclass_downloads_what_has_passed_the_middlewares() -> None:
    made = downloader()
    response = asyncio.run(made.fetch_async(PAGE))
    assert isinstance(response, Response)
    assert response.status == 201
    assert not made.active


def test_extensions_are_given_the_slot_of_the_subclass() -> None:
    made = downloader()
    assert made._get_slot(PAGE) == ("mine", Downloads.slot)


def test_a_connection_is_told_before_the_request_goes_on() -> None:
    told: list[Any] = []
    pool = SimpleNamespace(getConnection=lambda *_: succeed("connection"))
    assert http11.listen(SimpleNamespace(_pool=pool), lambda: told.append)
    assert not http11.listen(object(), lambda: told.append)
    pool.getConnection("key", "endpoint").addCallback(told.append)
    assert told == ["connection", "connection"]


def test_a_connection_in_the_place_of_a_kept_one_is_told_too() -> None:
    told: list[Any] = []
    kept = SimpleNamespace(_newConnection=lambda: succeed("new"))
    http11.on_renewal(kept, told.append)
    http11.on_renewal(object(), told.append)
    kept._newConnection()
    assert told == ["new"]


def test_a_subclass_decodes_bodies_and_knows_the_sizes() -> None:
    class Upper(DecodingMiddleware):
        def decode(self, body: bytes, encoding: bytes, max_size: int) -> bytes:
            return body.upper()

    crawler = get_crawler(settings_dict={"DOWNLOAD_MAXSIZE": 9})
    crawler._apply_settings()
    middleware = Upper(crawler=crawler)
    warn_size = crawler.settings.getint("DOWNLOAD_WARNSIZE")
    assert middleware.sizes(PAGE) == (9, warn_size)
    own = PAGE.replace(meta={"download_maxsize": 1, "download_warnsize": 2})
    assert middleware.sizes(own) == (1, 2)
    packed = Response(PAGE.url, body=b"a", headers={"Content-Encoding": "gzip"})
    found = middleware.process_response(PAGE, packed)
    assert isinstance(found, Response)
    assert found.body == b"A"


def test_each_request_that_waits_for_robots_gets_the_parser() -> None:
    async def check() -> None:
        crawler = get_crawler(settings_dict={"ROBOTSTXT_OBEY": True})
        crawler._apply_settings()
        middleware = RobotsTxtMiddleware(crawler)
        fetched: Deferred[Any] = Deferred()
        middleware._parsers["a.test"] = fetched
        obey_robots_for_all_waiters([middleware])
        waiting: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(middleware.robot_parser(PAGE)) for _ in range(3)
        ]
        await asyncio.sleep(0)
        fetched.callback("parser")
        assert await asyncio.gather(*waiting) == ["parser"] * 3

    asyncio.run(check())
