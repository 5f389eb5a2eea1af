"""The composition root of a crawl in one process: makes its parts, and joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.utils.asyncio import is_asyncio_available

from concurcrawl import registry
from concurcrawl.compat.engine import call_each_turn, in_progress, wake
from concurcrawl.compat.log_lines import leave_out_unread
from concurcrawl.config import Config
from concurcrawl.errors import StalledError
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.limits.admission_queue import AdmissionQueue
from concurcrawl.limits.policy import Politeness
from concurcrawl.limits.slots import SlotLimits
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.local.duplicates import Duplicates, make_own_filter
from concurcrawl.local.entries import EntryMaker, newest_first, newest_start_first
from concurcrawl.local.limiter import LocalLimiter
from concurcrawl.local.pace import Pace
from concurcrawl.local.queue import LocalQueue
from concurcrawl.local.records import RecordOutput
from concurcrawl.local.wake_timer import WakeTimer
from concurcrawl.watchdog.frames import where_awaited
from concurcrawl.watchdog.stall import StallWatch, Waiting
from concurcrawl.watchdog.timers import is_something_due

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.crawler import Crawler

    from concurcrawl.limits.limiter import Written


class LocalApp:
    """The parts of a crawl in one process.

    Attributes:
        frontier: What waits, and how fast it may leave.
        duplicates: Filters requests.
        queue: The requests.
        limiter: Asked by the download handlers before each request.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Build the parts of *crawler*, whose engine is there and does not run yet."""
        settings = crawler.settings
        config = Config.from_settings(settings)
        politeness = Politeness.from_settings(settings)
        self._crawler = crawler
        self.frontier = SqliteFrontier(
            politeness.limits_of,
            total=settings.getint("CONCURRENT_REQUESTS"),
            newest_first=newest_first(settings),
            newest_start_first=newest_start_first(settings),
        )
        self._admissions = AdmissionQueue(self.frontier, self._wake)
        self._pace = Pace(
            crawler, politeness, self.frontier, self._admissions, has_workers=False
        )
        self.duplicates = Duplicates(crawler, make_own_filter(crawler))
        self._records = RecordOutput(config, crawler)
        self.queue = LocalQueue(
            crawler,
            self.frontier,
            self.duplicates,
            EntryMaker(self._pace.group_of, settings),
            self._records,
        )
        self.limiter = LocalLimiter(self._pace, self._admissions, self.queue.lease_of)
        self.timer = WakeTimer(self.frontier.ready_in_s, self._wake)
        self._watch = StallWatch(
            crawler, config.stall_timeout_s, self._look, self._abandon
        )
        registry.register(crawler, self)

    def open(self) -> None:
        """Begin; the spider opens."""
        engine = self._crawler.engine
        leave_out_unread(self._crawler)
        downloader = self._downloader
        downloader.slots.limits = slot_limits(
            self._crawler, self._pace, self.frontier.delay_s
        )
        # next_request() is not asked while the downloader has its fill.
        call_each_turn(engine, self.queue.ack_done, self._end_turn)
        if is_asyncio_available():
            self._watch.start()
        self._records.open()

    def close(self) -> None:
        """End everything; nothing may be called after it."""
        self.queue.ack_done()
        self._watch.stop()
        self.timer.cancel()
        self.queue.close()
        self.frontier.close()
        self._records.close()

    def holds_back(self) -> bool:
        """Return whether requests wait and none of them may be leased now."""
        return self.frontier.waiting() > 0 and not self.frontier.has_ready()

    # Steering -----------------------------------------------------------------------

    @property
    def politeness(self) -> Politeness:
        """The limits of each group."""
        return self._pace.politeness

    @property
    def leads(self) -> bool:
        """Whether this process runs what one process of a crawl must: it is alone."""
        return True

    async def add(self, request: Request) -> bool:
        """Push a request from outside; return whether it was new."""
        return self.queue.push(request)

    async def make_safe(self) -> None:
        """Do nothing: what waits goes with the process."""

    async def put_dead_letters_back(self) -> int:
        """Return 0: only requests that were leased to workers are dead-lettered."""
        return 0

    def change_limits(self, group: str, slot: str, written: Written) -> None:
        """Change the limits of *group* from the next request on."""
        self._pace.change_limits(group, slot, written)

    @property
    def _downloader(self) -> PassThroughDownloader:
        downloader = self._crawler.engine.downloader
        assert isinstance(downloader, PassThroughDownloader)
        return downloader

    def _wake(self) -> None:
        wake(self._crawler.engine)

    def _end_turn(self) -> None:
        # next_request() is not asked either while what waits is held back.
        if not self._downloader.is_full():
            self.timer.set()

    async def _look(self) -> list[Waiting]:
        """Return the requests in progress if nothing can move them."""
        engine = self._crawler.engine
        begun, scraped = in_progress(engine), engine.scraper.slot
        assert scraped is not None
        is_full = self._downloader.is_full()
        is_moving = (
            bool(self.limiter.inside)
            or not scraped.is_idle()
            or (not is_full and bool(self.frontier.ready_in_s()))
            or self._admissions.is_timed
        )
        if is_moving or not begun or is_something_due():
            return []
        waiting = self.limiter.waiting
        return [
            Waiting(
                str(request),
                "for free capacity at its site"
                if request in waiting
                else "in a downloader middleware",
                where_awaited(request),
            )
            for request in begun
        ]

    def _abandon(self) -> None:
        self._admissions.abandon(StalledError())


def slot_limits(
    crawler: Crawler, pace: Pace, delay_s: Callable[[str], float]
) -> SlotLimits:
    """Return what slots of the downloader show, and change when they are written."""
    return SlotLimits(
        pace.politeness,
        crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"),
        pace.change_limits,
        delay_s,
    )
