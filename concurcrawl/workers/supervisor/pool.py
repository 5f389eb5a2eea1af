"""The supervisor's workers: which has which leases, and what happens if one dies."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from concurcrawl.errors import (
    ConcurcrawlError,
    DeadLetteredError,
    LeaseReturnedError,
    LocalRequestsLostError,
    NotSharedError,
    UnfinishedError,
    WorkerLostError,
    WorkersFailedError,
)
from concurcrawl.workers.protocol import framing
from concurcrawl.workers.protocol.messages.leases import Dispatch
from concurcrawl.workers.protocol.messages.lifecycle import Drain
from concurcrawl.workers.protocol.messages.results import RequestResult
from concurcrawl.workers.supervisor.members import ElasticMembers
from concurcrawl.workers.supervisor.parking import ParkedLeases
from concurcrawl.workers.supervisor.recycling import Recycler
from concurcrawl.workers.supervisor.silence import SilenceWatch
from concurcrawl.workers.supervisor.sticky import StickyWorkers
from concurcrawl.workers.supervisor.worker_handle import (
    UNLIMITED,
    HeldLease,
    WorkerHandle,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from concurcrawl.frontier.base import Lease
    from concurcrawl.workers.protocol.messages.directions import ToWorker
    from concurcrawl.workers.supervisor.pool_events import PoolEvents
    from concurcrawl.workers.supervisor.starter import StartedWorker, WorkerStarter
    from concurcrawl.workers.supervisor.sticky import StickyKey
    from concurcrawl.workers.supervisor.tolerance import Tolerance
    from concurcrawl.workers.supervisor.worker_handle import Ended, News


logger = logging.getLogger(__name__)

#: How long workers may take to close their spiders before they are killed.
_CLOSE_DEADLINE_S = 30.0


@dataclass(slots=True)
class _PoolState:
    is_stopping: bool = False
    gave_up: bool = False
    restarts: int = 0
    suspects: list[HeldLease] = field(default_factory=list)


class WorkerPool:
    """Keeps as many workers as there are shares of slots, and divides leases.

    All methods are called in the thread of the event loop.
    """

    def __init__(
        self,
        starter: WorkerStarter,
        started: Iterable[StartedWorker],
        prefetch: int,
        tolerance: Tolerance,
        events: PoolEvents,
    ) -> None:
        """Take in the workers that were started.

        Args:
            starter: Starts others.
            started: The first workers.
            prefetch: Requests that each is sent beyond its slots, while plenty wait.
            tolerance: How many worker deaths the crawl tolerates.
            events: Notified of what workers do.
        """
        self._starter = starter
        self._prefetch = prefetch
        self._tolerance = tolerance
        self._events = events
        self._state = _PoolState()
        self._recycler = Recycler(self, tolerance.requests)
        self._sticky: StickyWorkers[WorkerHandle] = StickyWorkers()
        self._parked = ParkedLeases(self._sticky, events)
        self._silence = SilenceWatch(self, tolerance.silence_s)
        self._members = ElasticMembers(self, starter)
        self.workers = [WorkerHandle(*one, self) for one in started]

    @property
    def is_ending(self) -> bool:
        """Whether no more workers are started."""
        return self._state.is_stopping or self._state.gave_up

    @property
    def is_elastic(self) -> bool:
        """Whether workers come and go by themselves."""
        return self._starter.is_elastic

    @property
    def restarts(self) -> int:
        """How many workers died and were replaced."""
        return self._state.restarts

    async def connect(self) -> None:
        """Begin to talk to the workers."""
        for worker in list(self.workers):
            await self._connect(worker)
        await self._starter.open(self._members)
        self._silence.start()

    def has_capacity(self, waiting: int) -> bool:
        """Return whether some worker has capacity for another request.

        Args:
            waiting: How many requests wait. While there are plenty, each worker is
                sent some beyond its slots, so that it need not wait for the next.
        """
        state = self._state
        if state.suspects or state.gave_up or self._parked.is_full:
            return False
        return any(self._capacity_of(worker, waiting) > 0 for worker in self.workers)

    def free_capacity(self) -> int:
        """Return how many more requests the workers could do at once."""
        if self._state.suspects or self.is_ending:
            return 0
        return sum(max(0, self._capacity_of(worker, 0)) for worker in self.workers)

    def dispatch(
        self, lease: Lease, key: StickyKey | None = None
    ) -> asyncio.Future[Ended]:
        """Send *lease* to the worker with the most free capacity, or to that of *key*.

        Args:
            lease: The lease.
            key: What it shares with other requests, see ``StickyWorkers``.

        Returns:
            The worker, the result and all products. What waits for them has its turn
            before the slot is free: what ends a crawl because of them ends it before
            another request is dispatched. It closes a spool. Fails with a
            :class:`ConcurcrawlError` if nothing comes of the lease.
        """
        held = HeldLease(lease, asyncio.get_running_loop().create_future(), key=key)
        self._place(held)
        return held.end

    def send_all(self, message: ToWorker, *, but: WorkerHandle | None = None) -> None:
        """Send *message* to each worker except *but*."""
        for worker in self.workers:
            if worker is not but:
                worker.send(message)

    def on_message(self, worker: WorkerHandle, message: News) -> None:
        """Handle a message of a worker."""
        if isinstance(message, RequestResult):
            message.number = worker.results.receive()
        self._events.on_message(worker, message)
        if isinstance(message, RequestResult) and message.lease_id is not None:
            worker.progress += 1
            if not message.is_partial:
                self._end(worker, message, message.lease_id)

    def _end(self, worker: WorkerHandle, message: RequestResult, lease_id: int) -> None:
        """End a lease with its result."""
        held = worker.held.pop(lease_id)
        worker.ended += 1
        if held.end.done():
            held.drop_spool()
            worker.results.applied(message.number)
        else:
            held.end.set_result((worker, message, held.collect(message.products)))
        # After whatever that has scheduled: what applies the result runs in the next
        # turn of the loop, and what that schedules, the end of the crawl say, in the
        # one after it.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._release_slot, worker)

    def on_cannot_start(self, worker: WorkerHandle, reason: str) -> None:
        """Give up: what stops one worker from starting stops the next one too."""
        if not self._state.gave_up:
            logger.error("%s cannot start: %s", worker.name, reason)
            self._give_up(WorkersFailedError(self._state.restarts + 1))

    def claim_file(self, worker: WorkerHandle, path: str) -> None:
        """Note that *worker* has a file; give up if another one has it."""
        worker.files.add(path)
        for other in self.workers:
            if other is not worker and path in other.files:
                error = NotSharedError(path, f"{other.name} has it, too")
                self.on_cannot_start(worker, str(error))

    def on_lost(self, worker: WorkerHandle) -> None:
        """Give the leases of a worker that is gone to others."""
        if worker not in self.workers:
            return
        self.workers.remove(worker)
        worker.is_gone = True
        parked = self._parked.clear(worker)
        for held in worker.held.values():
            held.drop_spool()
        self._events.on_lost(worker)
        self._recycler.ended(worker)
        if self._is_final(worker, parked):
            return
        self._sticky.release(worker, worker.name)
        _report_loss(worker)
        if worker.connection.was_cut_off:  # no request is to blame
            lost = [one for one in worker.held.values() if not one.is_applied]
            self._fail(lost, LeaseReturnedError(worker.name))
        for held in [one for one in worker.held.values() if not one.end.done()]:
            held.deaths += worker.pid is not None  # else it was not the request
            if held.is_applied:
                held.end.set_exception(LocalRequestsLostError(worker.name))
            elif held.deaths >= self._tolerance.deaths:
                held.end.set_exception(DeadLetteredError(held.deaths))
            else:
                self._state.suspects.append(held)
        self._fail(parked, LeaseReturnedError(worker.name))
        self._replace(worker)

    def _is_final(self, worker: WorkerHandle, parked: list[HeldLease]) -> bool:
        """Return whether nothing that *worker* held is to be done again here."""
        if worker.is_stuck:
            # What waits to be done again would find no time either.
            unfinished = [*worker.held.values(), *parked, *self._state.suspects]
            self._fail(unfinished, UnfinishedError())
            self._state.suspects.clear()
        elif worker.is_retiring and not worker.held:
            self._events.on_recycled(worker)
        elif self.is_ending:
            self._fail([*worker.held.values(), *parked], WorkerLostError(worker.name))
        else:
            return False
        return True

    def release(self, worker: WorkerHandle, lease_ids: Iterable[int]) -> None:
        """Fail leases that *worker* has not begun, so that they wait again."""
        held = [
            worker.held.pop(lease_id)
            for lease_id in lease_ids
            if lease_id in worker.held
        ]
        worker.leased -= len(held)
        for one in held:
            one.drop_spool()
        self._fail(held, LeaseReturnedError(worker.name))
        self._recycler.end_if_done(worker)

    def recycle(self, worker: WorkerHandle) -> bool:
        """Let another take the place of *worker*, which finishes what it holds.

        Returns:
            Whether that begins now; it does not where it has begun, or the crawl ends.
        """
        return self._recycler.recycle(worker)

    def retire(self, worker: WorkerHandle) -> None:
        """Let *worker* finish what it holds and end; nothing takes its place."""
        self._recycler.retire(worker)

    def give_up(self, error: Exception) -> None:
        """End the crawl, which can go on no more, because of *error*."""
        if not self.is_ending:
            self._give_up(error)

    def on_retired(self, worker: WorkerHandle) -> None:
        """Release what waits for *worker*, which gets no more leases."""
        self._sticky.release(worker, worker.name)
        self._fail(self._parked.clear(worker), LeaseReturnedError(worker.name))

    def on_opened(self, worker: WorkerHandle) -> None:
        """Note that *worker* is ready for requests."""
        self._recycler.opened(worker)
        self._events.on_opened(worker)

    def add(self, slots: int, *, is_standby: bool = False) -> WorkerHandle:
        """Start another worker.

        Args:
            slots: Requests that it may have in flight.
            is_standby: Whether it gets no leases before it takes another's place.

        Raises:
            OSError: If the system starts no process.
            ConcurcrawlError: If workers cannot be started in this process.
        """
        worker = WorkerHandle(*self._starter.start(slots), self)
        worker.is_standby = is_standby
        self.workers.append(worker)
        connected = asyncio.ensure_future(self._connect(worker))
        connected.add_done_callback(lambda _: self.use_capacity())
        return worker

    def use_capacity(self) -> None:
        """Send what waits to workers with free capacity, and report the rest."""
        self._try_suspect()
        if self._parked.count:
            self._send_parked()
        self._events.on_capacity()

    def drain(self) -> None:
        """Begin no more requests that are here already: the crawl ends."""
        self.send_all(Drain())
        for worker in self.workers:
            self._fail(self._parked.clear(worker), LeaseReturnedError(worker.name))

    def stop(self, reason: str = "finished") -> None:
        """Ask all workers to end when they have done what they hold."""
        if not self._state.is_stopping:
            self._state.is_stopping = True
            for worker in self.workers:
                worker.stop(reason)

    def abandon(self) -> None:
        """Kill the workers that hold leases, which fail, and replace none of them."""
        self._state.is_stopping = True
        for worker in self.workers:
            self._fail(self._parked.clear(worker), WorkerLostError(worker.name))
            if worker.held:
                worker.kill()
            else:
                worker.stop()

    async def close(self) -> None:
        """Wait until all workers have ended; kill those that take too long."""
        self.stop()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _CLOSE_DEADLINE_S
        while self.workers and loop.time() < deadline_s:  # noqa: ASYNC110 - once a crawl
            await asyncio.sleep(0.005)
        self._silence.stop()
        for worker in self.workers:
            logger.error("%s does not end and is killed.", worker.name)
        await self._starter.close()

    def _release_slot(self, worker: WorkerHandle) -> None:
        worker.ended -= 1
        self._recycler.end_if_done(worker)
        self._members.settle()
        self.use_capacity()

    async def _connect(self, worker: WorkerHandle) -> None:
        for message in self._events.handshake():
            worker.send(message)
        try:
            await framing.connect(worker.connection.sock, lambda: worker)
        except OSError:  # it was gone before we could
            self.on_lost(worker)

    def _replace(self, worker: WorkerHandle) -> None:
        self._state.restarts += not worker.connection.was_cut_off
        if self._state.restarts > self._tolerance.restarts:
            self._give_up(WorkersFailedError(self._state.restarts))
            return
        if self.is_elastic:  # the launcher starts one where there is a place
            self._members.on_lost()
            self.use_capacity()
            return
        try:
            self._recycler.replace(worker)
        except (ConcurcrawlError, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._state.gave_up = True
        logger.error("%s", error)
        self._fail(self._state.suspects, error)
        for worker in self.workers:
            self._fail([*worker.held.values(), *self._parked.clear(worker)], error)
        self._state.suspects.clear()
        self._events.on_gave_up()

    def _try_suspect(self) -> None:
        """Send a request whose worker died to a worker that has no other.

        So the next death, if there is one, accuses that request alone.
        """
        if not self._state.suspects:
            return
        own = self._sticky.find(self._state.suspects[0].key)
        candidates = self.workers if own is None else [own]
        idle = next((w for w in candidates if w.takes_leases and not w.held), None)
        if idle is not None:
            self._send(self._state.suspects.pop(0), idle)
            self._events.on_capacity()

    def _place(self, held: HeldLease) -> None:
        """Send *held* to its worker, or let it wait for that."""
        freest = max(self.workers, key=lambda worker: self._capacity_of(worker, 1))
        worker = self._sticky.find(held.key) or freest
        if held.key is None or self._capacity_of(worker, 0) > 0:
            self._send(held, worker)
        else:
            is_other_free = self._capacity_of(freest, 0) > 0
            self._parked.add(held, worker, is_other_free=is_other_free)

    def _send_parked(self) -> None:
        """Send what waits for a worker that has free capacity now."""
        if self._state.suspects or self._state.is_stopping:
            return
        for worker in self.workers:
            while worker.parked and self._capacity_of(worker, 0) > -len(worker.parked):
                self._send(self._parked.pop(worker), worker)

    def _send(self, held: HeldLease, worker: WorkerHandle) -> None:
        self._sticky.bind(held.key, worker)
        worker.held[held.lease.lease_id] = held
        lease = held.lease
        self._events.on_dispatch(worker)
        worker.send(Dispatch(lease.lease_id, lease.queued_s, lease.payload))
        worker.leased += 1
        self._recycler.leased(worker)

    def _capacity_of(self, worker: WorkerHandle, waiting: int) -> int:
        if not worker.takes_leases:
            return -UNLIMITED
        # A suspect is sent to a worker that holds nothing, so it is the first of all.
        first = next(iter(worker.held.values()), None)
        if first is not None and first.deaths:
            return -len(worker.parked)
        is_plenty = waiting > (1 + self._prefetch) * len(self.workers)
        # One whose share has been cut would begin at once what is sent ahead.
        is_whole = worker.slots == worker.most_slots
        prefetch = self._prefetch if is_plenty and is_whole else 0
        taken = len(worker.held) + worker.ended + len(worker.parked)
        return (worker.slots or UNLIMITED) + prefetch - taken

    def _fail(self, held: Iterable[HeldLease], error: Exception) -> None:
        for one in held:
            if not one.end.done():
                one.end.set_exception(error)


def _report_loss(worker: WorkerHandle) -> None:
    if worker.connection.was_cut_off:  # machines come and go: that is no error
        sentence = "%s (process %s) was lost with %d request(s), which are done again."
        level = logging.WARNING
    else:
        sentence = "%s (process %s) died with %d request(s), which are done again."
        level = logging.ERROR
    logger.log(level, sentence, worker.name, worker.pid or "unknown", len(worker.held))
