"""The last errors of a crawl's log, with their tracebacks."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Errors that are kept, and characters of each message and traceback.
_KEPT = 20
_LONGEST = 8_000


@dataclass(frozen=True, slots=True)
class LoggedError:
    """An error in the log.

    Attributes:
        number: CrawlCounts the errors of this crawl, from 1.
        at_s: When, in seconds since the epoch.
        logger: The logger's name.
        message: Its message; both texts are cut after 8000 characters.
        traceback: The traceback, or empty.
    """

    number: int
    at_s: float
    logger: str
    message: str
    traceback: str


class ErrorLog(logging.Handler):
    """Keeps the last errors. The lines of workers pass here, too.

    Invariant: at most 20 are kept.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._errors: deque[LoggedError] = deque(maxlen=_KEPT)
        self._count = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            message, traceback = record.getMessage(), _traceback(record)
        except Exception:  # noqa: BLE001 - a project's own message
            self.handleError(record)
            return
        self._count += 1
        self._errors.append(
            LoggedError(
                self._count,
                record.created,
                record.name,
                message[:_LONGEST],
                traceback[-_LONGEST:],
            )
        )

    @property
    def last(self) -> Sequence[LoggedError]:
        """The last errors, the newest first."""
        return tuple(reversed(self._errors))


#: Formats an exception once for all handlers, as theirs do.
_formatter = logging.Formatter()


def _traceback(record: logging.LogRecord) -> str:
    if record.exc_text:
        return record.exc_text
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = _formatter.formatException(record.exc_info)
        return record.exc_text
    return ""
