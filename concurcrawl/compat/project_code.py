"""Where Scrapy calls the code of a project and handles what that raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_CALLING = {
    ("scrapy.core.scraper", "call_spider_async"),
    ("scrapy.utils.defer", "aiter_errback"),
    ("scrapy.utils.defer", "iter_errback"),
    ("scrapy.core.scraper", "start_itemproc_async"),
    ("scrapy.core.engine", "_process_start_next"),
    ("scrapy.core.downloader.middleware", "_process_exception"),
    ("concurcrawl.compat.middlewares", "_process_request"),
    ("concurcrawl.compat.middlewares", "_process_response"),
}

#: Packages whose code is not a project's.
_LIBRARIES = {"scrapy", "twisted", "asyncio", "concurcrawl", "uvloop"}


@touches("scrapy.core.scraper", "Scraper.call_spider_async")
@touches("scrapy.core.scraper", "Scraper.start_itemproc_async")
@touches("scrapy.utils.defer", "aiter_errback", "iter_errback")
@touches("scrapy.core.engine", "ExecutionEngine._process_start_next")
@touches(
    "scrapy.core.downloader.middleware",
    "DownloaderMiddlewareManager._process_exception",
)
def hanging_code(frame: FrameType | None) -> FrameType | None:
    """Return the frame of a project's code that *frame* runs in, if it may be ended.

    Touches: the names of the coroutines that call callbacks, pipelines, middlewares and
    ``start()`` (Scrapy 2.19.0); each catches every exception and goes on. If one moves,
    what hangs there keeps a crawl from stopping until it is killed, as in plain Scrapy.
    Wished for: a public way to see whether a callback runs.

    Args:
        frame: The innermost frame of a process's main thread.

    Returns:
        The frame of the callback, pipeline or middleware itself; None if the innermost
        code is Scrapy's or ours, which must not be interrupted, or if none of these
        runs.
    """
    found, is_called = None, False
    for one in _stack(frame):
        name = str(one.f_globals.get("__name__", ""))
        if name.partition(".")[0] in _LIBRARIES:
            is_called = True
            if found is None or (name, one.f_code.co_name) in _CALLING:
                return found
        elif not is_called:
            found = one
    return None


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
