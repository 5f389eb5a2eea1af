"""Traces requests: times, CPU time of callbacks and pipelines.

A :class:`Timeline` is filled by the middlewares and the item processor of this module,
which are enabled only if ``CONCURCRAWL_RECORDS`` or ``CONCURCRAWL_OTEL`` is set.
"""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scrapy.pipelines import ItemPipelineManager
from typing_extensions import override

from concurcrawl.compat import components, http11
from concurcrawl.tracing.record import REACTOR, Record

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Iterable,
        Iterator,
    )

    from scrapy.core.downloader.handlers.base import BaseDownloadHandler
    from scrapy.http import Request, Response
    from scrapy.settings import BaseSettings

#: Traces by request. ``Request`` has no attribute for one, and ``meta`` would be sent
#: to other processes and copied by retries.
_timelines: WeakKeyDictionary[Request, Timeline] = WeakKeyDictionary()


@dataclass(slots=True)
class Spent:
    """Time in the pipelines for the items of one request.

    Attributes:
        wall_s: Time in which at least one item was in them.
        cpu_s: CPU time.
        items: Number of items in them now.
        since_s: When the first of those entered, by the monotonic clock.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    items: int = 0
    since_s: float = 0.0


@dataclass(slots=True)
class Timeline:
    """The trace of a request in progress; times in seconds since the epoch."""

    queued_s: float
    asked_s: float | None = None
    first_byte_s: float | None = None
    downloaded_s: float | None = None
    status: int | None = None
    size_bytes: int = 0
    thread: str = REACTOR
    callback_cpu_s: float = 0.0
    error: str | None = None
    connect_s: float | None = None
    pipelines: Spent | None = None


#: The trace of the request that the running code belongs to. A context variable: the
#: hooks of Scrapy's HTTP/1.1 connections are not told for which request they open.
_current: ContextVar[Timeline | None] = ContextVar("current_timeline", default=None)

#: The account of the items that the running code yields. A context variable: pipelines
#: are not told which request an item came from.
_pipelines: ContextVar[Spent | None] = ContextVar("pipelines", default=None)


def begin(request: Request, queued_s: float, *, has_pipelines: bool = False) -> None:
    """Start the trace of *request*, which leaves the frontier now.

    Args:
        request: The request.
        queued_s: When it was pushed to the frontier.
        has_pipelines: Whether its items pass a :class:`PipelineClock` in this process.
    """
    line = _timelines[request] = Timeline(queued_s)
    if has_pipelines:
        line.pipelines = Spent()
    _pipelines.set(line.pipelines)


def downloaded(
    request: Request, *, thread: str, ended_s: float, connect_s: float
) -> None:
    """Add what the thread that has downloaded *request* knows, if it is traced.

    Args:
        request: The request.
        thread: The thread's name.
        ended_s: When the download ended, in seconds since the epoch. The event loop
            is notified later.
        connect_s: Seconds until there was a connection.
    """
    line = _timelines.get(request)
    if line is not None:
        line.thread = thread
        line.downloaded_s = ended_s
        line.connect_s = connect_s


def clock_pipelines() -> Spent:
    """Return a new account of pipelines for the running code and its tasks."""
    spent = Spent()
    _pipelines.set(spent)
    return spent


def with_pipelines(record: Record, spent: Spent) -> Record:
    """Return *record* with the times of *spent*."""
    return replace(record, pipeline_s=spent.wall_s, pipeline_cpu_s=spent.cpu_s)


def start(request: Request) -> None:
    """Note that *request*, if it is traced, starts at its site now."""
    line = _timelines.get(request)
    if line is not None:
        line.asked_s = time.time()
        line.downloaded_s = None  # it may have been tried before
    _current.set(line)


def arrived(request: Request) -> None:
    """Note that the response to *request*, if it is traced, has arrived now.

    A time that the download thread has noted is more exact and stays.
    """
    line = _timelines.get(request)
    if line is not None and line.downloaded_s is None:
        line.downloaded_s = time.time()


def end(request: Request, worker: str) -> Record | None:
    """End the trace of *request* and return its record; None if it was not traced."""
    line = _timelines.pop(request, None)
    if line is None:
        return None
    now_s = time.time()
    spent = line.pipelines
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
        connect_s=line.connect_s,
        pipeline_s=None if spent is None else spent.wall_s,
        pipeline_cpu_s=None if spent is None else spent.cpu_s,
        method=request.method,
        retries=request.meta.get("retry_times", 0),
    )


def enable(settings: BaseSettings, rank: str) -> None:
    """Add the middlewares that fill timelines to *settings*."""
    for name, middleware, position in (
        ("DOWNLOADER_MIDDLEWARES", DownloadClock, 10_000),  # next to the downloader
        ("SPIDER_MIDDLEWARES", CallbackClock, 10_000),  # next to the spider
    ):
        components.add(settings, name, {middleware: position}, rank)
    reactor = str(settings["TWISTED_REACTOR"])
    has_tasks = reactor.endswith("AsyncioSelectorReactor")
    # Only tasks of asyncio have a context of their own. An item processor other than
    # Scrapy's is not replaced.
    if settings["ITEM_PROCESSOR"] == "scrapy.pipelines.ItemPipelineManager" and (
        has_tasks or not settings.getbool("TWISTED_REACTOR_ENABLED")
    ):
        settings.set("ITEM_PROCESSOR", PipelineClock, rank)


def clocks_pipelines(settings: BaseSettings) -> bool:
    """Return whether items pass a :class:`PipelineClock`."""
    return settings["ITEM_PROCESSOR"] is PipelineClock


def clock_connections(handler: BaseDownloadHandler) -> None:
    """Measure the connections of *handler*, if it is Scrapy's own for http.

    Not for https: Twisted reports a connection before its TLS handshake.
    """
    http11.listen(handler, _clock_connection)


def _clock_connection() -> Callable[[Any], None] | None:
    line, began_s = _current.get(), time.monotonic()
    if line is None:
        return None

    def note(_connection: Any) -> None:
        line.connect_s = time.monotonic() - began_s

    return note


class DownloadClock:
    """Downloader middleware: when the downloader was asked and when it answered."""

    def process_request(self, request: Request) -> None:
        """Note that the downloader gets *request* now."""
        line = _timelines.get(request)
        if line is not None:
            line.asked_s = time.time()

    def process_response(self, request: Request, response: Response) -> Response:
        """Note status, size and latency."""
        line = _timelines.get(request)
        if line is not None:
            if line.downloaded_s is None:
                line.downloaded_s = time.time()
            line.status = response.status
            line.size_bytes = len(response.body)
            latency_s = request.meta.get("download_latency")
            if line.asked_s is not None and latency_s is not None:
                line.first_byte_s = min(line.asked_s + latency_s, line.downloaded_s)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Note the error."""
        line = _timelines.get(request)
        if line is not None:
            line.error = f"{type(exception).__name__}: {exception}"


class CallbackClock:
    """Spider middleware: CPU time of callbacks.

    It counts the time in which a generator callback runs. A callback that returns a
    list has run before and is not counted.
    """

    def process_spider_input(self, response: Response) -> None:
        """Note which request the items will come from."""
        line = _timelines.get(response.request) if response.request else None
        if line is not None:
            _pipelines.set(line.pipelines)

    def process_spider_output(
        self, response: Response, result: Iterable[Any]
    ) -> Iterator[Any]:
        """Yield the output and count its CPU time."""
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
        """Yield the output and count its CPU time."""
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


class PipelineClock(ItemPipelineManager):
    """Item processor: Scrapy's own, with its times measured."""

    @override
    async def process_item_async(self, item: Any) -> Any:
        spent = _pipelines.get()
        if spent is None:
            return await super().process_item_async(item)
        if spent.items == 0:
            spent.since_s = time.monotonic()
        spent.items += 1
        try:
            return await _Metered(super().process_item_async(item), spent)
        finally:
            spent.items -= 1
            if spent.items == 0:
                spent.wall_s += time.monotonic() - spent.since_s


class _Metered:
    """Awaits something and counts the CPU time of its own steps."""

    def __init__(self, awaited: Awaitable[Any], spent: Spent) -> None:
        self._awaited = awaited
        self._spent = spent

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._awaited.__await__()
        step: Callable[[], Any] = partial(steps.send, None)
        while True:
            started = time.thread_time()
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value
            finally:
                self._spent.cpu_s += time.thread_time() - started
            try:
                step = partial(steps.send, (yield waits_for))
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001 - thrown into the coroutine that waits
                step = partial(steps.throw, error)
