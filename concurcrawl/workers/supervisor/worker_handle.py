"""One worker process, seen from the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.messages.lifecycle import (
    Failed,
    Inspect,
    Inspected,
    Pong,
    Ready,
    Stop,
)
from concurcrawl.workers.protocol.messages.results import PartialResult, RequestResult
from concurcrawl.workers.protocol.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurcrawl.frontier.base import Lease
    from concurcrawl.watchdog.stall import Waiting
    from concurcrawl.workers.launch.base import WorkerConnection
    from concurcrawl.workers.protocol.messages.directions import ToWorker, Traffic
    from concurcrawl.workers.protocol.messages.results import Product
    from concurcrawl.workers.protocol.messages.state import ReadStats
    from concurcrawl.workers.supervisor.sticky import StickyKey

    #: All products of a lease, those in partial results included.
    Products = Sequence[Product] | Spool

    #: How a lease has ended: its worker, the result and all products.
    Ended = tuple["WorkerHandle", RequestResult, Products]

    #: What a worker says that is not about itself.
    News = RequestResult | ReadStats | Traffic

#: Seconds that a worker that is not busy may take to say what it does.
_ANSWER_S = 2.0

#: Leases that a worker without a limit is given.
UNLIMITED = 1000


class Listener(Protocol):
    """What a worker's handle reports to; a pool is one."""

    def on_opened(self, worker: WorkerHandle) -> None:
        """Take in that *worker* is ready for requests."""

    def on_message(self, worker: WorkerHandle, message: News) -> None:
        """Take in what *worker* said."""

    def on_cannot_start(self, worker: WorkerHandle, reason: str) -> None:
        """Take in that *worker* ends because it cannot do its work."""

    def on_lost(self, worker: WorkerHandle) -> None:
        """Take in that *worker* is gone."""


@dataclass(slots=True)
class HeldLease:
    """A lease that a worker has.

    Attributes:
        lease: The lease.
        end: Set to the worker, its result and all products, or to why there is none.
        deaths: Workers that have died while they held it.
        spool: Its partial results, if there are any.
        is_applied: Whether requests or items of it were applied: it must not be done
            again.
        key: What it shares with other requests, in one worker only.
    """

    lease: Lease
    end: asyncio.Future[Ended]
    deaths: int = 0
    spool: Spool | None = None
    is_applied: bool = False
    key: StickyKey | None = None

    def keep(self, products: Sequence[Product]) -> None:
        """Add a partial result to the spool."""
        if self.spool is None:
            self.spool = Spool()
        self.spool.add(products)

    def collect(self, products: Sequence[Product]) -> Products:
        """Return *products* and those in the spool, which the caller closes."""
        if self.spool is None:
            return products
        self.keep(products)
        spool, self.spool = self.spool, None
        return spool

    def partial_products(self, result: RequestResult) -> Products:
        """Return what came up to now; nothing where all is kept for the end."""
        if not result.products:
            return ()
        self.is_applied = True
        return self.collect(result.products)

    def drop_spool(self) -> None:
        """Drop partial results: the request is done again, or never."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None


class AppliedResults:
    """How many of a worker's results were applied, counted without gaps.

    Over Redis a result that has to be committed is applied after others that came
    later. A worker is told of the first ones only, up to one that is not applied yet.

    Attributes:
        count: So many of the first results have been applied, or dropped.
    """

    def __init__(self) -> None:
        self.count = 0
        self._received = 0
        self._early: set[int] = set()

    def receive(self) -> int:
        """Return the number of a result that has come."""
        self._received += 1
        return self._received

    def applied(self, number: int) -> None:
        """Note that the result of this number was applied. Twice is as good as once."""
        if number <= self.count:
            return
        self._early.add(number)
        while self.count + 1 in self._early:
            self.count += 1
            self._early.discard(self.count)


class WorkerHandle(asyncio.Protocol):
    """One worker process, seen from the supervisor.

    Invariant: ``held`` has each lease that was sent and not yet answered.

    Attributes:
        slots: Requests that it may have in flight.
        most_slots: What it was made with, which it never exceeds.
        leased: Leases that it was sent, without those that it returned.
        progress: Counts messages about its requests.
        successor: The worker that is to take its place, once that has been started.
        is_standby: It waits to take another's place and gets no leases yet.
        is_retiring: It gets no more leases and ends once those it holds are done.
        is_stuck: It is killed after a stop was asked for; its leases are released.
    """

    def __init__(
        self, name: str, slots: int, connection: WorkerConnection, pool: Listener
    ) -> None:
        self.name = name
        self.slots = self.most_slots = slots
        self.connection = connection
        self.held: dict[int, HeldLease] = {}
        self.pid: int | None = None
        self.is_gone = False
        self.ended = 0  # leases whose slots are not free yet, see WorkerPool
        self.silent_for = 0  # looks in a row without an answer
        self.results = AppliedResults()
        self.parked: deque[HeldLease] = deque()  # what waits for this worker
        self.files: set[str] = set()  # that no other process can have
        self.unleased: Counter[str] = Counter()  # requests at a site without a lease id
        self.leased = 0
        self.progress = 0
        self.successor: WorkerHandle | None = None
        self.is_standby = False
        self.is_retiring = False
        self.is_stuck = False
        self._is_stopping = False
        self._is_closed = False
        self._pool = pool
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._backlog: list[bytes] = []
        self._inspected: asyncio.Future[tuple[Waiting, ...] | None]

    @property
    def takes_leases(self) -> bool:
        """Whether it may be sent another lease."""
        return not (self.is_standby or self.is_retiring or self._is_closed)

    @property
    def local_pid(self) -> int | None:
        """Its process id if it runs on this machine and has said so."""
        return self.pid if self.connection.is_local else None

    @property
    def in_flight(self) -> int | None:
        """Leases it is working on, without prefetched ones; None: not open yet."""
        if self.pid is None:
            return None
        return min(len(self.held), self.slots or UNLIMITED)

    async def look(self) -> tuple[Waiting, ...] | None:
        """Return the requests in progress, or None if something may move them.

        A worker that does not answer is busy.
        """
        if self.pid is None:
            return None
        self._inspected = asyncio.get_running_loop().create_future()
        self.send(Inspect())
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._inspected, _ANSWER_S)
        return None

    def send(self, message: ToWorker) -> None:
        """Send *message* in the next turn of the event loop, once we are connected.

        What is sent in one turn leaves in one write: a write is a call of the system,
        which wakes the worker, and several leases are often dispatched together.
        """
        self._backlog.append(frame(message))
        if self._transport is not None and len(self._backlog) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        data = b"".join(self._backlog)
        self._backlog.clear()
        self._transport.write(data)  # type: ignore[union-attr] # we are connected

    def stop(self, reason: str = "finished") -> bool:
        """Ask it to end once the leases it holds are done.

        Returns:
            Whether this is the first time.
        """
        is_first = not self._is_stopping
        if is_first:
            self._is_stopping = True
            self.send(Stop(reason))
        return is_first

    def kill(self) -> None:
        """Kill the process and its children, if its id is known."""
        self.connection.kill(self.pid)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._write()

    @override
    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            match message:
                case Ready():
                    self.pid = message.pid
                    self._pool.on_opened(self)
                case Pong():
                    self.silent_for = 0
                    self.progress += message.is_moving
                case Inspected():
                    if not self._inspected.done():  # it was slow to answer
                        self._inspected.set_result(message.waiting)
                case PartialResult():
                    self.progress += 1
                    self.held[message.lease_id].keep(message.products)
                case Failed():
                    self._pool.on_cannot_start(self, message.reason)
                    self._transport.close()  # type: ignore[union-attr] # it sent this
                case _:
                    self._pool.on_message(self, message)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        if self._is_stopping:
            self._pool.on_lost(self)
        else:
            self.connection.when_certain(lambda: self._pool.on_lost(self))
