"""Which worker is leased what, and what becomes of that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.errors import (
    DeadLetteredError,
    LeaseReturnedError,
    LocalRequestsLostError,
    UnfinishedError,
    WorkerLostError,
    WorkersFailedError,
)
from concurcrawl.frontier.base import Lease
from concurcrawl.workers.protocol.messages.leases import Dispatch
from concurcrawl.workers.protocol.messages.lifecycle import (
    Drain,
    ImportPath,
    Pause,
    Ping,
    Pong,
    Ready,
    Stop,
    WorkerInit,
)
from concurcrawl.workers.protocol.messages.results import Product, RequestResult
from concurcrawl.workers.supervisor.pool import WorkerPool
from concurcrawl.workers.supervisor.pool_events import PoolEvents
from concurcrawl.workers.supervisor.starter import WorkerStarter
from concurcrawl.workers.supervisor.tolerance import Tolerance
from tests.support.fakes import FakeLauncher, in_fake_time, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

KEY = ("context", "a")


class FakeEvents(PoolEvents):
    """Keeps what the pool reports.

    Attributes:
        parked: Leases that wait for one worker.
        first: What a worker that starts is sent.
        on_free: Called when capacity is free.
        on_end: Called when the pool gives up.
    """

    def __init__(self) -> None:
        self.parked: list[int] = []
        self.first: list[Any] = []
        self.on_free: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None

    def handshake(self) -> list[Any]:
        return self.first

    def on_message(self, worker: WorkerHandle, message: Any) -> None:
        pass

    def on_capacity(self) -> None:
        self.on_free()

    def on_dispatch(self, worker: WorkerHandle) -> None:
        pass

    def on_parked(self, lease: Lease) -> None:
        self.parked.append(lease.lease_id)

    def on_unparked(self, lease: Lease) -> None:
        self.parked.remove(lease.lease_id)

    def on_opened(self, worker: WorkerHandle) -> None:
        pass

    def on_lost(self, worker: WorkerHandle) -> None:
        pass

    def on_recycled(self, worker: WorkerHandle) -> None:
        pass

    def on_gave_up(self) -> None:
        self.on_end()


class Bench:
    """A pool of workers that are not there, two with one slot each by default."""

    def __init__(
        self, slots: tuple[int, ...] = (1, 1), prefetch: int = 0, **tolerance: Any
    ) -> None:
        self.launcher = FakeLauncher()
        self.events = FakeEvents()
        self.killed: list[str] = []
        starter = WorkerStarter(self.launcher, b"", ImportPath())
        self.pool = WorkerPool(
            starter,
            [starter.start(share) for share in slots],
            prefetch,
            Tolerance(**{"deaths": 3, "restarts": 3, **tolerance}),
            self.events,
        )
        self.one, self.two = self.pool.workers[:2]
        self._connected: set[WorkerHandle] = set()
        self._first = set(self.pool.workers)

    @property
    def parked(self) -> list[int]:
        """Leases that wait for one worker."""
        return self.events.parked

    def dispatch(self, lease_id: int, key: Any = None) -> asyncio.Future[Any]:
        lease = Lease(lease_id, "a.example", b"", 0.0)
        end = self.pool.dispatch(lease, key)
        end.add_done_callback(asyncio.Future.exception)  # also if no test looks at it
        return end

    def held(self) -> list[list[int]]:
        """Lease ids of each worker, in the order of the pool."""
        return [[*worker.held] for worker in self.pool.workers]

    async def finish(self, worker: WorkerHandle, *lease_ids: int) -> None:
        for lease_id in lease_ids:
            self.pool.on_message(worker, RequestResult(lease_id))
        await settled()

    async def lose(self, worker: WorkerHandle, pid: int | None = 1) -> None:
        """Have *worker* die; its successor is there afterwards."""
        worker.pid = pid
        self.pool.on_lost(worker)
        await settled()

    async def connect(self) -> None:
        await self.pool.connect()
        self._connected.update(self.pool.workers)
        for worker in self.pool.workers:
            open_worker: Any = worker
            open_worker.kill = lambda name=worker.name: self.killed.append(name)

    async def close(self) -> None:
        """Let those that were connected, the successors of lost ones, see the end."""
        self.pool.stop()
        there = [
            one
            for one in self.pool.workers
            if one not in self._first or one in self._connected
        ]
        self.launcher.close()
        while any(one in self.pool.workers for one in there):  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.001)
        self.pool._silence.stop()
        self.launcher.close_all()


def on_bench_of(
    **made_with: Any,
) -> Callable[[Callable[[Bench], Awaitable[None]]], Callable[[], None]]:
    """Run a test with a bench that is made with what is given."""

    def decorate(test: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
        @in_fake_time
        async def run() -> None:
            bench = Bench(**made_with)
            try:
                await test(bench)
            finally:
                await bench.close()

        def test_it() -> None:
            run()

        return test_it

    return decorate


on_bench = on_bench_of()


@on_bench
async def test_requests_with_one_key_wait_for_the_worker_that_has_it(
    bench: Bench,
) -> None:
    for lease_id in (1, 2, 3):
        bench.dispatch(lease_id, KEY)
    assert ([*bench.one.held], bench.parked) == ([1], [2, 3])
    assert bench.pool.has_capacity(0)
    bench.dispatch(4)
    assert [*bench.two.held] == [4]
    assert not bench.pool.has_capacity(0)
    bench.pool.on_message(bench.one, RequestResult(1))
    await settled()
    assert ([*bench.one.held], bench.parked) == ([2], [3])


@on_bench
async def test_what_waits_for_a_worker_waits_in_the_frontier_once_the_crawl_ends(
    bench: Bench,
) -> None:
    bench.dispatch(1, KEY)
    parked = bench.dispatch(2, KEY)
    bench.pool.drain()
    assert isinstance(parked.exception(), LeaseReturnedError)
    bench.pool.on_message(bench.one, RequestResult(1))
    await settled()
    assert not bench.one.held


@on_bench
async def test_another_worker_begins_anew_when_that_of_a_key_is_gone(
    bench: Bench,
) -> None:
    bench.dispatch(1, KEY)
    parked = bench.dispatch(2, KEY)
    bench.one.held.clear()
    bench.pool.on_lost(bench.one)
    assert isinstance(parked.exception(), LeaseReturnedError)
    bench.dispatch(3)
    bench.dispatch(2, KEY)
    held = [[*worker.held] for worker in bench.pool.workers]
    assert sorted(held) == [[2], [3]]


@on_bench
async def test_a_partial_result_holds_the_lease(bench: Bench) -> None:
    end = bench.dispatch(1)
    item = Product(True, b"item")
    partial = RequestResult(1, products=[item], is_partial=True)
    assert bench.one.held[1].partial_products(partial) == [item]
    bench.pool.on_message(bench.one, partial)
    assert not end.done()
    bench.pool.on_message(bench.one, RequestResult(1))
    assert end.result() == (bench.one, RequestResult(1, number=2), [])


@pytest.mark.parametrize("is_applied", [False, True])
def test_a_lease_is_not_done_again_once_something_of_it_was_applied(
    is_applied: bool,
) -> None:
    @on_bench
    async def lose(bench: Bench) -> None:
        end = bench.dispatch(1)
        products = [Product(True, b"item")] if is_applied else []
        bench.one.pid = 1
        bench.one.held[1].partial_products(
            RequestResult(1, products=products, is_partial=True)
        )
        bench.pool.on_lost(bench.one)
        assert end.done() == is_applied
        if is_applied:
            assert isinstance(end.exception(), LocalRequestsLostError)

    lose()


@on_bench
async def test_a_file_that_two_workers_open_ends_the_crawl(bench: Bench) -> None:
    end = bench.dispatch(1)
    bench.pool.claim_file(bench.one, "/seen")
    bench.pool.claim_file(bench.one, "/seen")
    assert not end.done()
    bench.pool.claim_file(bench.two, "/seen")
    assert isinstance(end.exception(), WorkersFailedError)


@on_bench_of(slots=(2, 1))
async def test_leases_go_where_most_capacity_is_free(bench: Bench) -> None:
    for lease_id in (1, 2, 3):
        assert bench.pool.has_capacity(0)
        bench.dispatch(lease_id)
    assert bench.held() == [[1, 3], [2]] or bench.held() == [[1, 2], [3]]
    assert not bench.pool.has_capacity(0)
    assert bench.pool.free_capacity() == 0
    await bench.finish(bench.two, *bench.two.held)
    assert bench.pool.free_capacity() == 1


@on_bench_of(prefetch=1)
async def test_one_more_is_leased_to_each_while_plenty_wait(bench: Bench) -> None:
    for lease_id in (1, 2):
        bench.dispatch(lease_id)
    assert not bench.pool.has_capacity(4)
    assert bench.pool.has_capacity(5)


@on_bench
async def test_capacity_is_free_only_after_the_result_was_taken(bench: Bench) -> None:
    offers: list[int] = []
    bench.events.on_free = lambda: offers.append(bench.pool.free_capacity())
    end = bench.dispatch(1)
    bench.pool.on_message(bench.one, RequestResult(1))
    assert end.done()
    assert (bench.pool.free_capacity(), offers) == (1, [])
    await settled()
    assert offers == [2]


@on_bench
async def test_capacity_is_free_after_what_a_result_has_scheduled(
    bench: Bench,
) -> None:
    order: list[str] = []
    bench.events.on_free = lambda: order.append("free")
    end = bench.dispatch(1)

    async def apply() -> None:
        await end
        order.append("applied")
        asyncio.get_running_loop().call_soon(order.append, "closed")

    task = asyncio.ensure_future(apply())
    await settled()
    bench.pool.on_message(bench.one, RequestResult(1))
    await task
    await settled()
    assert order == ["applied", "closed", "free"]


@on_bench_of(slots=(2, 2))
async def test_what_a_dead_worker_held_is_done_again_one_by_one(bench: Bench) -> None:
    bench.dispatch(1)
    bench.dispatch(2)
    bench.dispatch(3)
    assert bench.held() == [[1, 3], [2]]
    held = bench.one.held[1]
    await bench.lose(bench.one)
    assert held.deaths == 1
    assert bench.held() == [[2], [1]]  # alone, so that the next death is its own
    assert not bench.pool.has_capacity(0)  # while a suspect waits
    await bench.finish(bench.two, 2)
    assert bench.held() == [[3], [1]]
    assert not bench.pool.has_capacity(0)  # beside suspects
    await bench.finish(bench.two, 3)
    assert bench.pool.has_capacity(0)


@on_bench_of(restarts=9)
async def test_a_request_is_given_up_after_so_many_deaths(bench: Bench) -> None:
    end = bench.dispatch(1)
    for _ in range(3):
        assert not end.done()
        (holder,) = [worker for worker in bench.pool.workers if worker.held]
        await bench.lose(holder)
    error = end.exception()
    assert isinstance(error, DeadLetteredError)
    assert error.attempts == 3
    assert bench.pool.has_capacity(0)


@on_bench_of(restarts=9)
async def test_the_death_of_a_worker_that_never_opened_accuses_no_request(
    bench: Bench,
) -> None:
    end = bench.dispatch(1)
    for _ in range(4):
        (holder,) = [worker for worker in bench.pool.workers if worker.held]
        await bench.lose(holder, pid=None)
    assert not end.done()


@on_bench_of(restarts=1)
async def test_too_many_restarts_end_the_crawl(bench: Bench) -> None:
    given_up: list[bool] = []
    bench.events.on_end = lambda: given_up.append(True)
    ends = [bench.dispatch(1), bench.dispatch(2)]
    await bench.lose(bench.one)
    assert given_up == []
    await bench.lose(bench.two)
    assert given_up == [True]
    assert len(bench.pool.workers) == 1
    assert [type(end.exception()) for end in ends] == [WorkersFailedError] * 2
    assert bench.pool.is_ending
    assert not bench.pool.has_capacity(0)


@on_bench
async def test_a_worker_that_cannot_be_started_again_ends_the_crawl(
    bench: Bench,
) -> None:
    end = bench.dispatch(1)
    bench.launcher.error = OSError("no more processes")
    await bench.lose(bench.one)
    assert end.exception() is bench.launcher.error
    assert bench.pool.is_ending


@on_bench
async def test_leases_that_a_worker_returns_wait_again(bench: Bench) -> None:
    end, other = bench.dispatch(1), bench.dispatch(2)
    bench.pool.release(bench.one, [1, 2, 99])
    assert isinstance(end.exception(), LeaseReturnedError)
    assert not other.done()  # the other worker has it
    assert (bench.one.leased, bench.pool.free_capacity()) == (0, 1)


@on_bench
async def test_after_a_stop_no_worker_is_replaced(bench: Bench) -> None:
    end = bench.dispatch(1)
    bench.pool.stop("enough")
    bench.pool.stop("shutdown")
    await bench.connect()
    await settled()
    said = [
        [one for one in far.received() if isinstance(one, Stop)]
        for far in bench.launcher.ends
    ]
    assert said == [[Stop("enough")]] * 2
    await bench.lose(bench.one)
    assert isinstance(end.exception(), WorkerLostError)
    assert bench.pool.workers == [bench.two]


@on_bench
async def test_a_stuck_worker_that_was_killed_leaves_its_requests_unfinished(
    bench: Bench,
) -> None:
    ends = [bench.dispatch(1, KEY), bench.dispatch(3, KEY), bench.dispatch(2)]
    bench.one.is_stuck = True
    await bench.lose(bench.one)
    kinds = [type(end.exception()) if end.done() else None for end in ends]
    assert kinds == [UnfinishedError, UnfinishedError, None]
    assert bench.pool.workers == [bench.two]


@on_bench
async def test_abandoned_workers_are_killed_if_they_hold_something(
    bench: Bench,
) -> None:
    await bench.connect()
    end = bench.dispatch(1)
    bench.pool.abandon()
    await settled()
    assert bench.killed == [bench.one.name]
    assert [Stop() in far.received() for far in bench.launcher.ends] == [False, True]
    await bench.lose(bench.one)
    assert isinstance(end.exception(), WorkerLostError)


@on_bench_of(silence_s=4.0)
async def test_a_worker_that_holds_something_and_does_not_answer_is_killed(
    bench: Bench,
) -> None:
    await bench.connect()
    bench.dispatch(1)
    bench.dispatch(2)
    for pid, far in enumerate(bench.launcher.ends, 1):
        far.send(Ready(pid))
    pings = [0, 0]
    answers = bench.launcher.ends[1]
    for _ in range(8):
        await asyncio.sleep(1)
        for number, far in enumerate(bench.launcher.ends):
            pings[number] += far.received().count(Ping())
        answers.send(Pong(False))
    assert bench.killed == [bench.one.name]
    assert pings[0] == 1
    assert pings[1] >= 4


@on_bench_of(silence_s=4.0)
async def test_a_worker_without_leases_may_be_silent(bench: Bench) -> None:
    await bench.connect()
    for far in bench.launcher.ends:
        far.send(Ready(1))
    await asyncio.sleep(20)
    assert bench.killed == []


@on_bench
async def test_a_worker_is_told_what_to_be_then_the_handshake_then_its_leases(
    bench: Bench,
) -> None:
    bench.dispatch(1)
    bench.events.first = [Drain()]
    await bench.connect()
    bench.pool.send_all(Pause(True), but=bench.two)
    await settled()
    said = [[type(one) for one in far.received()] for far in bench.launcher.ends]
    assert said == [[WorkerInit, Dispatch, Drain, Pause], [WorkerInit, Drain]]
