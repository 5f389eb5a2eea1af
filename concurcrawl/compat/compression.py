"""Scrapy's decompression of responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from scrapy import Request


@touches(
    "scrapy.downloadermiddlewares.httpcompression",
    *("HttpCompressionMiddleware._decode", "HttpCompressionMiddleware._max_size"),
    "HttpCompressionMiddleware._warn_size",
)
class DecodingMiddleware(HttpCompressionMiddleware):
    """Scrapy's middleware, whose subclass may decode a body in another way.

    Touches: overrides ``HttpCompressionMiddleware._decode()``, and reads ``._max_size``
    and ``._warn_size``, which a spider's attributes may change (Scrapy 2.19.0). If one
    moves, responses with gzip fail, or are as slow as in Scrapy. Wished for: public
    names for the three.
    """

    def sizes(self, request: Request) -> tuple[int, int]:
        """Return the sizes of a body that fails and that is warned of, in bytes.

        0 means that there is none.
        """
        meta = request.meta
        max_size: int = meta.get("download_maxsize", self._max_size)
        warn_size: int = meta.get("download_warnsize", self._warn_size)
        return max_size, warn_size

    def decode(self, body: bytes, encoding: bytes, max_size: int) -> bytes:
        """Return *body* without one of its encodings."""
        return super()._decode(body, encoding, max_size)

    def _decode(self, *about: Any) -> bytes:  # type: ignore[override]  # needs no self
        return self.decode(*about)
