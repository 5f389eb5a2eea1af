"""Sends a worker's log lines to the supervisor."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from concurcrawl.terminal.region import Clearing, is_terminal
from concurcrawl.workers.protocol import log_forwarding
from concurcrawl.workers.protocol.log_forwarding import ForwardingHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.workers.protocol.messages.results import LogLine


class ForwardedLog:
    """The root logger of a worker, whose lines the supervisor logs."""

    def __init__(
        self, send: Callable[[LogLine], None], encode: Callable[[object], bytes]
    ) -> None:
        """Make one; the event loop runs.

        Args:
            send: Sends a line.
            encode: Encodes the attributes of a record.
        """
        self._handler = ForwardingHandler(send, encode)

    def open(self) -> None:
        """Forward warnings. The supervisor's spider logs its opening by itself."""
        logging.root.addHandler(self._handler)
        self._forward("WARNING")

    def start(self, level: str | int) -> None:
        """Forward lines of *level* and above, and what the project's handlers want."""
        self._forward(level)
        self._forward(
            min([self._handler.level, *log_forwarding.remove_root_handlers()])
        )
        log_forwarding.raise_scrapys_level()

    def finish(self, *, closes_spider: bool) -> None:
        """Leave out what the supervisor logs by itself at the end of a crawl.

        Args:
            closes_spider: Whether the spider is closed here, and may log something.
        """
        if closes_spider:
            logging.getLogger("scrapy.core.engine").setLevel("WARNING")
        else:
            self._forward("WARNING")

    def _forward(self, level: str | int) -> None:
        self._handler.setLevel(level)
        logging.root.setLevel(level)


def keep_rows_clean() -> None:
    """Clear to end of line on every print: it may overwrite a row of the progress."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if is_terminal(stream):
            setattr(sys, name, Clearing(stream))
