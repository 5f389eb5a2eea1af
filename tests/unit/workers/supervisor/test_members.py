"""How the slots of a crawl are divided among workers that come and go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from concurcrawl.frontier.base import Lease
from concurcrawl.workers.protocol.messages.lifecycle import ImportPath
from concurcrawl.workers.protocol.messages.results import RequestResult
from concurcrawl.workers.supervisor.members import divide
from concurcrawl.workers.supervisor.pool import WorkerPool
from concurcrawl.workers.supervisor.starter import WorkerStarter
from concurcrawl.workers.supervisor.tolerance import Tolerance
from tests.support.fakes import FakeLauncher, in_fake_time, settled
from tests.unit.workers.supervisor.test_pool import FakeEvents

if TYPE_CHECKING:
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle


class ElasticFakeLauncher(FakeLauncher):
    is_elastic = True


class Members:
    """A pool without workers, to which a test brings some."""

    def __init__(self, shares: tuple[int, ...], total: int) -> None:
        self.launcher = ElasticFakeLauncher()
        starter = WorkerStarter(self.launcher, b"", ImportPath())
        starter.shares, starter.total = shares, total
        tolerance = Tolerance(deaths=3, restarts=3)
        self.pool = WorkerPool(starter, (), 1, tolerance, FakeEvents())
        self.members = self.pool._members

    def bring(self, count: int) -> None:
        for _ in range(count):
            self.members.arrived()

    def slots(self) -> list[int]:
        return [worker.slots for worker in self.pool.workers]

    async def end(self) -> None:
        self.pool.stop()
        await settled()
        self.launcher.close()
        while self.pool.workers:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.001)
        self.launcher.close_all()


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
    crawl = Members((2, 2), total=4)
    crawl.bring(2)
    assert crawl.slots() == [2, 2]
    for number in range(4):
        end = crawl.pool.dispatch(Lease(number, "a.example", b"", 0.0))
        end.add_done_callback(asyncio.Future.exception)  # of those that are left
    crawl.bring(1)
    *others, third = crawl.pool.workers
    assert sum(crawl.slots()) == 4
    assert not takes_leases(third), "six would be in flight"
    for worker in others:
        while len(worker.held) > worker.slots:
            crawl.pool.on_message(worker, RequestResult(next(iter(worker.held))))
    await settled()
    assert takes_leases(third)
    await crawl.end()


@in_fake_time
async def test_what_was_cut_for_a_worker_is_given_back_when_it_is_gone() -> None:
    crawl = Members((3, 3), total=6)
    crawl.bring(3)
    assert crawl.slots() == [2, 2, 2]
    crawl.pool.on_lost(crawl.pool.workers[2])
    await settled()
    assert crawl.slots() == [3, 3]
    assert len(crawl.launcher.ends) == 3, "nothing takes its place but what comes"
    await crawl.end()


@in_fake_time
async def test_where_nothing_is_divided_each_worker_has_its_own() -> None:
    crawl = Members((1, 1), total=0)
    crawl.bring(5)
    assert crawl.slots() == [1] * 5
    assert all(worker.takes_leases for worker in crawl.pool.workers)
    await crawl.end()
