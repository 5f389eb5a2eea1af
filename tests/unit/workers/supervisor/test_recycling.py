"""When workers make way for others, with a pool that starts no processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from concurcrawl.workers.launch.base import WorkerConnection
from concurcrawl.workers.supervisor.pool import WorkerPool
from concurcrawl.workers.supervisor.recycling import Recycler
from concurcrawl.workers.supervisor.tolerance import Tolerance
from concurcrawl.workers.supervisor.worker_handle import WorkerHandle
from tests.support.fakes import in_fake_time


class FakeWorker:
    """A worker without a process."""

    def __init__(self, pid: int | None = 1) -> None:
        self.pid, self.name, self.slots = pid, "a worker", 1
        self.held: dict[int, object] = {}
        self.leased = 0
        self.successor: FakeWorker | None = None
        self.is_standby = self.is_retiring = self.is_gone = self.is_stopped = False

    @property
    def takes_leases(self) -> bool:
        return not (self.is_standby or self.is_retiring)

    def stop(self) -> bool:
        was, self.is_stopped = self.is_stopped, True
        return not was


class FakePool:
    """Starts workers that are not open yet."""

    is_elastic = False

    def __init__(self, *workers: FakeWorker) -> None:
        self.workers = [*workers]
        self.is_ending = False
        self.retired: list[FakeWorker] = []

    def on_retired(self, worker: FakeWorker) -> None:
        """Note it: what waits for that worker goes elsewhere."""
        self.retired.append(worker)

    def add(self, slots: int, *, is_standby: bool = False) -> FakeWorker:
        worker = FakeWorker(None)
        worker.slots, worker.is_standby = slots, is_standby
        self.workers.append(worker)
        return worker

    def use_capacity(self) -> None:
        pass


def recycler(max_requests: int, *workers: FakeWorker) -> tuple[Any, Any]:
    pool: Any = FakePool(*workers)
    return Recycler(pool, max_requests), pool


def lease(recycler: Any, worker: Any, count: int) -> None:
    for _ in range(count):
        worker.leased += 1
        recycler.leased(worker)


@in_fake_time
async def test_a_successor_is_started_early_and_takes_over_in_time() -> None:
    old: Any = FakeWorker()
    recycling, pool = recycler(8, old)
    lease(recycling, old, 5)
    assert pool.workers == [old]
    lease(recycling, old, 1)
    (_, new) = pool.workers
    assert new.is_standby
    assert old.takes_leases
    lease(recycling, old, 2)
    assert new.takes_leases
    assert not old.takes_leases
    old.held[1] = object()
    await asyncio.sleep(0)
    assert not old.is_stopped  # it still has something to do
    old.held.clear()
    recycling.end_if_done(old)
    assert old.is_stopped


@pytest.mark.parametrize("max_requests", [0, 9])
@in_fake_time
async def test_nobody_is_replaced_before_that(max_requests: int) -> None:
    old: Any = FakeWorker()
    recycling, pool = recycler(max_requests, old)
    lease(recycling, old, 6)
    assert pool.workers == [old]


@in_fake_time
async def test_large_workers_are_replaced_one_after_the_other() -> None:
    first: Any = FakeWorker()
    second: Any = FakeWorker()
    recycling, pool = recycler(0, first, second)
    assert recycling.recycle(first)
    assert recycling.recycle(second)
    assert not recycling.recycle(first)
    (_, _, new) = pool.workers
    assert first.takes_leases  # until the other is open
    new.pid = 3
    recycling.opened(new)
    assert new.takes_leases
    assert not first.takes_leases
    assert second.successor is None
    pool.workers.remove(first)
    recycling.ended(first)
    assert second.successor is pool.workers[-1]
    assert second.successor is not new


@in_fake_time
async def test_a_worker_that_dies_has_the_place_of_its_successor_filled_once() -> None:
    old: Any = FakeWorker()
    recycling, pool = recycler(4, old)
    lease(recycling, old, 3)
    pool.workers.remove(old)
    recycling.replace(old)
    (new,) = pool.workers
    assert new.takes_leases


@in_fake_time
async def test_a_successor_that_dies_is_replaced_by_another() -> None:
    old: Any = FakeWorker()
    recycling, pool = recycler(4, old)
    lease(recycling, old, 3)
    lost = pool.workers.pop()
    recycling.replace(lost)
    assert pool.workers == [old, old.successor]
    assert pool.workers[1].is_standby


@in_fake_time
async def test_nothing_is_started_when_the_crawl_ends() -> None:
    old: Any = FakeWorker()
    recycling, pool = recycler(1, old)
    pool.is_ending = True
    lease(recycling, old, 2)
    assert not recycling.recycle(old)
    assert pool.workers == [old]


@in_fake_time
async def test_a_pool_gives_leases_only_to_workers_that_take_them() -> None:
    none: Any = None
    pool = WorkerPool(none, (), 1, Tolerance(deaths=3, restarts=16), none)
    for attribute in ("is_standby", "is_retiring", ""):
        sock: Any = None
        worker = WorkerHandle("w", 2, WorkerConnection(sock), pool)
        pool.workers = [worker]
        assert pool.free_capacity() == 2
        if attribute:
            setattr(worker, attribute, True)
            assert pool.free_capacity() == 0
            assert not pool.has_capacity(100)
