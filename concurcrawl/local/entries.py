"""What the frontier is given of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.frontier.base import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.settings import BaseSettings

#: Setting with the queue of requests from ``start()``; None: that of all others.
START_QUEUE = "SCHEDULER_START_MEMORY_QUEUE"


class EntryMaker:
    """Makes entries of requests."""

    def __init__(
        self, group_of: Callable[[Request], str], settings: BaseSettings
    ) -> None:
        self._group_of = group_of
        self.has_start_queue = bool(settings[START_QUEUE])

    def make(self, request: Request, payload: bytes, key: bytes | None) -> Entry:
        """Return what to push of *request*.

        Args:
            request: The request.
            payload: The request as the frontier keeps it.
            key: Its fingerprint; None if duplicates of it are let through.
        """
        return Entry(
            key=key,
            group=self._group_of(request),
            priority=request.priority,
            is_start=self.has_start_queue
            and bool(request.meta.get("is_start_request")),
            payload=payload,
        )


def newest_first(settings: BaseSettings) -> bool:
    """Return whether the newest request of a priority leaves first, as by default."""
    return "Fifo" not in str(settings["SCHEDULER_MEMORY_QUEUE"])


def newest_start_first(settings: BaseSettings) -> bool:
    """Return whether the newest request of ``start()`` leaves first."""
    return "Lifo" in str(settings[START_QUEUE])
