"""Which places of a cluster get a worker, and when a crawl gives it up."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from concurcrawl.workers.launch.base import Members
from concurcrawl.workers.launch.cluster import launcher
from concurcrawl.workers.launch.cluster.engine import Engine, EngineLostError
from concurcrawl.workers.launch.cluster.launcher import ClusterLauncher
from concurcrawl.workers.launch.cluster.order import Report, mismatch, versions
from tests.support.fakes import in_fake_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from concurcrawl.workers.launch.cluster.order import Order


class FakeEngine(Engine):
    """Has the machines that a test says; agents run until the test ends them."""

    name = "The fake cluster"

    def __init__(self, **machines: int) -> None:
        self.machines = machines
        self.agents: list[tuple[str, asyncio.Future[Report]]] = []
        self.is_lost = False
        self.opened = 0
        self.missing = 0
        self.error: Exception | None = None

    def listen_host(self) -> str:
        return "127.0.0.1"

    async def open(self) -> None:
        self.opened += 1
        if self.is_lost:
            raise EngineLostError("gone")

    async def places(self) -> Mapping[str, int]:
        if self.is_lost:
            raise EngineLostError("gone")
        return dict(self.machines)

    async def want(self, missing: int) -> None:
        if self.error is not None:
            raise self.error
        self.missing = missing

    async def run(self, place: str, order: Order) -> Report:
        end: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        agent = (place, end)
        self.agents.append(agent)
        try:
            return await end
        finally:
            self.agents.remove(agent)

    async def close(self) -> None:
        self.machines = {}

    def running(self) -> Counter[str]:
        return Counter(place for place, _ in self.agents)


class FakeMembers(Members):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    @property
    def is_ending(self) -> bool:
        return bool(self.errors)

    def arrived(self) -> None:
        pass

    def leaving(self, connection: Any) -> None:
        pass

    def failed(self, error: Exception) -> None:
        self.errors.append(str(error))


@asynccontextmanager
async def launching(
    engine: FakeEngine, most: int = 0, wanted: int = 1
) -> AsyncIterator[tuple[ClusterLauncher, FakeMembers]]:
    members = FakeMembers()
    found = ClusterLauncher(
        engine,
        ("", 0),
        archive=b"",
        main=b"",
        most=most,
        wanted=wanted,
        timeout_s=30,
        wait_s=60,
    )
    await found.open(members)
    try:
        await asyncio.sleep(0.1)
        yield found, members
    finally:
        for _, end in [*engine.agents]:
            end.cancel()
        await found.aclose()


@in_fake_time
async def test_each_place_has_a_worker() -> None:
    engine = FakeEngine(a=2, b=1)
    async with launching(engine):
        assert engine.running() == {"a": 2, "b": 1}


@in_fake_time
async def test_no_more_than_the_most_and_the_freest_machines_first() -> None:
    engine = FakeEngine(a=8, b=2, c=8)
    async with launching(engine, most=4):
        assert engine.running() == {"a": 2, "c": 2}


@in_fake_time
async def test_a_cluster_that_can_grow_is_told_what_is_missing() -> None:
    engine = FakeEngine()
    async with launching(engine, most=5, wanted=5) as (found, _):
        assert engine.missing == 1, "how many each machine has is not known yet"
        engine.machines = {"a": 2}
        await asyncio.sleep(2)
        assert engine.missing == 3
        found._unfit["b"] = "it has Scrapy 2.18"
        engine.machines = {"a": 2, "b": 2, "c": 2}
        await asyncio.sleep(2)
        assert engine.missing == 1
        engine.machines["d"] = 2
        await asyncio.sleep(2)
        assert engine.missing == 0


@in_fake_time
async def test_machines_that_join_are_used_and_those_that_left_forgotten() -> None:
    engine = FakeEngine(a=1)
    async with launching(engine):
        engine.machines = {"b": 2}
        await asyncio.sleep(2)
        assert engine.running() == {"b": 2}


@in_fake_time
async def test_a_worker_that_ends_makes_way_for_another_at_once() -> None:
    engine = FakeEngine(a=1)
    async with launching(engine):
        (_, end), *_ = engine.agents
        end.set_result(Report("a"))
        await asyncio.sleep(0.1)
        assert engine.running() == {"a": 1}
        assert engine.agents[0][1] is not end


@in_fake_time
async def test_a_machine_that_does_not_fit_is_named_once_and_left_alone() -> None:
    engine = FakeEngine(a=1, b=1)
    async with launching(engine) as (_, members):
        for place, end in [*engine.agents]:
            end.set_result(Report(place, "it has Scrapy 2.18" if place == "a" else ""))
        await asyncio.sleep(2)
        assert engine.running() == {"b": 1}
        assert members.errors == []
        engine.agents[0][1].set_result(Report("b", "it has Scrapy 2.18"))
        await asyncio.sleep(2)
        assert members.errors == ["No worker can be started: a: it has Scrapy 2.18"]


@in_fake_time
async def test_a_cluster_without_workers_is_waited_for_so_long() -> None:
    engine = FakeEngine()
    async with launching(engine) as (_, members):
        await asyncio.sleep(50)
        assert members.errors == []
        await asyncio.sleep(20)
        assert "has had no worker for 60 s" in members.errors[0]


@in_fake_time
async def test_a_scheduler_that_is_restarted_is_found_again() -> None:
    engine = FakeEngine(a=1)
    async with launching(engine) as (_, members):
        engine.is_lost = True
        for _, end in [*engine.agents]:
            end.set_exception(EngineLostError("gone"))
        await asyncio.sleep(20)
        assert engine.agents == []
        engine.is_lost = False
        await asyncio.sleep(3)
        assert engine.running() == {"a": 1}
        assert members.errors == []
        assert engine.opened > 2


@in_fake_time
async def test_an_error_that_no_engine_should_raise_ends_the_crawl() -> None:
    engine = FakeEngine(a=1)
    async with launching(engine) as (_, members):
        engine.error = KeyError("workers")
        await asyncio.sleep(2)
        assert members.errors == [
            "The fake cluster cannot be used: KeyError('workers')"
        ]


def test_what_differs_is_said() -> None:
    here = versions()
    assert mismatch(here, here) == ""
    there = {**here, "scrapy": "2.18.0", "Python": "3.9"}
    assert mismatch({**here, "scrapy": "2.19.0", "Python": "3.11"}, there) == (
        "Python 3.9 instead of 3.11, scrapy 2.18.0 instead of 2.19.0"
    )


def test_a_place_is_looked_at_often_enough() -> None:
    assert launcher._LOOK_S <= 2, "machines that join are used within seconds"
