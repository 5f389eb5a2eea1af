"""Watches over a crawl with workers: does anything move, and does it stop in time?"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from concurcrawl.compat.engine import in_progress, is_closing
from concurcrawl.errors import StalledError
from concurcrawl.watchdog.stall import StallWatch, Waiting
from concurcrawl.watchdog.timers import is_a_task_sleeping
from concurcrawl.workers.supervisor.stopping import StopWatch, named

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from concurcrawl.config import Config
    from concurcrawl.limits.admission_queue import AdmissionQueue
    from concurcrawl.local.limiter import LocalLimiter
    from concurcrawl.workers.supervisor.dispatcher import Dispatcher
    from concurcrawl.workers.supervisor.pipelines import Pipelines
    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.queue import WorkerQueue
    from concurcrawl.workers.supervisor.storage import Storage
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedParts:
    """What is looked at.

    Attributes:
        pool: The workers.
        queue: Their requests.
        dispatcher: Tells whether a request could be dispatched.
        pipelines: Items that are in them move.
        admissions: Requests that wait for their sites.
        limiter: Requests that this process downloads itself.
        storage: Tells when time alone lets a request start.
    """

    pool: WorkerPool
    queue: WorkerQueue
    dispatcher: Dispatcher
    pipelines: Pipelines
    admissions: AdmissionQueue
    limiter: LocalLimiter
    storage: Storage


class Watching:
    """Ends a crawl in which nothing moves, and workers that keep it from stopping."""

    def __init__(self, crawler: Crawler, config: Config, parts: WatchedParts) -> None:
        """Make one that does not watch yet.

        Args:
            crawler: The crawl.
            config: Its settings.
            parts: What is looked at.
        """
        self._crawler = crawler
        self._config = config
        self._parts = parts
        self._stalls = StallWatch(
            crawler, config.stall_timeout_s, self._look, self._abandon
        )
        self._stops = StopWatch(
            parts.pool,
            config.stop_timeout_s,
            lambda: is_closing(crawler.engine),
            self._end_stuck,
        )

    def start(self) -> None:
        """Begin to watch."""
        self._stalls.start()
        self._stops.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stalls.stop()
        self._stops.stop()

    async def _look(self) -> list[Waiting]:
        """Return what holds up a crawl in which nothing moves any more."""
        begun = in_progress(self._crawler.engine)
        scraped = self._crawler.engine.scraper.slot
        assert scraped is not None
        if not begun or not scraped.is_idle() or self._is_moving():
            return []
        found: list[Waiting] = []
        for worker in [worker for worker in self._parts.pool.workers if worker.held]:
            waiting = await worker.look()
            if waiting is None:
                return []
            found += waiting
        own = begun - self._parts.queue.leased()
        found += [Waiting(f"[supervisor] {request}", "to be done") for request in own]
        return found

    def _is_moving(self) -> bool:
        """Return whether this process may move what is in progress."""
        parts = self._parts
        ready_in_s = parts.storage.frontier.ready_in_s()
        waits_for_time = parts.dispatcher.has_capacity() and bool(ready_in_s)
        is_busy = bool(parts.pipelines.items_at_work or parts.limiter.inside)
        return (
            is_busy
            or waits_for_time
            or parts.admissions.is_timed
            or is_a_task_sleeping()
        )

    def _abandon(self) -> None:
        self._parts.admissions.abandon(StalledError())
        self._parts.pool.abandon()

    def _end_stuck(self, worker: WorkerHandle) -> None:
        """End a worker that keeps a crawl from stopping; name what it held."""
        leases = {id(held.lease) for held in worker.held.values()}
        requests = self._parts.queue.leased_by(leases)
        self._crawler.stats.inc_value("concurcrawl/unfinished", len(requests))
        is_kept = self._crawler.settings["JOBDIR"] or self._config.frontier_url
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
