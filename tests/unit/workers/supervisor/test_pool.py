"""Which worker is leased what, and what becomes of that."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.errors import (
    LeaseReturnedError,
    LocalRequestsLostError,
    WorkersFailedError,
)
from concurcrawl.frontier.base import Lease
from concurcrawl.workers.protocol.messages import Product, RequestResult
from concurcrawl.workers.supervisor.pool import Tolerance, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEY = ("context", "a")


class Launcher:
    """Starts nothing; keeps the ends that workers would have."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.ours: list[socket.socket] = []

    def start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        self.ours.append(ours)
        return ours

    def close(self) -> None:
        for end in self.ends:
            end.close()


class Bench:
    """A pool of two workers with one slot each."""

    def __init__(self) -> None:
        self.launcher = Launcher()
        self.parked: list[int] = []
        self.pool = WorkerPool(
            (1, 1),
            0,
            b"",
            (),
            Tolerance(deaths=3, restarts=3),
            lambda *_: None,
            launcher=self.launcher,  # type: ignore[arg-type]
        )
        self.first = self.one, self.two = tuple(self.pool.workers)
        self.pool.on_park = lambda lease: self.parked.append(lease.lease_id)
        self.pool.on_unpark = lambda lease: self.parked.remove(lease.lease_id)

    def lend(self, lease_id: int, key: Any = None) -> asyncio.Future[Any]:
        lease = Lease(lease_id, "a.example", b"", 0.0)
        end = self.pool.lend(lease, lambda outcome, products: [*products], key)
        end.add_done_callback(asyncio.Future.exception)  # also if no test looks at it
        return end

    async def close(self) -> None:
        """Let those that were connected, the successors of lost ones, see the end."""
        self.pool.stop()
        successors = [one for one in self.pool.workers if one not in self.first]
        self.launcher.close()
        while any(one in self.pool.workers for one in successors):  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.001)
        for end in self.launcher.ours:
            end.close()


def on_bench(test: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    async def run() -> None:
        bench = Bench()
        try:
            await test(bench)
        finally:
            await bench.close()

    def test_it() -> None:
        asyncio.run(run())

    return test_it


@on_bench
async def test_requests_with_one_key_wait_for_the_worker_that_has_it(
    bench: Bench,
) -> None:
    for lease_id in (1, 2, 3):
        bench.lend(lease_id, KEY)
    assert ([*bench.one.held], bench.parked) == ([1], [2, 3])
    assert bench.pool.has_room(0)
    bench.lend(4)
    assert [*bench.two.held] == [4]
    assert not bench.pool.has_room(0)
    bench.pool.heard(bench.one, RequestResult(1))
    await asyncio.sleep(0)
    assert ([*bench.one.held], bench.parked) == ([2], [3])


@on_bench
async def test_what_waits_for_a_worker_waits_in_the_frontier_once_the_crawl_ends(
    bench: Bench,
) -> None:
    bench.lend(1, KEY)
    parked = bench.lend(2, KEY)
    bench.pool.drain()
    assert isinstance(parked.exception(), LeaseReturnedError)
    bench.pool.heard(bench.one, RequestResult(1))
    await asyncio.sleep(0)
    assert not bench.one.held


@on_bench
async def test_another_worker_begins_anew_when_that_of_a_key_is_gone(
    bench: Bench,
) -> None:
    bench.lend(1, KEY)
    parked = bench.lend(2, KEY)
    bench.one.held.clear()
    bench.pool.lost(bench.one)
    assert isinstance(parked.exception(), LeaseReturnedError)
    bench.lend(3)
    bench.lend(2, KEY)
    held = [[*worker.held] for worker in bench.pool.workers]
    assert sorted(held) == [[2], [3]]


@on_bench
async def test_a_partial_result_holds_the_lease(bench: Bench) -> None:
    end = bench.lend(1)
    item = Product(True, b"item")
    partial = RequestResult(1, products=[item], is_partial=True)
    assert bench.one.held[1].take_partial(partial) == [item]
    bench.pool.heard(bench.one, partial)
    assert not end.done()
    bench.pool.heard(bench.one, RequestResult(1))
    assert end.result() == []


@pytest.mark.parametrize("is_applied", [False, True])
def test_a_lease_is_not_done_again_once_something_of_it_was_applied(
    is_applied: bool,
) -> None:
    @on_bench
    async def lose(bench: Bench) -> None:
        end = bench.lend(1)
        products = [Product(True, b"item")] if is_applied else []
        bench.one.pid = 1
        bench.one.held[1].take_partial(
            RequestResult(1, products=products, is_partial=True)
        )
        bench.pool.lost(bench.one)
        assert end.done() == is_applied
        if is_applied:
            assert isinstance(end.exception(), LocalRequestsLostError)

    lose()


@on_bench
async def test_a_file_that_two_workers_open_ends_the_crawl(bench: Bench) -> None:
    end = bench.lend(1)
    bench.pool.take_file(bench.one, "/seen")
    bench.pool.take_file(bench.one, "/seen")
    assert not end.done()
    bench.pool.take_file(bench.two, "/seen")
    assert isinstance(end.exception(), WorkersFailedError)
