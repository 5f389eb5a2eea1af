"""Keeps a crawl open that has nothing left to do: more may be added."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from scrapy import signals
from scrapy.exceptions import DontCloseSpider
from scrapy.utils.asyncio import call_later

from concurcrawl.compat.engine import wake
from concurcrawl.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler
    from scrapy.utils.asyncio import CallLaterResult


class StayOpen:
    """Scrapy extension: waits when the crawl is idle, for some time or any.

    The crawl is idle since it was found so first with as many requests dequeued as now.
    """

    def __init__(
        self, crawler: Crawler, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._crawler = crawler
        self._clock = clock
        self._longest_s = Config.from_settings(crawler.settings).stay_s
        self._idle_since_s = 0.0
        self._dequeued = -1
        self._timer: CallLaterResult | None = None
        crawler.signals.connect(self._idle, signals.spider_idle)
        crawler.signals.connect(self._closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _idle(self) -> None:
        now_s = self._clock()
        dequeued = self._crawler.stats.get_value("scheduler/dequeued", 0)
        if dequeued != self._dequeued:
            self._dequeued, self._idle_since_s = dequeued, now_s
        if not self._longest_s:
            raise DontCloseSpider
        left_s = self._idle_since_s + self._longest_s - now_s
        if left_s > 0:
            if self._timer is None:
                self._timer = call_later(left_s, self._wake)
            raise DontCloseSpider

    def _wake(self) -> None:
        self._timer = None
        wake(self._crawler.engine)

    def _closed(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
