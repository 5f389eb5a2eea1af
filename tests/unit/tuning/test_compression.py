"""Inflating quicker gives the same answers as Scrapy's own way."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli  # type: ignore[import-untyped]  # it brings no types
import pytest
from scrapy import Request
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.http import HtmlResponse, Response
from scrapy.settings import Settings
from scrapy.spiders import Spider
from scrapy.utils.test import get_crawler

from concurcrawl.tuning import compression
from concurcrawl.tuning.compression import QuickCompressionMiddleware, enable
from concurcrawl.tuning.gzip import gunzip

URL = "http://site.test/page"
PAGE = b"<html><body>" + b"<p>some words, again and again</p>" * 20_000
SQUEEZED = gzip.compress(PAGE)
WRONG_SUM = SQUEEZED[:-8] + bytes(4) + SQUEEZED[-4:]
SMALL_LIE = SQUEEZED[:-4] + (10).to_bytes(4, "little")

BODIES: dict[str, tuple[str, bytes]] = {
    "whole": ("gzip", SQUEEZED),
    "whole, by its old name": ("x-gzip", SQUEEZED),
    "in capitals": ("GZip", SQUEEZED),
    "empty page": ("gzip", gzip.compress(b"")),
    "no body": ("gzip", b""),
    "two in a row": ("gzip", SQUEEZED + gzip.compress(b"more")),
    "followed by zeros": ("gzip", SQUEEZED + bytes(100)),
    "followed by rubbish": ("gzip", SQUEEZED + b"rubbish after it"),
    "cut short": ("gzip", SQUEEZED[:-100]),
    "cut in the trailer": ("gzip", SQUEEZED[:-3]),
    "wrong checksum": ("gzip", WRONG_SUM),
    "claims to be small": ("gzip", SMALL_LIE),
    "no gzip": ("gzip", PAGE),
    "twice": ("gzip, gzip", gzip.compress(SQUEEZED)),
    "deflate": ("deflate", zlib.compress(PAGE)),
    "raw deflate": ("deflate", zlib.compress(PAGE)[2:-4]),
    "br": ("br", brotli.compress(PAGE)),
    "br of gzip": ("gzip, br", brotli.compress(SQUEEZED)),
    "unknown": ("pack200", PAGE),
    "unknown below gzip": ("pack200, gzip", SQUEEZED),
}


def answer(
    cls: type[HttpCompressionMiddleware],
    response: Response,
    *,
    meta: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    inflated: bytes | None = None,
) -> list[object]:
    """Return all that one can see of what *cls* does with *response*."""
    crawler = get_crawler(Spider, {"DOWNLOAD_WARNSIZE": 100_000})
    request = Request(URL, meta=meta)
    middleware = cls.from_crawler(crawler)
    middleware.process_request(request)
    if inflated is not None:
        compression.hand_over(response, inflated)
    caplog.clear()
    seen: list[object] = [dict(request.headers)]
    try:
        found = middleware.process_response(request, response)
    except Exception as error:  # noqa: BLE001 - whichever it is, it is Scrapy's
        seen += [type(error), str(error)]
    else:
        assert isinstance(found, Response)
        seen += [type(found), found.body, dict(found.headers), found.flags]
    said = [text.replace(cls.__name__, "Middleware") for text in caplog.messages]
    assert crawler.stats is not None
    return [*seen, said, crawler.stats.get_stats()]


def response_of(coding: str, body: bytes) -> Response:
    headers = {"Content-Encoding": coding, "Content-Type": "text/html; charset=utf-8"}
    return HtmlResponse(URL, headers=headers, body=body, flags=["partial"])


@pytest.mark.parametrize("most", [0, 100_000, len(PAGE) - 1, len(PAGE)])
@pytest.mark.parametrize(("coding", "body"), BODIES.values(), ids=BODIES)
def test_the_answer_is_that_of_scrapy(
    coding: str, body: bytes, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    meta = {"download_maxsize": most}
    expected = answer(
        HttpCompressionMiddleware, response_of(coding, body), meta=meta, caplog=caplog
    )
    found = answer(
        QuickCompressionMiddleware, response_of(coding, body), meta=meta, caplog=caplog
    )
    assert found == expected


@pytest.mark.parametrize("page", [PAGE, PAGE[:50_000]], ids=["large", "small"])
@pytest.mark.parametrize("most", [0, 49_999, 50_000, len(PAGE) - 1, len(PAGE)])
def test_what_a_thread_has_inflated_gives_the_same_answer(
    most: int, page: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    meta, squeezed = {"download_maxsize": most}, gzip.compress(page)
    expected = answer(
        HttpCompressionMiddleware,
        response_of("gzip", squeezed),
        meta=meta,
        caplog=caplog,
    )
    found = answer(
        QuickCompressionMiddleware,
        response_of("gzip", squeezed),
        meta=meta,
        caplog=caplog,
        inflated=page,
    )
    assert found == expected


def test_only_whole_files_of_gzip_are_inflated_in_one_go() -> None:
    assert gunzip(SQUEEZED, 0) == gunzip(SQUEEZED, len(PAGE)) == PAGE
    assert gunzip(SQUEEZED, len(PAGE) - 1) is None
    for body in (b"", PAGE, WRONG_SUM, SMALL_LIE, SQUEEZED[:-1], SQUEEZED + SQUEEZED):
        assert gunzip(body, 0) is None


@pytest.mark.parametrize("place", [None, 100])
def test_a_project_that_moved_it_keeps_its_own(place: int | None) -> None:
    name = "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware"
    settings = Settings({"DOWNLOADER_MIDDLEWARES": {name: place}})
    enable(settings, "cmdline")
    assert settings.getdict("DOWNLOADER_MIDDLEWARES") == {name: place}
