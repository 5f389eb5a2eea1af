"""What a worker says, and to whom it goes, with a connection that is not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from concurcrawl.frontier.base import Lease
from concurcrawl.watchdog.stall import Waiting
from concurcrawl.workers.launch.base import WorkerConnection
from concurcrawl.workers.protocol.framing import frame
from concurcrawl.workers.protocol.messages.leases import Returned
from concurcrawl.workers.protocol.messages.lifecycle import (
    Failed,
    Inspect,
    Inspected,
    Pause,
    Ping,
    Pong,
    Ready,
    Stop,
)
from concurcrawl.workers.protocol.messages.results import (
    PartialResult,
    Product,
    RequestResult,
)
from concurcrawl.workers.protocol.spool import Spool
from concurcrawl.workers.supervisor.worker_handle import (
    AppliedResults,
    HeldLease,
    WorkerHandle,
)
from tests.support.fakes import FakeTransport, in_fake_time, settled


class FakePool:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_opened(self, worker: WorkerHandle) -> None:
        self.calls.append(("opened", worker.pid))

    def on_message(self, worker: WorkerHandle, message: Any) -> None:
        self.calls.append(("heard", message))

    def on_cannot_start(self, worker: WorkerHandle, reason: str) -> None:
        self.calls.append(("cannot start", reason))

    def on_lost(self, worker: WorkerHandle) -> None:
        self.calls.append(("lost", worker.name))


class Bench:
    """A handle, its connection and its pool."""

    def __init__(self, *, slots: int = 2) -> None:
        self.pool = FakePool()
        sock: Any = None
        self.worker = WorkerHandle("worker-1", slots, WorkerConnection(sock), self.pool)
        self.transport = FakeTransport()

    def hear(self, *messages: Any) -> None:
        self.worker.data_received(b"".join(frame(one) for one in messages))

    def connect(self) -> None:
        self.worker.connection_made(self.transport)

    def hold(self, lease_id: int) -> HeldLease:
        lease = Lease(lease_id, "a.example", b"", 0.0)
        end: Any = None
        held = HeldLease(lease, end)
        self.worker.held[lease_id] = held
        return held


@pytest.fixture
def bench() -> Bench:
    return Bench()


SAID: list[Any] = [Returned((1, 2)), RequestResult(3), Pause(True)]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_messages_are_heard_whole_and_in_order_however_they_are_cut(
    bench: Bench, size: int
) -> None:
    data = b"".join(frame(one) for one in SAID)
    for at in range(0, len(data), size):
        bench.worker.data_received(data[at : at + size])
    assert bench.pool.calls == [("heard", message) for message in SAID]


@in_fake_time
async def test_what_is_sent_before_the_connection_goes_first_and_in_order(
    bench: Bench,
) -> None:
    bench.worker.send(Pause(True))
    bench.worker.send(Ping())
    await settled()
    assert bench.transport.received() == []
    bench.connect()
    bench.worker.send(Pause(False))
    await settled()
    assert bench.transport.received() == [Pause(True), Ping(), Pause(False)]


@in_fake_time
async def test_what_is_sent_in_one_turn_is_one_write(bench: Bench) -> None:
    bench.connect()
    writes = bench.transport.writes
    bench.worker.send(Pause(True))
    bench.worker.send(Ping())
    await settled()
    assert bench.transport.writes == writes + 1
    assert bench.transport.received() == [Pause(True), Ping()]


def test_a_worker_that_is_ready_has_a_process(bench: Bench) -> None:
    assert bench.worker.in_flight is None
    bench.hear(Ready(17))
    assert bench.pool.calls == [("opened", 17)]
    assert bench.worker.in_flight == 0


def test_prefetched_leases_are_not_in_flight(bench: Bench) -> None:
    bench.hear(Ready(17))
    for lease_id in (1, 2, 3):
        bench.hold(lease_id)
    assert bench.worker.in_flight == 2


def test_a_worker_that_fails_to_start_says_why_and_is_let_go(bench: Bench) -> None:
    bench.connect()
    bench.hear(Failed("no module named shop"))
    assert bench.pool.calls == [("cannot start", "no module named shop")]
    assert bench.transport.is_closed


def test_an_answer_ends_the_silence_and_may_be_progress(bench: Bench) -> None:
    bench.worker.silent_for = 3
    bench.hear(Pong(False))
    assert (bench.worker.silent_for, bench.worker.progress) == (0, 0)
    bench.hear(Pong(True))
    assert bench.worker.progress == 1


def test_a_partial_result_waits_for_its_result_unheard(bench: Bench) -> None:
    products = [Product(True, b"a"), Product(False, b"b")]
    held = bench.hold(1)
    bench.hear(PartialResult(1, products[:1]), PartialResult(1, products[1:]))
    assert bench.pool.calls == []
    assert bench.worker.progress == 2
    assert held.spool is not None
    assert [*held.spool] == products
    held.drop_spool()
    assert held.spool is None


def test_a_result_that_holds_its_lease_brings_what_was_sent_ahead(
    bench: Bench,
) -> None:
    held = bench.hold(1)
    ahead, last = Product(True, b"a"), Product(True, b"b")
    bench.hear(PartialResult(1, [ahead]))
    result = RequestResult(1, products=[last], is_partial=True)
    products = held.partial_products(result)
    assert [*products] == [ahead, last]
    assert isinstance(products, Spool)
    products.close()
    assert held.is_applied
    assert held.spool is None


def test_the_end_of_the_connection_is_the_end_of_the_worker(bench: Bench) -> None:
    bench.connect()
    bench.worker.connection_lost(ConnectionResetError())
    assert bench.pool.calls == [("lost", "worker-1")]


@in_fake_time
async def test_a_worker_is_told_to_stop_once(bench: Bench) -> None:
    bench.connect()
    assert bench.worker.stop("enough")
    assert not bench.worker.stop("finished")
    await settled()
    assert bench.transport.received() == [Stop("enough")]


@in_fake_time
async def test_a_worker_says_what_waits_in_it() -> None:
    bench = Bench()
    bench.connect()
    assert await bench.worker.look() is None  # it is not open
    bench.hear(Ready(17))
    look = asyncio.ensure_future(bench.worker.look())
    await settled()
    assert bench.transport.received() == [Inspect()]
    waiting = (Waiting("<GET http://a/>", "for free capacity", ""),)
    bench.hear(Inspected(waiting))
    assert await look == waiting


@in_fake_time
async def test_a_worker_that_is_slow_to_say_is_busy() -> None:
    bench = Bench()
    bench.connect()
    bench.hear(Ready(17))
    assert await bench.worker.look() is None
    bench.hear(Inspected(()))  # too late, and no error


def test_results_count_as_applied_up_to_the_first_that_is_not() -> None:
    results = AppliedResults()
    first, second, third = (results.receive() for _ in range(3))
    results.applied(second)
    assert results.count == 0
    results.applied(first)
    results.applied(first)
    assert results.count == 2
    results.applied(third)
    assert results.count == 3
