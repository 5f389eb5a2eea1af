"""Read the state of a job from its log, as the log grows. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SO_FAR = re.compile(r"Crawled (\d+) pages .*scraped (\d+) items")
_PAGES = re.compile(r"'response_received_count': (\d+)")
_ITEMS = re.compile(r"'item_scraped_count': (\d+)")
_CLOSED = re.compile(r"Spider closed \((.*)\)\s*$")
_ERROR = re.compile(r"\b(?:ERROR|CRITICAL): (.*)$")
_BEGUN = re.compile(r"INFO: Scrapy [\d.]+ started")
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(slots=True)
class JobLog:
    """The state read from the log so far.

    Attributes:
        pages: Responses received.
        items: Items scraped.
        closed: Why the spider closed, or None if the log does not say so.
        error: The last error, in one line; empty if there was none.
        is_talkative: Whether the log level is INFO or lower.
    """

    pages: int = 0
    items: int = 0
    closed: str | None = None
    error: str = ""
    is_talkative: bool = False
    _rest: str = ""
    _is_in_traceback: bool = False

    def feed(self, text: str) -> None:
        """Read more of the log; an incomplete line is kept for the next call."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._read(line)

    def failure(self) -> str:
        """Return why a job that has ended and left this log failed, or ""."""
        if self.closed is not None:
            if self.closed == "finished" or self.closed.startswith("closespider_"):
                return ""
            because = f"; last error: {self.error}" if self.error else ""
            return f"ended early: {self.closed}{because}"
        if self.error:
            return f"crashed: {self.error}"
        if self.is_talkative:
            return (
                "its process ended before its spider closed: killed, or Scrapyd's own "
                "log there says why"
            )
        return ""

    def _read(self, line: str) -> None:
        if self._is_in_traceback and line and not line[0].isspace():
            # Those of a cause come first: the last one is what happened.
            self._is_in_traceback = False
            self.error = f"{self.error.rstrip(':')}: {line}" if self.error else line
        if _TRACEBACK in line:
            self._is_in_traceback = True
        if (found := _ERROR.search(line)) is not None:
            self.error = found[1].strip()
        if _BEGUN.search(line):
            # What stands above is of an earlier run with the same name.
            self.is_talkative, self.closed, self.error = True, None, ""
        if (found := _CLOSED.search(line)) is not None:
            self.closed = found[1]
        self._count(line)

    def _count(self, line: str) -> None:
        if (found := _SO_FAR.search(line)) is not None:
            self.pages, self.items = int(found[1]), int(found[2])
        if (found := _PAGES.search(line)) is not None:
            self.pages = int(found[1])
        if (found := _ITEMS.search(line)) is not None:
            self.items = int(found[1])
