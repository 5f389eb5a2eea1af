"""The composition root of a supervisor: makes its parts, and joins them.

Workers are started first (``EarlyStart``), when Scrapy makes the downloader. The rest
is made with the scheduler, when the engine and the spider are there:

- the **queue** pushes requests into the **storage** and leases them;
- the **dispatcher** gives leases to the **pool** of workers and has the **results**
  applied: the queue commits them, the **delivery** of the storage keeps their items,
  the **pipelines** process these;
- the **coordinator** answers what workers ask, and the pool sends them what it says;
- the pool reports to the app (``PoolEvents``), which passes that on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from scrapy import signals
from twisted.python.failure import Failure
from typing_extensions import override

from concurcrawl import registry
from concurcrawl.compat import scraper
from concurcrawl.compat.engine import call_each_turn, wake
from concurcrawl.compat.log_lines import leave_out_unread
from concurcrawl.compat.signals import send_with_few_tasks
from concurcrawl.compat.start import wrap_start
from concurcrawl.config import Config
from concurcrawl.limits.admission_queue import AdmissionQueue
from concurcrawl.limits.handler import PREFETCH
from concurcrawl.limits.policy import Politeness
from concurcrawl.limits.slots import SlotLimits
from concurcrawl.local.entries import EntryMaker
from concurcrawl.local.limiter import LocalLimiter
from concurcrawl.local.pace import Pace
from concurcrawl.local.records import RecordOutput
from concurcrawl.workers.moved_pipelines import MOVED
from concurcrawl.workers.protocol.messages.lifecycle import FileOpened
from concurcrawl.workers.protocol.messages.results import RequestResult
from concurcrawl.workers.protocol.messages.state import ReadStats
from concurcrawl.workers.protocol.pickle_codec import codec_of
from concurcrawl.workers.supervisor.audience import Audience
from concurcrawl.workers.supervisor.coordinator import Coordinator, CoordinatorParts
from concurcrawl.workers.supervisor.dispatcher import Dispatcher, DispatcherParts
from concurcrawl.workers.supervisor.ending import Ending
from concurcrawl.workers.supervisor.pipelines import Pipelines
from concurcrawl.workers.supervisor.pool import WorkerPool
from concurcrawl.workers.supervisor.pool_events import PoolEvents
from concurcrawl.workers.supervisor.queue import WorkerQueue
from concurcrawl.workers.supervisor.results import ResultParts, Results
from concurcrawl.workers.supervisor.storage import JobStorage
from concurcrawl.workers.supervisor.tolerance import Tolerance
from concurcrawl.workers.supervisor.totals import TotalsSender
from concurcrawl.workers.supervisor.watching import WatchedParts, Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import Frontier, Lease
    from concurcrawl.limits.limiter import Written
    from concurcrawl.workers.protocol.messages.directions import ToWorker
    from concurcrawl.workers.protocol.messages.signals import Subscribe
    from concurcrawl.workers.supervisor.downloader import DispatchingDownloader
    from concurcrawl.workers.supervisor.starter import EarlyStart
    from concurcrawl.workers.supervisor.storage import Storage
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)

#: Signals that each item's own task sends.
_OF_ITEMS = {signals.item_scraped, signals.item_dropped, signals.item_error}


class SupervisorApp(PoolEvents):
    """The parts of a supervisor.

    Attributes:
        limiter: Asked by the download handlers of this process.
        storage: What waits and what came of it.
        queue: The requests.
        pool: The workers.
        coordinator: What workers share.
        dispatcher: Gives requests to workers.
        ending: Ends the crawl.
    """

    def __init__(
        self,
        crawler: Crawler,
        early: EarlyStart,
        make_storage: Callable[[SupervisorApp], Storage],
    ) -> None:
        """Build the parts of *crawler*, whose engine is there and does not run yet.

        Args:
            crawler: The crawl.
            early: Its workers, which were started before.
            make_storage: Returns where the crawl is kept. It has the codec, the limits,
                the pipelines and the ending of the app.
        """
        self.crawler = crawler
        self._config = config = Config.from_settings(crawler.settings)
        self.codec = codec = codec_of(crawler)
        self.politeness = Politeness.from_settings(crawler.settings)
        self.ending = Ending(crawler)
        self.pipelines = Pipelines(crawler, codec)
        self.storage: Storage = make_storage(self)
        self.admissions = AdmissionQueue(
            self.storage.frontier, self._wake, self._on_unleased
        )
        self._pace = Pace(
            crawler,
            self.politeness,
            self.storage.frontier,
            self.admissions,
            has_workers=True,
        )
        self.queue = WorkerQueue(
            crawler,
            codec,
            self.storage,
            EntryMaker(self._pace.group_of, crawler.settings),
            self.admissions,
            self.ending.fail,
        )
        self.limiter = LocalLimiter(self._pace, self.admissions, self.queue.lease_of)
        self.pool = WorkerPool(
            early.starter,
            early.workers,
            max(1, crawler.settings.getint(PREFETCH)),
            Tolerance.from_config(config),
            self,
        )
        self._attributes = early.attributes
        self._audience = Audience(crawler, codec, self._on_subscription)
        self._totals = TotalsSender(crawler)
        self.coordinator = Coordinator(
            crawler,
            codec,
            CoordinatorParts(
                self.pool,
                self.queue,
                self.admissions,
                self._pace,
                self.storage,
                self._audience,
                self._attributes,
            ),
        )
        self._records = RecordOutput(config, crawler)
        results = Results(
            crawler,
            codec,
            ResultParts(
                self.queue,
                self.storage.delivery,
                self.pipelines,
                self._audience,
                self._records,
                self.ending.close_spider,
                self._note_slot,
            ),
        )
        self.dispatcher = Dispatcher(
            crawler,
            codec,
            config,
            DispatcherParts(
                self.queue,
                self.pool,
                self.pipelines,
                results,
                self.storage,
                self.coordinator,
                self.ending,
            ),
        )
        self._watching = Watching(
            crawler,
            config,
            WatchedParts(
                self.pool,
                self.queue,
                self.dispatcher,
                self.pipelines,
                self.admissions,
                self.limiter,
                self.storage,
            ),
        )
        self._handlers: dict[type, Callable[[WorkerHandle, Any], None]] = {
            RequestResult: self.dispatcher.on_result,
            ReadStats: self._totals.subscribe,
            FileOpened: self._on_file_opened,
            **self.coordinator.handlers,
        }
        self._on_worker_opened: list[Callable[[WorkerHandle], None]] = []
        registry.register(crawler, self)

    # The crawl ----------------------------------------------------------------------

    async def open(self) -> None:
        """Begin; the spider opens."""
        engine, downloader = self.crawler.engine, self._downloader
        if not await self.storage.join():
            await self._connect()
            return
        downloader.slots.limits = SlotLimits(
            self.politeness,
            self.crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN"),
            self.coordinator.change_limits,
            self.storage.frontier.delay_s,
        )
        # The scheduler is not asked while the downloader has its fill.
        call_each_turn(engine, self.dispatcher.dispatch, lambda: None)
        self._records.open()
        opened = self.storage.duplicates.open()
        if opened is not None:
            await opened
        await self.storage.open()
        await self._connect()
        wrap_start(engine, self.storage.delivery.in_turns)

    async def _connect(self) -> None:
        """Begin to talk to the workers."""
        self._downloader.put_middlewares_to_sleep()
        self.coordinator.open()
        self._audience.open()
        if self.crawler.settings.getdict(MOVED):
            scraper.let_items_fail(self.crawler.engine.scraper)
        leave_out_unread(self.crawler)
        send_with_few_tasks(self.crawler.signals, _OF_ITEMS)
        self._attributes.start(self.pool.send_all)
        self._watching.start()
        await self.pool.connect()

    def stop(self) -> None:
        """End what is done from time to time; the downloader closes."""
        self._watching.stop()
        self._attributes.stop()
        self._totals.stop()
        if not self._config.closed_in_workers:  # they need the reason, see close()
            self.pool.stop()

    async def close(self, reason: str) -> None:
        """End the workers first, then everything else."""
        self.storage.begin_close(reason)
        self.pool.stop(reason)
        await self.storage.close(reason, self._end_workers)
        self._records.close()
        closed = self.storage.duplicates.close(reason)
        if closed is not None:
            await closed

    async def _end_workers(self) -> None:
        await self.pool.close()
        await self.storage.delivery.close()

    def holds_back(self) -> bool:
        """Return whether requests wait and none of them may be leased now."""
        return self.storage.holds_back()

    # Steering -----------------------------------------------------------------------

    @property
    def frontier(self) -> Frontier:
        """What waits, and how fast it may leave."""
        return self.storage.frontier

    @property
    def leads(self) -> bool:
        """Whether this process runs what only one of the nodes may run."""
        return self.storage.leads

    async def add(self, request: Request) -> bool:
        """Push a request from outside; return whether it was new, once it is safe.

        Raises:
            NotShippableError: If it cannot go to another process.
            NotJsonError: If it cannot go to another machine.
        """
        return await self.queue.add(request)

    async def make_safe(self) -> None:
        """Write what was added to the disk, where there is one."""
        await self.storage.make_safe()

    async def put_dead_letters_back(self) -> int:
        """Make dead-lettered requests wait again; return how many there were."""
        return await self.storage.put_dead_letters_back()

    def change_limits(self, group: str, slot: str, written: Written) -> None:
        """Change the limits of *group* in all processes, from the next request on."""
        self.coordinator.change_limits(group, slot, written)

    # --------------------------------------------------------------------------------

    def refuse(self, request: Request, error: Exception) -> None:
        """Name a request that cannot leave this process, and call its errback."""
        logger.error("%s", error)
        self.crawler.stats.inc_value("concurcrawl/not_shippable")
        if request.errback is not None:
            self._downloader.wake_spider_middlewares()
            self.crawler.engine.scraper.enqueue_scrape(Failure(error), request)

    @property
    def _downloader(self) -> DispatchingDownloader:
        # The add-on sets the two together.
        downloader: Any = self.crawler.engine.downloader
        found: DispatchingDownloader = downloader
        return found

    def _wake(self) -> None:
        wake(self.crawler.engine)

    def _note_slot(self, request: Request) -> None:
        self._downloader.note_slot(request)

    def _on_unleased(self, is_waiting: bool) -> None:
        self.coordinator.on_unleased(is_waiting)

    def _on_subscription(self, subscription: Subscribe) -> None:
        self.pool.send_all(subscription)

    def send_state(self, changes: Sequence[bytes], but: str) -> None:
        """Send changes of ``spider.state`` to all workers but the one called *but*."""
        self.coordinator.send_state(changes, but)

    # What workers do ----------------------------------------------------------------

    @override
    def handshake(self) -> list[ToWorker]:
        return self.coordinator.handshake()

    @override
    def on_message(self, worker: WorkerHandle, message: Any) -> None:
        self._handlers[type(message)](worker, message)

    def _on_file_opened(self, worker: WorkerHandle, message: FileOpened) -> None:
        self.pool.claim_file(worker, message.path)

    @override
    def on_capacity(self) -> None:
        self._wake()

    @override
    def on_dispatch(self, worker: WorkerHandle) -> None:
        self._totals.update(worker)

    @override
    def on_parked(self, lease: Lease) -> None:
        self.admissions.release([lease])

    @override
    def on_unparked(self, lease: Lease) -> None:
        self.queue.start_over([lease.lease_id])

    def watch_opened(self, on_opened: Callable[[WorkerHandle], None]) -> None:
        """Call *on_opened* with each worker that is ready from now on."""
        self._on_worker_opened.append(on_opened)

    @override
    def on_opened(self, worker: WorkerHandle) -> None:
        for on_opened in self._on_worker_opened:
            on_opened(worker)

    @override
    def on_lost(self, worker: WorkerHandle) -> None:
        self._totals.forget(worker)
        self.coordinator.on_lost(worker)

    @override
    def on_recycled(self, worker: WorkerHandle) -> None:
        logger.info("%s has ended after %d requests.", worker.name, worker.leased)
        self.crawler.stats.inc_value("concurcrawl/workers_recycled")

    @override
    def on_gave_up(self) -> None:
        self.ending.give_up("workers_failed")


def job_storage(app: SupervisorApp) -> JobStorage:
    """Return where a crawl of this machine alone is kept."""
    return JobStorage(
        app.crawler,
        app.codec,
        app.politeness,
        app.pipelines,
        app.ending.fail,
        app.send_state,
    )
