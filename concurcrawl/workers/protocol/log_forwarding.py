"""Log lines of workers, which come into the supervisor's one log."""

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


class LineHandler(logging.Handler):
    """Passes log records on. Belongs to the loop that is running when it is made.

    Args:
        pass_on: Takes each, in the loop's thread.
        encode: Returns an object as bytes, from any thread.
    """

    def __init__(
        self, pass_on: Callable[[LogLine], None], encode: Callable[[object], bytes]
    ) -> None:
        super().__init__()
        self._pass_on = pass_on
        self._encode = encode
        self._formatter = logging.Formatter()
        self._loop = asyncio.get_running_loop()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is threading.main_thread():
            self._pass_on(self._line(record))
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pass_on, self._line(record))

    def _line(self, record: logging.LogRecord) -> LogLine:
        trace = whole = None
        if record.exc_info and record.exc_info[0] is not None:
            trace = self._formatter.formatException(record.exc_info)
        # Scrapy's have the request of the page, which costs more than all of the line.
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
        """Return all attributes of *record*, encoded, None if they cannot travel."""
        about = {**vars(record), "exc_info": None}
        if record.exc_info and record.exc_info[1] is not None:
            _, error, trace = record.exc_info
            frames = None if trace is None else Traceback(trace)
            about["exc_info"] = (error, frames)
        with contextlib.suppress(NotShippableError):
            return self._encode(about)
        return None


class ForwardedRecord(logging.LogRecord):
    """A record of a worker: as it was made there, but for who says it.

    The name of the worker is in the message, where every format shows it, and not in
    ``msg``, by which records are grouped.
    """

    worker = ""

    @override
    def getMessage(self) -> str:
        return f"[{self.worker}] {super().getMessage()}"


#: What listens at the root of all loggers if the project has nothing there.
_OURS = {LineHandler, logging.NullHandler}


def leave_to_supervisor() -> list[int]:
    """Have what listens to loggers here hear nothing that reaches our own handler.

    The supervisor has the same handlers and logs all that comes from here.

    Returns:
        The lowest levels that these handlers want.
    """
    levels = []
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        if isinstance(logger, logging.Logger) and _reaches_root(logger):
            for handler in [one for one in logger.handlers if type(one) not in _OURS]:
                logger.removeHandler(handler)
                levels.append(handler.level)
    return levels


def spare_unheard() -> None:
    """Have Scrapy make no lines that nobody here or there wants.

    It makes one for each page.
    """
    scrapys = logging.getLogger("scrapy")
    scrapys.setLevel(max(scrapys.level, logging.root.level))


def log(
    line: LogLine, worker: str, spider: Spider | None, decode: Callable[[bytes], Any]
) -> None:
    """Log what the worker of that name had to log, in the supervisor.

    Args:
        line: What came from it.
        worker: Its name.
        spider: Ours.
        decode: Returns what the worker encoded.
    """
    record = ForwardedRecord(line.logger, line.level, "", 0, line.message, None, None)
    record.created = line.created_s
    record.msecs = (line.created_s - int(line.created_s)) * 1000 + 0.0
    record.exc_text = line.traceback
    if line.record is None:
        record.spider = spider
    else:
        # What is read back may be of a class that is not here, or anything else.
        with contextlib.suppress(Exception):
            vars(record).update(_attributes(decode(line.record)))
    record.worker = worker
    logging.getLogger(line.logger).handle(record)


def _attributes(about: dict[str, Any]) -> dict[str, Any]:
    if about["exc_info"] is not None:
        error, frames = about["exc_info"]
        trace = None if frames is None else frames.as_traceback()
        about["exc_info"] = (type(error), error, trace)
    # Read back before any is used: a message may not fit its arguments.
    return about


def _reaches_root(logger: logging.Logger) -> bool:
    while logger is not logging.root:
        if not logger.propagate or logger.parent is None:
            return False
        logger = logger.parent
    return True
