"""Scrapy's ``SCHEDULER`` of the modes of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from scrapy.core.scheduler import BaseScheduler
from typing_extensions import override

from concurcrawl.local.app import LocalApp

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred


class FrontierScheduler(BaseScheduler):
    """Gives the engine what the frontier lets start."""

    def __init__(self, app: LocalApp) -> None:
        self._app = app
        self._is_closed = False

    @classmethod
    @override
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(LocalApp(crawler))

    @override
    def open(self, spider: Spider) -> Deferred[None] | None:
        self._app.open()
        return self._app.duplicates.open()

    @override
    def close(self, reason: str) -> Deferred[None] | None:
        self._is_closed = True
        self._app.close()
        return self._app.duplicates.close(reason)

    @override
    def has_pending_requests(self) -> bool:
        return self._app.frontier.waiting() > 0

    @override
    def enqueue_request(self, request: Request) -> bool:
        if self._is_closed:  # start() goes on when an extension has closed the spider
            return True
        return self._app.queue.push(request)

    @override
    def next_request(self) -> Request | None:
        request = self._app.queue.acquire()
        if request is None:
            self._app.timer.set()
        return request

    def __len__(self) -> int:
        """Return how many requests wait, as Scrapy's own scheduler does."""
        return self._app.frontier.waiting()

    @property
    def dqs(self) -> None:
        """What waits on the disk, for telnet's ``est()``: nothing does."""

    @property
    def mqs(self) -> Backlog:
        """What waits in memory, for telnet's ``est()``."""
        return Backlog(self.__len__)


class Backlog:
    """Has the length of a queue where Scrapy's scheduler has the queue itself."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def __len__(self) -> int:
        """Return how many requests wait."""
        return self._count()
