"""Dispatches requests to workers and sees to what comes of each.

The engine never starts a request that waits: before it looks whether it may, as many
are dispatched as workers have free capacity for. Until what came of one is applied, it
is in progress for the engine, which waits for that before it closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.compat.engine import begin, end, may_start, wake
from concurcrawl.errors import (
    ConcurcrawlError,
    DeadLetteredError,
    FrontierError,
    LeaseLostError,
    LocalRequestsLostError,
    ResultsError,
    UnreadableError,
)
from concurcrawl.progress.rates import Row, Tally, unanswered
from concurcrawl.workers.protocol import log_forwarding
from concurcrawl.workers.supervisor.sticky import sticky_key

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from concurcrawl.config import Config
    from concurcrawl.frontier.base import Lease
    from concurcrawl.workers.protocol.messages.results import RequestResult
    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.supervisor.coordinator import Coordinator
    from concurcrawl.workers.supervisor.ending import Ending
    from concurcrawl.workers.supervisor.pipelines import Pipelines
    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.queue import WorkerQueue
    from concurcrawl.workers.supervisor.results import Results
    from concurcrawl.workers.supervisor.sticky import StickyKey
    from concurcrawl.workers.supervisor.storage import Storage
    from concurcrawl.workers.supervisor.worker_handle import (
        Ended,
        Products,
        WorkerHandle,
    )

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """What a dispatcher works with.

    Attributes:
        queue: The requests.
        pool: The workers.
        pipelines: Those that are slow hold workers back.
        results: Applies what came of a request.
        storage: Notes requests that are given up.
        coordinator: Shares the cookies that came with results.
        ending: Ends the crawl.
    """

    queue: WorkerQueue
    pool: WorkerPool
    pipelines: Pipelines
    results: Results
    storage: Storage
    coordinator: Coordinator
    ending: Ending


class Dispatcher:
    """Dispatches requests, and applies, retries or dead-letters what comes of them."""

    def __init__(
        self, crawler: Crawler, codec: Codec, config: Config, parts: DispatcherParts
    ) -> None:
        """Make one.

        Args:
            crawler: The crawl.
            codec: Decodes log records.
            config: Its settings.
            parts: What it works with.
        """
        self._crawler = crawler
        self._codec = codec
        self._config = config
        self._parts = parts
        self._queue, self._pool = parts.queue, parts.pool
        self._failed: Counter[int] = Counter()  # attempts by lease
        self._partial: defaultdict[int, set[asyncio.Task[None]]] = defaultdict(set)
        self._is_shared = bool(config.frontier_url)
        many = len(self._pool.workers) > 1 or self._pool.is_elastic
        many = many or self._is_shared
        self._sticky = config.sticky_meta if many else ()
        self._tallies: defaultdict[str, Tally] | None = None

    def has_capacity(self) -> bool:
        """Return whether a request may be dispatched to some worker."""
        if self._parts.pipelines.is_full or self._parts.ending.has_begun:
            return False
        return self._pool.has_capacity(len(self._queue))

    def dispatch(self) -> None:
        """Dispatch as many requests as workers have free capacity for."""
        while may_start(self._crawler.engine) and self.has_capacity():
            request = self._queue.acquire()
            if request is None:
                break
            self._dispatch(request)

    def _dispatch(self, request: Request) -> None:
        lease = self._queue.lease_of(request)
        assert lease is not None
        begin(self._crawler.engine, request)
        self._crawler.engine.downloader.active.add(request)
        key = sticky_key(request, self._sticky) if self._sticky else None
        if key is not None and self._is_shared:
            self._warn_of_nodes(key)
        ended = self._pool.dispatch(lease, key)
        asyncio.ensure_future(self._see_through(request, lease, ended))  # noqa: RUF006 - the engine outlives it

    def _warn_of_nodes(self, key: StickyKey) -> None:
        self._is_shared = False  # once is enough
        logger.warning(
            "Requests with %s=%r go to one worker of this node. Another node that is "
            "leased one has a worker of its own for them: what they share (a login, "
            "say) is not shared with it.",
            *key,
        )

    async def _see_through(
        self, request: Request, lease: Lease, ended: asyncio.Future[Ended]
    ) -> None:
        """Wait for what comes of a request that was dispatched, and apply it."""
        try:
            await self._apply(*await ended, request)
            self._queue.forget(request)
        except DeadLetteredError as error:
            await self._dead_letter(request, lease, error)
        except LeaseLostError:
            self._refuse(request)
        except LocalRequestsLostError as error:
            logger.error("%s: %s", request, error)  # noqa: TRY400 - it says it all
            await self._queue.commit(lease, ())
            self._queue.forget(request)
        except (OSError, sqlite3.Error, FrontierError) as error:
            # Nothing of it was applied: it is done again when the crawl is resumed.
            self._parts.ending.fail(error)
        except Exception as error:  # noqa: BLE001 - any code of the project's
            await self._retry_or_release(request, lease, error)
        finally:
            if lease.lease_id in self._partial:
                await asyncio.gather(*self._partial.pop(lease.lease_id))
            self._crawler.engine.downloader.active.discard(request)
            end(self._crawler.engine, request)
            wake(self._crawler.engine)

    async def _retry_or_release(
        self, request: Request, lease: Lease, error: Exception
    ) -> None:
        if isinstance(error, UnreadableError):
            logger.error("The results of %s could not be applied: %s", request, error)
        elif isinstance(error, ConcurcrawlError):  # nothing came of it
            self._queue.release(request)
            return
        else:
            sentence = "The results of %s could not be applied"
            logger.error(sentence, request, exc_info=error)
        await self._try_again(request, lease)

    async def _try_again(self, request: Request, lease: Lease) -> None:
        """Release the lease of *request*, unless that was tried too often."""
        self._crawler.stats.inc_value("concurcrawl/results_failed")
        self._failed[lease.lease_id] += 1
        if self._failed[lease.lease_id] < self._config.max_attempts:
            self._queue.release(request)
            return
        with contextlib.suppress(LeaseLostError):  # it had ended
            error = ResultsError(self._failed.pop(lease.lease_id))
            await self._dead_letter(request, lease, error)

    async def _dead_letter(
        self, request: Request, lease: Lease, error: DeadLetteredError | ResultsError
    ) -> None:
        logger.error("%s is dead-lettered: %s", request, error)
        self._crawler.stats.inc_value("concurcrawl/dead_lettered")
        if self._config.failures:
            self._record_failure(request.url, str(error))
        self._parts.storage.dead_letter(lease, request.url, error.attempts)
        await self._queue.commit(lease, ())
        self._queue.forget(request)

    def _record_failure(self, url: str, reason: str) -> None:
        with Path(self._config.failures).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"url": url, "reason": reason}) + "\n")

    def _refuse(self, request: Request) -> None:
        """Drop what came of a request that others have been leased meanwhile."""
        logger.warning(
            "%s took so long that another node was given it; what came of it here is "
            "dropped.",
            request,
        )
        self._crawler.stats.inc_value("concurcrawl/refused")
        self._queue.forget(request)

    # Results ---------------------------------------------------------------------

    def on_result(self, worker: WorkerHandle, result: RequestResult) -> None:
        """Do at once what does not wait for the lease to end."""
        for line in result.logs:
            log_forwarding.log(
                line,
                worker.name,
                self._crawler.spider,
                self._codec.decode,
                worker.connection.wall_offset_s,
            )
        self._parts.coordinator.on_cookies(worker, result.cookies)
        result.worker = worker.name
        if result.record is not None and worker.connection.wall_offset_s:
            result.record = result.record.shifted(worker.connection.wall_offset_s)
        if self._tallies is not None:
            self._tallies[worker.name] += _tally_of(result)
        if result.lease_id is None:
            applied = self._apply_leaseless(worker, result, result.products)
            asyncio.ensure_future(applied)  # noqa: RUF006 - the engine outlives it
        elif result.is_partial:
            self._on_partial(worker, result, result.lease_id)

    def _on_partial(
        self, worker: WorkerHandle, result: RequestResult, lease_id: int
    ) -> None:
        held = worker.held.get(lease_id)
        if held is None:
            worker.results.applied(result.number)
            return
        products = held.partial_products(result)
        task = asyncio.ensure_future(self._apply_leaseless(worker, result, products))
        partial_results = self._partial[lease_id]
        partial_results.add(task)
        task.add_done_callback(partial_results.discard)

    async def _apply(
        self,
        worker: WorkerHandle,
        result: RequestResult,
        products: Products,
        request: Request | None,
    ) -> None:
        applied = partial(worker.results.applied, result.number)
        try:
            await self._parts.results.apply(result, products, request, applied)
        finally:
            applied()

    async def _apply_leaseless(
        self, worker: WorkerHandle, result: RequestResult, products: Products
    ) -> None:
        try:
            await self._apply(worker, result, products, None)
        except (OSError, sqlite3.Error, FrontierError) as error:
            self._parts.ending.fail(error)
        except UnreadableError as error:
            logger.error("Results without a request could not be applied: %s", error)  # noqa: TRY400 - its sentence says it all
            self._crawler.stats.inc_value("concurcrawl/results_failed")
        except Exception:  # as in _see_through(); there is no lease to release
            logger.exception("Results without a request could not be applied")

    # Progress --------------------------------------------------------------------

    def begin_tallies(self) -> None:
        """Count what each worker does from now on."""
        self._tallies = defaultdict(Tally)

    def rows(self) -> tuple[tuple[Row, ...], Tally]:
        """Return a row for each worker, and the sum of them all."""
        assert self._tallies is not None
        tallies = self._tallies
        rows = tuple(
            Row(worker.name, tallies[worker.name], worker.in_flight)
            for worker in self._pool.workers
        )
        if not rows:  # the end: those that were
            rows = tuple(Row(name, tally, 0) for name, tally in tallies.items())
        given_up = self._crawler.stats.get_value("concurcrawl/dead_lettered", 0)
        return rows, sum(tallies.values(), Tally(errors=given_up))


def _tally_of(result: RequestResult) -> Tally:
    tally = unanswered(
        {key: n for (how, key), n in result.stats.items() if how == "inc"}
    )
    if result.status is not None:
        tally.answered(result.status)
    return tally
