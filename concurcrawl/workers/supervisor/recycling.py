"""Fresh workers take the place of those that have done their part or grown too large.

A successor opens while its predecessor still works, so that hardly any time is lost.
Then the predecessor gets no more leases, finishes those that it holds and closes its
spider, as at the end of a crawl: its stats, log lines and last results are sent.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from concurcrawl.errors import ConcurcrawlError

if TYPE_CHECKING:
    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)

#: Share of its requests that a worker still has to do when its successor is started:
#: that has to import the project and open its spider meanwhile.
_HEAD_START = 0.25

#: Seconds that a worker which has done all may take to close its spider.
_CLOSE_DEADLINE_S = 30.0


class Recycler:
    """Decides when a worker of a pool makes way for a fresh one.

    Invariant: of a worker and its successor one takes leases.
    """

    def __init__(self, pool: WorkerPool, max_requests: int) -> None:
        """Make one for *pool*.

        Args:
            pool: Whose workers are replaced.
            max_requests: Leases that each worker is sent; 0 means any number.
        """
        self._pool = pool
        self._max_requests = max_requests
        self._head_start = int(max_requests * _HEAD_START)
        self._due: list[
            WorkerHandle
        ] = []  # the first goes as soon as its successor is open

    def leased(self, worker: WorkerHandle) -> None:
        """Count a lease that *worker* was sent."""
        if not self._max_requests or self._pool.is_ending:
            return
        if self._pool.is_elastic:
            if worker.leased >= self._max_requests:
                self.retire(worker)
            return
        if worker.leased >= self._max_requests - self._head_start:
            self._start_successor(worker)
        if worker.leased >= self._max_requests:
            self._retire(worker)

    def recycle(self, worker: WorkerHandle) -> bool:
        """Replace *worker* as soon as another is open.

        One after the other: both take memory for a while.

        Returns:
            Whether it is going to be; it is not where that has begun, or the crawl
            ends.
        """
        if not worker.takes_leases or worker in self._due or self._pool.is_ending:
            return False
        if self._pool.is_elastic:
            self.retire(worker)
            return True
        self._due.append(worker)
        self._replace_first_due()
        return True

    def ended(self, worker: WorkerHandle) -> None:
        """Forget *worker*, which is gone."""
        if worker in self._due:
            self._due.remove(worker)
            self._replace_first_due()

    def opened(self, successor: WorkerHandle) -> None:
        """Retire the predecessor of a worker that is ready, if it is due."""
        worker = self._predecessor(successor)
        if worker is not None:
            self._retire_if_due(worker)

    def end_if_done(self, worker: WorkerHandle) -> None:
        """End *worker* if it retires and holds no leases any more."""
        if worker.is_retiring and not worker.held and worker.stop():
            asyncio.get_running_loop().call_later(
                _CLOSE_DEADLINE_S, self._kill_if_there, worker
            )

    def replace(self, worker: WorkerHandle) -> None:
        """Fill the place of *worker*, which has died.

        Raises:
            OSError: If the system starts no process.
            ConcurcrawlError: If workers cannot be started in this process.
        """
        predecessor = self._predecessor(worker)
        if worker.successor is not None:  # which has been started already
            worker.successor.is_standby = False
            self._pool.use_capacity()
        elif predecessor is not None:
            is_standby = worker.is_standby
            predecessor.successor = self._pool.add(worker.slots, is_standby=is_standby)
        else:
            self._pool.add(worker.slots)

    def _start_successor(self, worker: WorkerHandle) -> None:
        if worker.successor is None:
            try:
                worker.successor = self._pool.add(worker.slots, is_standby=True)
            except (ConcurcrawlError, OSError) as error:
                logger.error("%s is not replaced: %s", worker.name, error)  # noqa: TRY400 - its sentence says it all

    def _replace_first_due(self) -> None:
        if self._due and not self._pool.is_ending:
            self._start_successor(self._due[0])
            self._retire_if_due(self._due[0])

    def _retire_if_due(self, worker: WorkerHandle) -> None:
        successor = worker.successor
        if worker in self._due[:1] and successor is not None and successor.pid:
            self._retire(worker)

    def _retire(self, worker: WorkerHandle) -> None:
        if worker.successor is None or worker.is_retiring:
            return
        worker.successor.is_standby = False
        self.retire(worker)

    def retire(self, worker: WorkerHandle) -> None:
        """Send *worker* no more leases; it ends when it has done those it holds."""
        if worker.is_retiring:
            return
        worker.is_retiring = True
        self._pool.on_retired(worker)
        loop = asyncio.get_running_loop()
        loop.call_soon(self.end_if_done, worker)
        loop.call_soon(self._pool.use_capacity)

    def _predecessor(self, successor: WorkerHandle) -> WorkerHandle | None:
        workers = self._pool.workers
        return next((one for one in workers if one.successor is successor), None)

    def _kill_if_there(self, worker: WorkerHandle) -> None:
        if not worker.is_gone:
            logger.error("%s does not end and is killed.", worker.name)
            worker.kill()
