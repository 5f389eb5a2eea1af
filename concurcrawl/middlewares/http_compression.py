"""Scrapy's decompression, quicker for gzip and ready for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware

from concurcrawl import components
from concurcrawl.inflate import gunzip

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

_wanted: WeakSet[Request] = WeakSet()
_inflated: WeakKeyDictionary[Response, bytes] = WeakKeyDictionary()


def enable(settings: BaseSettings, rank: str) -> None:
    """Put ours in the place of Scrapy's, unless the project has moved that."""
    components.replace(
        settings, HttpCompressionMiddleware, QuickCompressionMiddleware, rank
    )


def is_wanted(request: Request) -> bool:
    """Tell whether the body that *request* brings is going to be inflated.

    A handler that works in a thread may do it there and :func:`hand_over` the result.
    """
    return request in _wanted


def hand_over(response: Response, body: bytes) -> None:
    """Keep the inflated *body* of *response* for the middleware, which may want it."""
    _inflated[response] = body


class QuickCompressionMiddleware(HttpCompressionMiddleware):
    """Gives the same answers as its base.

    What is not one whole file of gzip is left to the base, and so is every decision.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler=crawler)
        self._at_hand: bytes | None = None

    def process_request(
        self, request: Request, spider: Spider | None = None
    ) -> Request | Response | None:
        """See :class:`HttpCompressionMiddleware`."""
        _wanted.add(request)
        return super().process_request(request)

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """See :class:`HttpCompressionMiddleware`."""
        self._at_hand = _inflated.pop(response, None)
        return super().process_response(request, response)

    def _decode(  # type: ignore[override]  # the base's needs no self
        self, body: bytes, encoding: bytes, max_size: int
    ) -> bytes:
        inflated, self._at_hand = self._at_hand, None
        if encoding in {b"gzip", b"x-gzip"}:
            if inflated is None or (max_size and len(inflated) > max_size):
                inflated = gunzip(body, max_size)
            if inflated is not None:
                return inflated
        return super()._decode(body, encoding, max_size)
