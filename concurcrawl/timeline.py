"""When things happened to a request, and what its callback cost.

A :class:`Timeline` is filled by the two middlewares of this module, which are enabled
only while records are kept (``CONCURCRAWL_RECORDS``).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from concurcrawl.records import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from scrapy.http import Request, Response
    from scrapy.settings import BaseSettings

#: The meta key under which a handler may leave the name of the thread that it used.
THREAD_META = "download_thread"

_timelines: WeakKeyDictionary[Request, Timeline] = WeakKeyDictionary()


@dataclass(slots=True)
class Timeline:
    """What is known of a request so far; times in seconds since the epoch."""

    queued_s: float
    asked_s: float | None = None
    first_byte_s: float | None = None
    downloaded_s: float | None = None
    status: int | None = None
    size_bytes: int = 0
    thread: str = "reactor"
    callback_cpu_s: float = 0.0
    error: str | None = None


def begin(request: Request, queued_s: float) -> None:
    """Start to watch *request*, which leaves the frontier now."""
    _timelines[request] = Timeline(queued_s)


def start(request: Request) -> None:
    """Note that *request*, if it is watched, starts at its site now."""
    line = _timelines.get(request)
    if line is not None:
        line.asked_s = time.time()


def end(request: Request, worker: str) -> Record | None:
    """Return how *request*, which is done, went; None if it was not watched."""
    line = _timelines.pop(request, None)
    if line is None:
        return None
    now_s = time.time()
    return Record(
        url=request.url,
        status=line.status,
        size_bytes=line.size_bytes,
        worker=worker,
        pid=os.getpid(),
        thread=line.thread,
        queued_s=line.queued_s,
        asked_s=line.asked_s or now_s,
        first_byte_s=line.first_byte_s,
        downloaded_s=line.downloaded_s,
        done_s=now_s,
        callback_cpu_s=line.callback_cpu_s,
        error=line.error,
    )


def enable(settings: BaseSettings, rank: str) -> None:
    """Add the middlewares that fill timelines to *settings*."""
    for name, middleware, position in (
        ("DOWNLOADER_MIDDLEWARES", DownloadClock, 10_000),  # next to the downloader
        ("SPIDER_MIDDLEWARES", CallbackClock, 10_000),  # next to the spider
    ):
        settings.set(name, {**settings.getdict(name), middleware: position}, rank)


class DownloadClock:
    """Downloader middleware: when the downloader was asked and when it answered."""

    def process_request(self, request: Request) -> None:
        """Note that the downloader is asked now."""
        line = _timelines.get(request)
        if line is not None:
            line.asked_s = time.time()

    def process_response(self, request: Request, response: Response) -> Response:
        """Note what came."""
        line = _timelines.get(request)
        if line is not None:
            line.downloaded_s = time.time()
            line.status = response.status
            line.size_bytes = len(response.body)
            line.thread = request.meta.get(THREAD_META, line.thread)
            latency_s = request.meta.get("download_latency")
            if line.asked_s is not None and latency_s is not None:
                line.first_byte_s = min(line.asked_s + latency_s, line.downloaded_s)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Note why nothing came."""
        line = _timelines.get(request)
        if line is not None:
            line.error = f"{type(exception).__name__}: {exception}"


class CallbackClock:
    """Spider middleware: CPU time of callbacks.

    It counts what runs while a callback's output is drawn from it. A callback that
    returns a list instead of yielding has run before, and is not counted.
    """

    def process_spider_output(
        self, response: Response, result: Iterable[Any]
    ) -> Iterator[Any]:
        """Pass the output on and count its cost."""
        line = _timelines.get(response.request) if response.request else None
        outputs = iter(result)
        while True:
            started = time.thread_time()
            try:
                output = next(outputs)
            except StopIteration:
                return
            finally:
                if line is not None:
                    line.callback_cpu_s += time.thread_time() - started
            yield output

    async def process_spider_output_async(
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        """Pass the output on and count its cost."""
        line = _timelines.get(response.request) if response.request else None
        outputs = aiter(result)
        while True:
            started = time.thread_time()
            try:
                output = await anext(outputs)
            except StopAsyncIteration:
                return
            finally:
                if line is not None:
                    line.callback_cpu_s += time.thread_time() - started
            yield output
