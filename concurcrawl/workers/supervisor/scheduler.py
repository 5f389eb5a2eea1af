"""Scrapy's ``SCHEDULER`` of a supervisor: what waits is dispatched to workers."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Self

from scrapy.core.scheduler import BaseScheduler
from scrapy.utils.defer import deferred_from_coro
from typing_extensions import override

from concurcrawl.errors import NotJsonError, NotShippableError
from concurcrawl.local.scheduler import Backlog
from concurcrawl.workers.supervisor.app import SupervisorApp, job_storage

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred


class SupervisorScheduler(BaseScheduler):
    """Takes in requests; the dispatcher gives them out."""

    def __init__(self, app: SupervisorApp) -> None:
        self._app = app

    @classmethod
    @override
    def from_crawler(cls, crawler: Crawler) -> Self:
        downloader: Any = crawler.engine.downloader  # the add-on sets the two together
        return cls(SupervisorApp(crawler, downloader.early, job_storage))

    @override
    def open(self, spider: Spider) -> Deferred[None] | None:
        return deferred_from_coro(self._app.open())

    @override
    def close(self, reason: str) -> Deferred[None] | None:
        return deferred_from_coro(self._app.close(reason))

    @override
    def has_pending_requests(self) -> bool:
        return self._app.storage.has_pending()

    @override
    def enqueue_request(self, request: Request) -> bool:
        app = self._app
        # start() goes on when an extension has closed the spider.
        if app.storage.is_closed:
            return True
        try:
            return app.queue.push(request)
        except (NotShippableError, NotJsonError) as error:
            app.refuse(request, error)
            return False
        except sqlite3.Error as error:
            app.ending.fail(error)
            return False

    @override
    def next_request(self) -> Request | None:
        """What may start was dispatched before."""
        return None

    def __len__(self) -> int:
        """Return how many requests wait, as Scrapy's own scheduler does."""
        return len(self._app.queue)

    @property
    def dqs(self) -> Backlog | None:
        """What waits on the disk, for telnet's ``est()``; None without ``JOBDIR``."""
        has_jobdir = self._app.crawler.settings["JOBDIR"]
        return Backlog(self.__len__) if has_jobdir else None

    @property
    def mqs(self) -> Backlog:
        """What waits in memory, for telnet's ``est()``."""
        return Backlog((lambda: 0) if self.dqs is not None else self.__len__)
