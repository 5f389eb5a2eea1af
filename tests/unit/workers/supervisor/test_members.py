"""How the slots of a crawl are divided among workers that come and go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.frontier.base import Lease
from concurcrawl.workers.protocol.messages.results import RequestResult
from concurcrawl.workers.supervisor.members import divide
from concurcrawl.workers.supervisor.pool import Tolerance, WorkerPool
from tests.support.fakes import FakeLauncher, in_fake_time, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle


class ElasticFakeLauncher(FakeLauncher):
    is_elastic = True


def pool_of(planned: Sequence[int], total: int) -> tuple[WorkerPool, FakeLauncher]:
    launcher = ElasticFakeLauncher()
    tolerance = Tolerance(deaths=3, restarts=3)
    pool = WorkerPool(
        planned, 1, b"", (), tolerance, lambda *_: None, launcher=launcher
    )
    pool.members.total = total
    return pool, launcher


async def end(pool: WorkerPool, launcher: FakeLauncher) -> None:
    pool.stop()
    await settled()
    launcher.close()
    while pool.workers:  # noqa: ASYNC110 - the pool has no event for it
        await asyncio.sleep(0.001)
    launcher.close_all()


@pytest.mark.parametrize(
    ("free", "most", "found"),
    [
        ((8, 8), (8,), ([8], 8)),
        ((8, 8), (), ([], 8)),
        ((6, 5, 5), (8, 8), ([6, 5], 5)),
        ((6, 5, 5), (5, 8), ([5, 6], 5)),
        ((4, 4), (1, 4), ([1, 4], 1)),
    ],
)
def test_each_worker_has_a_share(
    free: tuple[int, ...], most: tuple[int, ...], found: tuple[list[int], int]
) -> None:
    assert divide(free, most) == found


def takes_leases(worker: WorkerHandle) -> bool:
    return worker.takes_leases


@in_fake_time
async def test_one_more_worker_waits_until_its_share_is_free() -> None:
    pool, launcher = pool_of((2, 2), total=4)
    for _ in range(2):
        pool.members.arrived()
    first, second = pool.workers
    assert (first.slots, second.slots) == (2, 2)
    ends: list[Any] = [
        pool.lend(Lease(number, "a.example", b"", 0.0), lambda *_: None)
        for number in range(4)
    ]
    pool.members.arrived()
    third = pool.workers[2]
    assert sum(worker.slots for worker in pool.workers) == 4
    assert not takes_leases(third), "six would be in flight"
    for worker in pool.workers[:2]:
        while len(worker.held) > worker.slots:
            pool.heard(worker, RequestResult(next(iter(worker.held))))
    await settled()
    assert takes_leases(third)
    for one in ends:
        one.add_done_callback(asyncio.Future.exception)  # of those that are left
    await end(pool, launcher)


@in_fake_time
async def test_what_was_cut_for_a_worker_is_given_back_when_it_is_gone() -> None:
    pool, launcher = pool_of((3, 3), total=6)
    for _ in range(3):
        pool.members.arrived()
    assert [worker.slots for worker in pool.workers] == [2, 2, 2]
    pool.lost(pool.workers[2])
    await settled()
    assert [worker.slots for worker in pool.workers] == [3, 3]
    assert len(launcher.ends) == 3, "nothing takes its place but what comes"
    await end(pool, launcher)


@in_fake_time
async def test_where_nothing_is_divided_each_worker_has_its_own() -> None:
    pool, launcher = pool_of((1, 1), total=0)
    for _ in range(5):
        pool.members.arrived()
    assert [worker.slots for worker in pool.workers] == [1] * 5
    assert all(worker.takes_leases for worker in pool.workers)
    await end(pool, launcher)
