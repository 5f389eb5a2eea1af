"""Leases that wait for one certain worker, which has what their requests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurcrawl.workers.supervisor.pool_events import PoolEvents
    from concurcrawl.workers.supervisor.sticky import StickyWorkers
    from concurcrawl.workers.supervisor.worker_handle import HeldLease, WorkerHandle

#: Leases that wait for one worker, while others are free, when that is worth a warning.
_MANY = 50

#: Leases that wait, before nothing else is leased any more.
_MOST = 1000


class ParkedLeases:
    """Leases that were acquired and not sent yet, in the order in which they came.

    Attributes:
        count: How many wait, for any worker.
    """

    def __init__(self, sticky: StickyWorkers[WorkerHandle], events: PoolEvents) -> None:
        """Make one.

        Args:
            sticky: Knows the worker of each key.
            events: Notified of leases that begin to wait, or end.
        """
        self._sticky = sticky
        self._events = events
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether no more should be leased before some have been sent."""
        return self.count >= _MOST

    def add(
        self, held: HeldLease, worker: WorkerHandle, *, is_other_free: bool
    ) -> None:
        """Let *held* wait for *worker*.

        Args:
            held: The lease.
            worker: The worker of its key.
            is_other_free: Whether another worker could do it at once.
        """
        if len(worker.parked) >= _MANY and is_other_free and held.key is not None:
            self._sticky.warn_of_wait(held.key, worker.name)
        self._sticky.bind(held.key, worker)
        worker.parked.append(held)
        self.count += 1
        self._events.on_parked(held.lease)

    def pop(self, worker: WorkerHandle) -> HeldLease:
        """Return the lease that has waited longest for *worker*; it is sent next."""
        held = worker.parked.popleft()
        self.count -= 1
        self._events.on_unparked(held.lease)
        return held

    def clear(self, worker: WorkerHandle) -> list[HeldLease]:
        """Return what waits for *worker*, which gets no more leases."""
        parked = [*worker.parked]
        worker.parked.clear()
        self.count -= len(parked)
        return parked
