"""What a pool of workers reports, and to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from concurcrawl.frontier.base import Lease
    from concurcrawl.workers.protocol.messages.directions import ToWorker
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle


class PoolEvents(Protocol):
    """What a pool notifies of what workers do. The composition root is one."""

    def handshake(self) -> list[ToWorker]:
        """Return what a worker that starts must be sent first."""

    def on_message(self, worker: WorkerHandle, message: Any) -> None:
        """Handle a message, before a lease that it ends is answered."""

    def on_capacity(self) -> None:
        """Dispatch requests, if any may start: workers have free capacity."""

    def on_dispatch(self, worker: WorkerHandle) -> None:
        """Send *worker* what it must have before the next lease."""

    def on_parked(self, lease: Lease) -> None:
        """Count *lease* as not at its site: it waits for one certain worker."""

    def on_unparked(self, lease: Lease) -> None:
        """Count *lease* as leased anew: it is about to be sent."""

    def on_opened(self, worker: WorkerHandle) -> None:
        """Note that *worker* is ready for requests."""

    def on_lost(self, worker: WorkerHandle) -> None:
        """Forget what *worker*, which is gone, has and had at sites."""

    def on_recycled(self, worker: WorkerHandle) -> None:
        """Note that *worker* has made way for a fresh one."""

    def on_gave_up(self) -> None:
        """End the crawl: workers cannot do it."""
