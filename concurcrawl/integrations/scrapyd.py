"""End a job cleanly when the Scrapyd that started it is gone.

Scrapyd keeps its running jobs in memory and forgets them when it is killed. A job that
went on could be neither followed nor cancelled, and would still use its ``JOBDIR`` when
the same job is scheduled again.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from typing import TYPE_CHECKING, Self

from scrapy import signals
from scrapy.utils.asyncio import create_looping_call
from scrapy.utils.defer import deferred_from_coro

from concurcrawl.compat import components

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: Seconds between two checks of the parent process.
_INTERVAL_S = 1.0


def is_job() -> bool:
    """Return whether this process is a job of Scrapyd's."""
    # Scrapyd's runner imports it. The variable alone is not enough: it is also set to
    # choose among several projects in one scrapy.cfg.
    return "scrapyd" in sys.modules and bool(os.environ.get("SCRAPY_PROJECT"))


def enable(settings: BaseSettings, rank: str) -> None:
    """Add a :class:`ParentWatchdog` if this process is a job of Scrapyd's."""
    # It needs poll() to find out that the parent is gone.
    if is_job() and hasattr(select, "poll"):
        components.add(
            settings, "EXTENSIONS", {f"{__name__}.{ParentWatchdog.__name__}": 0}, rank
        )


class ParentWatchdog:
    """Stops the crawl, as one SIGTERM does, when the parent process is gone.

    It does not send that signal to itself: systemd may send one to all processes of a
    service, and two signals mean "end now".
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._parent = os.getppid()
        self._watch = create_looping_call(self._look)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one that watches while *crawler* crawls."""
        watchdog = cls(crawler)
        crawler.signals.connect(watchdog.start, signals.spider_opened)
        crawler.signals.connect(watchdog.stop, signals.spider_closed)
        return watchdog

    def start(self) -> None:
        """Start checking."""
        self._watch.start(_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Stop checking."""
        if self._watch.running:
            self._watch.stop()

    def _look(self) -> None:
        if os.getppid() == self._parent and not _has_no_reader():
            return
        self.stop()
        logger.warning(
            "The Scrapyd that started this job is gone: the job ends after what is in "
            "flight. Scheduled again with the same jobid, it goes on if it has a "
            "JOBDIR (jobs_dir in scrapyd.conf)."
        )
        deferred_from_coro(self._crawler.stop_async())


def _has_no_reader() -> bool:
    """Return whether standard output has no reader.

    That is the only sign if Scrapyd was gone before this process read its parent's id.
    """
    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
