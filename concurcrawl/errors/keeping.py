"""Errors of what outlives a process: JOBDIR, feeds, a frontier in Redis."""

from __future__ import annotations

from concurcrawl.errors.base import ConcurcrawlError


class JobDirError(ConcurcrawlError):
    """A ``JOBDIR`` cannot be used.

    Attributes:
        path: The folder.
        reason: Why, and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"JOBDIR={self.path!r}: {self.reason}."


class FeedError(ConcurcrawlError):
    """A feed cannot be written.

    Attributes:
        feed: Its file or address.
        reason: Why, and what to do.
    """

    def __init__(self, feed: str, reason: str) -> None:
        super().__init__(feed, reason)
        self.feed = feed
        self.reason = reason

    def __str__(self) -> str:
        return f"feed {self.feed!r}: {self.reason}."


class FrontierError(ConcurcrawlError):
    """A frontier on another machine cannot be used.

    Attributes:
        reason: The ``finish_reason`` if it ends the crawl.
        what: What is wrong and what to do, in words.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(reason, what)
        self.reason = reason
        self.what = what

    def __str__(self) -> str:
        return self.what
