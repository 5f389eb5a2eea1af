"""Workers that come and go by themselves, as those of a cluster do.

The launcher starts one wherever there is a place for it. What may be in flight over all
of them stays the same, however many there are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from typing_extensions import override

from concurcrawl.errors import ConcurcrawlError
from concurcrawl.modes import shares
from concurcrawl.workers.launch.base import Members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurcrawl.workers.launch.base import WorkerConnection
    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.starter import WorkerStarter
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)


class ElasticMembers(Members):
    """Adds workers to a pool as they come, and gives each its share of the slots.

    Invariant: where a total is divided, no more leases than that are in flight. A new
    worker waits until those that had its share have done what they held beyond theirs.
    """

    def __init__(self, pool: WorkerPool, starter: WorkerStarter) -> None:
        """Make one for *pool*.

        Args:
            pool: That they become workers of.
            starter: Of its workers.
        """
        self._pool = pool
        self._starter = starter
        self._waiting: list[WorkerHandle] = []

    @property
    @override
    def is_ending(self) -> bool:
        return self._pool.is_ending

    @override
    def arrived(self) -> None:
        pool = self._pool
        slots = self._make_room(len(pool.workers) + 1)
        must_wait = self._is_over()
        try:
            worker = pool.add(slots, is_standby=must_wait)
        except (ConcurcrawlError, OSError) as error:  # it was lost again meanwhile
            logger.debug("A worker that came is gone: %s", error)
            return
        logger.info("%s has joined.", worker.name)
        if must_wait:
            self._waiting.append(worker)

    @override
    def leaving(self, connection: WorkerConnection) -> None:
        for worker in self._pool.workers:
            if worker.connection is connection and not worker.is_retiring:
                logger.info(
                    "%s finishes what it holds: its machine leaves.", worker.name
                )
                self._pool.retire(worker)

    @override
    def failed(self, error: Exception) -> None:
        self._pool.give_up(error)

    def on_lost(self) -> None:
        """Take in that a worker is gone: what was cut for it is given back."""
        if self._starter.total:
            self._make_room(len(self._pool.workers))
        self.settle()

    def settle(self) -> None:
        """Let new workers begin once the others have come down to their shares."""
        if self._waiting and not self._is_over():
            for worker in self._waiting:
                worker.is_standby = False
            self._waiting.clear()

    def _make_room(self, count: int) -> int:
        """Divide the slots among *count* workers; return the share of the last."""
        if not self._starter.total:
            return self._starter.shares[0]
        workers = self._pool.workers
        expected = max(count, len(self._starter.shares))
        found, left = divide(
            shares(self._starter.total, expected),
            [worker.most_slots for worker in workers],
        )
        for worker, share in zip(workers, found, strict=True):
            worker.slots = share
        return left

    def _is_over(self) -> bool:
        if not self._starter.total:
            return False
        return any(len(worker.held) > worker.slots for worker in self._pool.workers)


def divide(free: Sequence[int], most: Sequence[int]) -> tuple[list[int], int]:
    """Give each worker one of the shares that are free, as large as it may have.

    Args:
        free: The shares, not fewer than there are workers.
        most: The most of each worker.

    Returns:
        The share of each worker, and the largest that is left, or 1.
    """
    left = sorted(free)
    found = [0] * len(most)
    for index in sorted(range(len(most)), key=lambda index: -most[index]):
        fitting = [share for share in left if share <= most[index]]
        share = fitting[-1] if fitting else left[0]
        left.remove(share)
        found[index] = min(share, most[index])
    return found, max(left, default=1)
