"""Ends callbacks that block the process of ``scrapy crawl`` after a stop.

While a callback blocks the event loop, no task and no timer runs, so the crawl cannot
stop. A handler of an operating system signal does run: in the main thread, inside the
code that blocks. It raises an exception there, which Scrapy handles like any error of a
callback. Python calls handlers within its own loops, waits on sockets and regular
expressions. An extension module may not let them run; then the stack is printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.extensions.closespider import CloseSpider
from scrapy.utils.asyncio import is_asyncio_available

from concurcrawl.compat.engine import in_progress, is_closing
from concurcrawl.compat.project_code import hanging_code
from concurcrawl.config import Config
from concurcrawl.errors import BlockedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from scrapy.crawler import Crawler

    Handler = Callable[[int, FrameType | None], Any]

#: Seconds between two heartbeats of the event loop.
_BEAT_S = 1.0
#: Seconds from the timeout until the stack is printed, if the exception had no effect.
_PRINT_AFTER_S = 2.0

_STOPS = ("SIGINT", "SIGTERM")


class BlockWatch:
    """Extension that ends a callback which blocks a crawl that is to stop.

    Invariant: the alarm is set only after a stop was requested, or for the time at
    which ``CLOSESPIDER_TIMEOUT`` will be overdue. Each heartbeat sets it again.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._timeout_s = Config.from_settings(crawler.settings).stop_timeout_s
        if not self._timeout_s or not hasattr(signal, "setitimer"):
            raise NotConfigured
        self._beat_s = 0.0
        self._is_stopping = False
        self._handlers: dict[signal.Signals, tuple[Handler, Handler]] = {}
        self._beats: asyncio.Task[None] | None = None
        crawler.signals.connect(self._start, signals.engine_started)
        crawler.signals.connect(self._stop, signals.engine_stopped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _start(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        is_free = signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        if not (is_main and is_free and is_asyncio_available()):
            return  # the project uses the signal itself
        signal.signal(signal.SIGALRM, self._on_alarm)
        for name in _STOPS:
            self._listen(getattr(signal, name))
        self._beats = asyncio.ensure_future(self._beat())
        due_s = self._crawler.settings.getfloat("CLOSESPIDER_TIMEOUT")
        extensions = self._crawler.extensions
        assert extensions is not None
        is_on = any(isinstance(one, CloseSpider) for one in extensions.middlewares)
        if due_s and is_on:
            signal.setitimer(signal.ITIMER_REAL, due_s + self._timeout_s, _BEAT_S)

    def _stop(self) -> None:
        if self._beats is not None:
            self._beats.cancel()
            self._disarm()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            for number, (own, before) in self._handlers.items():
                if signal.getsignal(number) is own:
                    signal.signal(number, before)

    def _listen(self, number: signal.Signals) -> None:
        """Set the alarm when a signal requests a stop, before its handler runs."""
        handler = signal.getsignal(number)
        if not callable(handler):
            return

        def on_stop(number: int, frame: FrameType | None) -> None:
            if not self._is_stopping:
                self._is_stopping = True
                self._arm()
            handler(number, frame)

        self._handlers[number] = on_stop, handler
        signal.signal(number, on_stop)

    async def _beat(self) -> None:
        while True:
            self._beat_s = time.monotonic()
            if self._is_stopping or is_closing(self._crawler.engine):
                # Once no request is left, pipelines and feeds may take their time.
                if in_progress(self._crawler.engine):
                    self._arm()
                else:
                    self._disarm()
            await asyncio.sleep(_BEAT_S)

    def _arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._timeout_s, _BEAT_S)
        errors = sys.__stderr__
        if errors is not None:
            with contextlib.suppress(OSError, ValueError):  # it was closed
                faulthandler.dump_traceback_later(
                    self._timeout_s + _PRINT_AFTER_S, file=errors
                )

    def _disarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()

    def _on_alarm(self, _: int, frame: FrameType | None) -> None:
        code = hanging_code(frame)
        if code is None or time.monotonic() - self._beat_s < self._timeout_s:
            return  # the alarm is repeated until the next heartbeat
        where = f"{Path(code.f_code.co_filename).name}:{code.f_lineno}"
        # Not logged here: the interrupted code may be writing to the same stream.
        raise BlockedError(f"{where} in {code.f_code.co_qualname}", self._timeout_s)
