"""Log lines of workers, which come into the supervisor's one log."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from concurcrawl.workers.messages import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider


class LineHandler(logging.Handler):
    """Passes log records on. Belongs to the loop that is running when it is made.

    Args:
        pass_on: Takes each, in the loop's thread.
    """

    def __init__(self, pass_on: Callable[[LogLine], None]) -> None:
        super().__init__()
        self._pass_on = pass_on
        self._formatter = logging.Formatter()
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        if threading.current_thread() is threading.main_thread():
            self._pass_on(self._line(record))
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pass_on, self._line(record))

    def _line(self, record: logging.LogRecord) -> LogLine:
        trace = None
        if record.exc_info and record.exc_info[0] is not None:
            trace = self._formatter.formatException(record.exc_info)
        return LogLine(
            record.name, record.levelno, record.created, record.getMessage(), trace
        )


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


def log(line: LogLine, worker: str, spider: Spider | None) -> None:
    """Log what the worker of that name had to log, in the supervisor."""
    record = logging.LogRecord(
        line.logger, line.level, "", 0, f"[{worker}] {line.message}", None, None
    )
    record.created = line.created_s
    record.exc_text = line.traceback
    record.spider = spider
    logging.getLogger(line.logger).handle(record)


def _reaches_root(logger: logging.Logger) -> bool:
    while logger is not logging.root:
        if not logger.propagate or logger.parent is None:
            return False
        logger = logger.parent
    return True
