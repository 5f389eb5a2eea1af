"""Log lines of workers, which the supervisor logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from tblib import Traceback
from typing_extensions import override

from concurcrawl.errors import NotShippableError
from concurcrawl.workers.protocol.messages.results import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider


class ForwardingHandler(logging.Handler):
    """Sends log records of any thread, in the thread of the running event loop.

    Args:
        send: Called with each line, in the loop's thread.
        encode: Encodes an object, in any thread.
    """

    def __init__(
        self, send: Callable[[LogLine], None], encode: Callable[[object], bytes]
    ) -> None:
        super().__init__()
        self._send = send
        self._encode = encode
        self._formatter = logging.Formatter()
        self._loop = asyncio.get_running_loop()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is threading.main_thread():
            self._send(self._line(record))
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, self._line(record))

    def _line(self, record: logging.LogRecord) -> LogLine:
        trace = whole = None
        if record.exc_info and record.exc_info[0] is not None:
            trace = self._formatter.formatException(record.exc_info)
        # Scrapy's records hold the request of the page, which would cost more to encode
        # than the rest of the line.
        if trace or not record.name.startswith("scrapy."):
            whole = self._whole(record)
        return LogLine(
            record.name,
            record.levelno,
            record.created,
            record.getMessage(),
            trace,
            whole,
        )

    def _whole(self, record: logging.LogRecord) -> bytes | None:
        """Return all attributes of *record*, encoded, or None if they cannot be."""
        about = {**vars(record), "exc_info": None}
        if record.exc_info and record.exc_info[1] is not None:
            _, error, trace = record.exc_info
            frames = None if trace is None else Traceback(trace)
            about["exc_info"] = (error, frames)
        with contextlib.suppress(NotShippableError):
            return self._encode(about)
        return None


class ForwardedRecord(logging.LogRecord):
    """A record of a worker, with the worker's name before its message.

    The name is not part of ``msg``, by which error trackers group records.
    """

    worker = ""

    @override
    def getMessage(self) -> str:
        return f"[{self.worker}] {super().getMessage()}"


#: Handlers of the root logger that are not the project's.
_OURS = {ForwardingHandler, logging.NullHandler}


def remove_root_handlers() -> list[int]:
    """Remove the project's handlers from loggers whose records reach the root logger.

    The supervisor has the same handlers and gives them the forwarded records.

    Returns:
        The levels of the removed handlers.
    """
    levels = []
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        if isinstance(logger, logging.Logger) and _reaches_root(logger):
            for handler in [one for one in logger.handlers if type(one) not in _OURS]:
                logger.removeHandler(handler)
                levels.append(handler.level)
    return levels


def raise_scrapys_level() -> None:
    """Let Scrapy make no records below the root logger's level.

    It makes one for each page and has handlers drop it.
    """
    scrapys = logging.getLogger("scrapy")
    scrapys.setLevel(max(scrapys.level, logging.root.level))


def log(
    line: LogLine,
    worker: str,
    spider: Spider | None,
    decode: Callable[[bytes], Any],
    offset_s: float = 0.0,
) -> None:
    """Log a line of a worker, in the supervisor.

    Args:
        line: The line.
        worker: Name of the worker.
        spider: The supervisor's spider.
        decode: Decodes the attributes of the record.
        offset_s: Seconds to add to the worker's wall clock to have ours.
    """
    record = ForwardedRecord(line.logger, line.level, "", 0, line.message, None, None)
    record.exc_text = line.traceback
    if line.record is None:
        record.spider = spider
    else:
        # The project's classes may fail to decode in any way.
        with contextlib.suppress(Exception):
            vars(record).update(_attributes(decode(line.record)))
    record.created = line.created_s + offset_s
    record.msecs = (record.created - int(record.created)) * 1000 + 0.0
    record.worker = worker
    logging.getLogger(line.logger).handle(record)


def _attributes(about: dict[str, Any]) -> dict[str, Any]:
    if about["exc_info"] is not None:
        error, frames = about["exc_info"]
        trace = None if frames is None else frames.as_traceback()
        about["exc_info"] = (type(error), error, trace)
    return about


def _reaches_root(logger: logging.Logger) -> bool:
    while logger is not logging.root:
        if not logger.propagate or logger.parent is None:
            return False
        logger = logger.parent
    return True
