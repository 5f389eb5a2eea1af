"""The downloader that makes ``scrapy crawl`` a supervisor of workers.

The engine works as ever, but never starts a request that waits: before it looks
whether it may, as many are lent to workers as those have room for. What comes of them
is applied: signals are sent, items go through the pipelines, new requests to the
scheduler. Until then they are in progress for the engine, which waits for that before
it closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.utils.defer import deferred_from_coro
from typing_extensions import override

from concurcrawl.compat.closing import fail_crawl
from concurcrawl.compat.engine import (
    begin,
    end,
    in_progress,
    is_closing,
    may_start,
    wake,
)
from concurcrawl.config import Config
from concurcrawl.errors import (
    ConcurcrawlError,
    DeadLetteredError,
    FrontierError,
    LeaseLostError,
    LocalRequestsLostError,
    ResultsError,
    StalledError,
)
from concurcrawl.limits.handler import PREFETCH
from concurcrawl.local.downloader import PassThroughDownloader
from concurcrawl.progress.pace import Row, Tally, unanswered
from concurcrawl.watchdog.stall import StallWatch, Waiting
from concurcrawl.watchdog.timers import is_a_task_sleeping
from concurcrawl.workers.launch.ways import launcher
from concurcrawl.workers.protocol import log_forwarding
from concurcrawl.workers.protocol.messages.lifecycle import FileOpened
from concurcrawl.workers.protocol.messages.results import RequestResult
from concurcrawl.workers.protocol.messages.state import ReadStats
from concurcrawl.workers.protocol.pickle_codec import Codec, codec_of
from concurcrawl.workers.supervisor.attributes import AttributeWatch
from concurcrawl.workers.supervisor.audience import Audience
from concurcrawl.workers.supervisor.coordinator import Coordinator
from concurcrawl.workers.supervisor.crawl_spec import describe, import_path
from concurcrawl.workers.supervisor.dormant import DormantMiddlewares
from concurcrawl.workers.supervisor.pool import Tolerance, WorkerPool
from concurcrawl.workers.supervisor.results import Results, close_spider
from concurcrawl.workers.supervisor.scheduler import scheduler_of
from concurcrawl.workers.supervisor.sticky import sticky_key
from concurcrawl.workers.supervisor.stopping import StopWatch, named

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

    from concurcrawl.frontier.base import Lease
    from concurcrawl.workers.supervisor.results import Taken
    from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler
    from concurcrawl.workers.supervisor.sticky import StickyKey
    from concurcrawl.workers.supervisor.worker_handle import News, WorkerHandle

logger = logging.getLogger(__name__)


class DispatchingDownloader(PassThroughDownloader):
    """Fetches what the scheduler lends by having a worker do it.

    Requests that somebody here downloads directly (a media pipeline, ``start()``) are
    downloaded here.
    """

    makes_handlers_late = True  # most crawls need none here

    def __init__(self, crawler: Crawler) -> None:
        self._config = config = Config.from_settings(crawler.settings)
        attributes = AttributeWatch(crawler)  # as they are in the description
        crawl = Codec().encode(describe(crawler))
        # First of all: workers start while our own handlers and middlewares load.
        self.pool = WorkerPool(
            [int(share) for share in crawler.settings.getlist("CONCURCRAWL_SLOTS")],
            max(1, crawler.settings.getint(PREFETCH)),
            crawl,
            import_path(crawler.spidercls),
            Tolerance(
                deaths=config.max_attempts,
                restarts=config.max_restarts,
                silence_s=config.callback_timeout_s,
                requests=config.worker_max_requests,
            ),
            self._hear,
            launcher=launcher(config.start_method, crawl),
        )
        super().__init__(crawler)
        audience = Audience(crawler)
        self.coordinator = Coordinator(crawler, self.pool, audience, attributes)
        self._outcomes = Results(crawler, audience)
        self._failed: Counter[int] = Counter()  # attempts by lease
        self._watch = StallWatch(
            crawler, config.stall_timeout_s, self._look, self._abandon
        )
        self._stop_watch = StopWatch(
            self.pool, config.stop_timeout_s, self._is_closing, self._end_stuck
        )
        self._codec = Codec()
        self._partial: defaultdict[int, set[asyncio.Task[None]]] = defaultdict(set)
        many = len(self.pool.workers) > 1 or bool(config.frontier_url)
        self._sticky = config.sticky_meta if many else ()
        self._is_shared = bool(config.frontier_url)
        self._dormant: DormantMiddlewares | None = None
        self.dormant_spidermw: DormantMiddlewares | None = None
        self._has_failed = False
        self._tallies: defaultdict[str, Tally] | None = None
        self.pool.on_room = lambda: wake(crawler.engine)
        self.pool.on_recycled = self._note_recycled
        self.pool.on_park = lambda lease: self._scheduler.admissions.release([lease])
        self.pool.on_unpark = lambda lease: self._scheduler.start_over([lease.lease_id])
        self.pool.on_give_up = lambda: self._give_up("workers_failed")

    @property
    def _scheduler(self) -> SupervisorScheduler:
        return scheduler_of(self.crawler)

    async def connect(self) -> None:
        """Begin to talk to the workers; the spider opens."""
        self._codec = codec_of(self.crawler)
        scraper = self.crawler.engine.scraper
        self._dormant = DormantMiddlewares(self.crawler, self.middleware.middlewares)
        self.dormant_spidermw = DormantMiddlewares(
            self.crawler, scraper.spidermw.middlewares
        )
        self.coordinator.open()
        self._outcomes.open()
        self._scheduler.journal.on_failure = self.fail
        self._watch.start()
        self._stop_watch.start()
        await self.pool.connect()

    @override
    def is_full(self) -> bool:
        return not self._has_room()

    @override
    def fetch(
        self, request: Request, spider: Spider | None = None
    ) -> Deferred[Response | Request]:
        """Middlewares are in use from now on."""
        return deferred_from_coro(self._fetch(request))

    async def _fetch(self, request: Request) -> Response | Request:
        if self._dormant is not None:
            await self._dormant.wake()
        return await self.fetch_async(request)

    def dispatch(self) -> None:
        """Lend what there is room for."""
        while may_start(self.crawler.engine) and self._has_room():
            request = self._scheduler.lend()
            if request is None:
                break
            self._lend(request)

    def _has_room(self) -> bool:
        """Return whether a request could be lent. Slow pipelines hold workers back."""
        if self._outcomes.is_full or self._has_failed:
            return False
        return self.pool.has_room(len(self._scheduler))

    @override
    def close(self) -> None:
        super().close()
        self._watch.stop()
        self._stop_watch.stop()
        self.coordinator.close()
        if not self._config.closed_in_workers:  # they need the reason, see scheduler
            self.pool.stop()

    async def _look(self) -> list[Waiting]:
        """Return what holds up a crawl in which nothing moves any more."""
        begun = in_progress(self.crawler.engine)
        scraped = self.crawler.engine.scraper.slot
        assert scraped is not None
        if not begun or not scraped.is_idle() or self._is_moving():
            return []
        found: list[Waiting] = []
        for worker in [worker for worker in self.pool.workers if worker.held]:
            waiting = await worker.look()
            if waiting is None:
                return []
            found += waiting
        own = begun - self._scheduler.leased()
        found += [Waiting(f"[supervisor] {request}", "to be done") for request in own]
        return found

    def _is_moving(self) -> bool:
        """Return whether this process may move what is in progress."""
        scheduler = self._scheduler
        waits_for_time = self._has_room() and bool(scheduler.ready_in_s())
        is_busy = bool(self._outcomes.items_at_work or scheduler.gate.inside)
        return (
            is_busy
            or waits_for_time
            or scheduler.admissions.is_timed
            or is_a_task_sleeping()
        )

    def _abandon(self) -> None:
        self._scheduler.admissions.abandon(StalledError())
        self.pool.abandon()

    def _is_closing(self) -> bool:
        return is_closing(self.crawler.engine)

    def _end_stuck(self, worker: WorkerHandle) -> None:
        """End a worker that keeps a crawl from stopping; name what it held."""
        leases = {id(held.lease) for held in worker.held.values()}
        requests = self._scheduler.leased_by(leases)
        self.crawler.stats.inc_value("concurcrawl/unfinished", len(requests))
        is_kept = self.crawler.settings["JOBDIR"] or self._config.frontier_url
        logger.error(
            "%s (process %s) is killed: %g s after the crawl was told to stop nothing "
            "moves in it but callbacks that do not end (CONCURCRAWL_STOP_TIMEOUT_S). "
            "It held %d request(s), which are %s: %s",
            worker.name,
            worker.pid,
            self._config.stop_timeout_s,
            len(requests),
            "kept to be done later" if is_kept else "lost",
            named(requests),
        )
        worker.is_stuck = True
        worker.kill()

    def _note_recycled(self, worker: WorkerHandle) -> None:
        logger.info("%s has ended after %d requests.", worker.name, worker.leased)
        self.crawler.stats.inc_value("concurcrawl/workers_recycled")

    def begin_tallies(self) -> None:
        """Count what each worker does from now on."""
        self._tallies = defaultdict(Tally)

    def rows(self) -> tuple[tuple[Row, ...], Tally]:
        """Return a row for each worker, and the sum of them all."""
        assert self._tallies is not None
        tallies = self._tallies
        rows = tuple(
            Row(worker.name, tallies[worker.name], worker.in_flight)
            for worker in self.pool.workers
        )
        if not rows:  # the end: those that were
            rows = tuple(Row(name, tally, 0) for name, tally in tallies.items())
        poisoned = self.crawler.stats.get_value("concurcrawl/poisoned", 0)
        return rows, sum(tallies.values(), Tally(errors=poisoned))

    def _lend(self, request: Request) -> None:
        lease = self._scheduler.lease_of(request)
        assert lease is not None
        begin(self.crawler.engine, request)
        self.active.add(request)
        key = sticky_key(request, self._sticky) if self._sticky else None
        if key is not None and self._is_shared:
            self._warn_of_nodes(key)
        take = partial(self._outcomes.take, request=request)
        lent = self.pool.lend(lease, take, key)
        asyncio.ensure_future(self._see_through(request, lease, lent))  # noqa: RUF006 - the engine outlives it

    def _warn_of_nodes(self, key: StickyKey) -> None:
        self._is_shared = False  # once is enough
        logger.warning(
            "Requests with %s=%r go to one worker of this node. Another node that is "
            "leased one has a worker of its own for them: what they share (a login, "
            "say) is not shared with it.",
            *key,
        )

    async def _see_through(
        self, request: Request, lease: Lease, lent: asyncio.Future[Taken]
    ) -> None:
        """Wait for what comes of a request that was lent, and apply it."""
        scheduler = self._scheduler
        try:
            await self._outcomes.apply(await lent, request)
            scheduler.forget(request)
        except DeadLetteredError as error:
            await self._dead_letter(request, lease, error)
        except LeaseLostError:
            self._refuse(request)
        except LocalRequestsLostError as error:
            logger.error("%s: %s", request, error)  # noqa: TRY400 - it says it all
            await scheduler.complete(lease, ())
            scheduler.forget(request)
        except (OSError, sqlite3.Error, FrontierError) as error:
            # Nothing of it was applied: it is done again when the crawl is resumed.
            self.fail(error)
        except ConcurcrawlError:
            scheduler.give_back(request)
        except Exception:  # what a project's classes raise when they are read back
            logger.exception("The results of %s could not be applied", request)
            await self._try_again(request, lease)
        finally:
            if lease.lease_id in self._partial:
                await asyncio.gather(*self._partial.pop(lease.lease_id))
            self.active.discard(request)
            end(self.crawler.engine, request)
            wake(self.crawler.engine)

    async def _try_again(self, request: Request, lease: Lease) -> None:
        """Give back the lease of *request*, unless that was tried too often."""
        self.crawler.stats.inc_value("concurcrawl/results_failed")
        self._failed[lease.lease_id] += 1
        if self._failed[lease.lease_id] < self._config.max_attempts:
            self._scheduler.give_back(request)
            return
        with contextlib.suppress(LeaseLostError):  # it had been completed
            error = ResultsError(self._failed.pop(lease.lease_id))
            await self._dead_letter(request, lease, error)

    async def _dead_letter(
        self, request: Request, lease: Lease, error: DeadLetteredError | ResultsError
    ) -> None:
        logger.error("%s is set aside: %s", request, error)
        self.crawler.stats.inc_value("concurcrawl/poisoned")
        if self._config.failures:
            self._record_failure(request.url, str(error))
        self._scheduler.dead_letter(lease, request.url, error.attempts)
        await self._scheduler.complete(lease, ())
        self._scheduler.forget(request)

    def _record_failure(self, url: str, reason: str) -> None:
        with Path(self._config.failures).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"url": url, "reason": reason}) + "\n")

    def _refuse(self, request: Request) -> None:
        """Drop what came of a request that others have been lent meanwhile."""
        logger.warning(
            "%s took so long that another node was given it; what came of it here is "
            "dropped.",
            request,
        )
        self.crawler.stats.inc_value("concurcrawl/refused")
        self._scheduler.forget(request)

    def close_spider(self, reason: str) -> None:
        """End the crawl here, after what is in flight."""
        close_spider(self.crawler, reason)

    def _give_up(self, reason: str) -> None:
        """End the crawl with exit code 1, unless it ends for another reason."""
        if not is_closing(self.crawler.engine):
            fail_crawl(self.crawler)
        self.close_spider(reason)

    def fail(self, error: Exception) -> None:
        """End the crawl: what came of a request could not be kept."""
        if self._has_failed:
            return
        self._has_failed = True
        if isinstance(error, FrontierError):
            logger.error("%s", error)
            self._give_up(error.reason)
        else:
            logger.error(
                "The crawl ends: it cannot write what it has done (%s). Make room or "
                "mend the disk, then run the same command again.",
                error,
            )
            # Also of a crawl that had finished: something of it is not stored.
            fail_crawl(self.crawler)
            self.close_spider("storage_failed")

    # What workers say -----------------------------------------------------------

    def note_slot(self, request: Request) -> None:
        """Have the slot that *request* was in at a worker, for who looks for it."""
        _, slot = self.slot_for(request)
        slot.lastseen = time.monotonic()

    def _hear(self, worker: WorkerHandle, message: News) -> None:
        """Do at once what does not wait for a lease to end."""
        match message:
            case RequestResult():
                self._hear_outcome(worker, message)
            case ReadStats():
                self.coordinator.totals.subscribe(worker, message)
            case FileOpened():
                self.pool.take_file(worker, message.path)
            case _:
                self.coordinator.hear(worker, message)

    def _hear_outcome(self, worker: WorkerHandle, outcome: RequestResult) -> None:
        for line in outcome.logs:
            log_forwarding.log(
                line, worker.name, self.crawler.spider, self._codec.decode
            )
        self.coordinator.hear_cookies(worker, outcome.cookies)
        outcome.worker = worker.name
        if self._tallies is not None:
            self._tallies[worker.name] += _tally_of(outcome)
        if outcome.lease_id is None:
            taken = self._outcomes.take(outcome, outcome.products, None)
            asyncio.ensure_future(self._apply_leaseless(taken))  # noqa: RUF006 - the engine outlives it
        elif outcome.is_partial and outcome.lease_id in worker.held:
            taken = worker.held[outcome.lease_id].take_partial(outcome)
            applied = asyncio.ensure_future(self._apply_leaseless(taken))
            partial_results = self._partial[outcome.lease_id]
            partial_results.add(applied)
            applied.add_done_callback(partial_results.discard)

    async def _apply_leaseless(self, taken: Taken) -> None:
        try:
            await self._outcomes.apply(taken, None)
        except (OSError, sqlite3.Error, FrontierError) as error:
            self.fail(error)
        except Exception:  # as in _see_through(); there is no lease to give back
            logger.exception("Results without a request could not be applied")


def _tally_of(outcome: RequestResult) -> Tally:
    tally = unanswered(
        {key: n for (how, key), n in outcome.stats.items() if how == "inc"}
    )
    if outcome.status is not None:
        tally.answered(outcome.status)
    return tally
