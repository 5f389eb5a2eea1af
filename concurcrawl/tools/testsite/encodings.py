"""Content codings: which one a client wants, and making it."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Literal

import brotli  # type: ignore[import-untyped]  # it brings no types

Encoding = Literal["gzip", "br", "identity"]

#: What is sent when a client likes several equally. Wikipedia sends gzip, too.
BY_PREFERENCE: tuple[Encoding, ...] = ("gzip", "br", "identity")

_GZIP_LEVEL = 4  # 5:1 on these pages; level 6 takes twice as long for 6 % less
_GZIP_CONTAINER = 31  # zlib's wbits: the largest window, a gzip header without time
_BROTLI_QUALITY = 1  # smaller than gzip at level 6, in an eighth of its time


def compress(body: bytes, encoding: Encoding) -> bytes:
    """Return *body* in *encoding*."""
    if encoding == "gzip":
        return zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_CONTAINER)
    if encoding == "br":
        squeezed: bytes = brotli.compress(body, quality=_BROTLI_QUALITY)
        return squeezed
    return body


@lru_cache(maxsize=256)  # a crawl sends the same header with every request
def choose(accept: str) -> Encoding:
    """Return the coding to answer with.

    Args:
        accept: The request's ``Accept-Encoding``; empty if it had none.

    Returns:
        The acceptable coding of the highest weight; ``identity`` when it forbids all.

    References:
        RFC 9110, section 12.5.3.
    """
    weights = dict(_weight(part) for part in accept.lower().split(",") if part.strip())
    others = weights.get("*", 0.0)

    def liking(encoding: Encoding) -> float:
        if encoding == "identity":  # always allowed unless forbidden, so no preference
            return weights.get(encoding, 1e-4 if weights.get("*", 1.0) else 0.0)
        return weights.get(encoding, others)

    return max(BY_PREFERENCE, key=lambda e: (liking(e) or -1, e == "identity"))


def _weight(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, float(value)
            except ValueError:
                return name, 0.0  # not a weight: don't send what may not be wanted
    return name, 1.0
