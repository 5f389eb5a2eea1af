"""What Scrapy keeps nowhere, but our callers know: read from the stack.

Both are asked while a crawl is being set up, when the functions named here are among
our callers; tests hold them to it for each release of Scrapy.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from scrapy.crawler import Crawler


def spider_arguments(crawler: Crawler) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what *crawler* made its spider with.

    They are those of ``Crawler.crawl(*args, **kwargs)`` or of its asynchronous twin.
    """
    for frame in _callers():
        names = frame.f_locals
        if names.get("self") is crawler and {"args", "kwargs"} <= names.keys():
            return names["args"], names["kwargs"]
    return (), {}


def scrapy_command() -> str | None:
    """Return the name of the ``scrapy`` command that runs, None in a script."""
    for frame in _callers():
        if frame.f_globals.get("__name__") == "scrapy.cmdline":
            name = frame.f_locals.get("cmdname")
            if isinstance(name, str):
                return name
    return None


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
