"""The head of a page gives the same answer as the page."""

from __future__ import annotations

import pytest
from scrapy import Request
from scrapy.downloadermiddlewares.redirect import MetaRefreshMiddleware
from scrapy.http import HtmlResponse
from scrapy.settings import Settings
from scrapy.spiders import Spider
from scrapy.utils.test import get_crawler

from concurcrawl.tuning.meta_refresh import HeadMetaRefreshMiddleware, enable

REFRESH = '<meta http-equiv="refresh" content="0; url=/next">'
LARGE = "<p>some words</p>" * 10_000
REQUEST = Request("http://site.test/page")


def answer(middleware: type[MetaRefreshMiddleware], response: HtmlResponse) -> object:
    crawler = get_crawler(Spider)
    crawler.spider = crawler._create_spider("any")
    result = middleware.from_crawler(crawler).process_response(REQUEST, response)
    return result.url if isinstance(result, Request) else result is response


@pytest.mark.parametrize("declared", ["; charset=utf-8", "; charset=utf-16", ""])
@pytest.mark.parametrize(
    "text",
    [
        LARGE,
        REFRESH + LARGE,
        "é" * 4000 + REFRESH + LARGE,
        "é" * 4096 + REFRESH + LARGE,
        "<noscript>" + REFRESH + "</noscript>" + LARGE,
        REFRESH,
        "a" * (4096 - len(REFRESH)) + REFRESH + LARGE,
        "é" * (4096 - len(REFRESH)) + REFRESH + LARGE,
    ],
    ids=["none", "first", "late", "too late", "noscript", "small", "last", "last é"],
)
def test_the_answer_is_that_of_scrapy(text: str, declared: str) -> None:
    encoding = "utf-16" if "utf-16" in declared else "utf-8"
    response = HtmlResponse(
        REQUEST.url,
        headers={"Content-Type": "text/html" + declared},
        body=text.encode(encoding),
    )
    expected = answer(MetaRefreshMiddleware, response)
    assert answer(HeadMetaRefreshMiddleware, response) == expected


@pytest.mark.parametrize(
    "body",
    [
        (REFRESH + LARGE).encode("utf-16"),  # its mark beats what is declared
        (REFRESH + LARGE).upper().encode(),
        (REFRESH.replace("ref", "&#114;ef") + LARGE).encode(),
    ],
    ids=["another encoding", "upper case", "a reference"],
)
def test_a_refresh_is_seen_however_it_is_written(body: bytes) -> None:
    response = HtmlResponse(
        REQUEST.url, headers={"Content-Type": "text/html; charset=utf-8"}, body=body
    )
    expected = answer(MetaRefreshMiddleware, response)
    assert answer(HeadMetaRefreshMiddleware, response) == expected


def test_the_whole_page_is_not_decoded() -> None:
    response = HtmlResponse(
        REQUEST.url,
        headers={"Content-Type": "text/html; charset=utf-8"},
        body=LARGE.encode(),
    )
    assert answer(HeadMetaRefreshMiddleware, response) is True
    assert response._cached_ubody is None


def test_a_project_that_moved_it_keeps_its_own() -> None:
    name = "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware"
    settings = Settings({"DOWNLOADER_MIDDLEWARES": {name: 100}})
    enable(settings, "cmdline")
    assert settings.getdict("DOWNLOADER_MIDDLEWARES") == {name: 100}
