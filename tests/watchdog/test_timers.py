"""What counts as due in a process, under both event loops."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.utils.asyncio import AsyncioLoopingCall

from concurcrawl.watchdog.frames import where_awaited
from concurcrawl.watchdog.timers import is_something_due

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    Runs = Callable[[Coroutine[Any, Any, bool]], bool]


@pytest.fixture(params=["asyncio", "uvloop"])
def runs(request: pytest.FixtureRequest) -> Runs:
    make = asyncio.new_event_loop
    if request.param == "uvloop":
        make = pytest.importorskip("uvloop").new_event_loop

    def run(coroutine: Coroutine[Any, Any, bool]) -> bool:
        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(coroutine)

    return run


async def due_during(waiting: Awaitable[object]) -> bool:
    """Return what is found while a task waits."""
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        return is_something_due()
    finally:
        task.cancel()


async def nothing() -> None:
    await asyncio.get_running_loop().create_future()


async def a_while() -> None:
    await asyncio.sleep(60)


async def at_most_a_while() -> None:
    await asyncio.wait_for(nothing(), 60)


async def periodically() -> None:
    call = AsyncioLoopingCall(lambda: None)
    call.start(60)
    try:
        await nothing()
    finally:
        call.stop()


async def a_callback() -> None:
    timer = asyncio.get_running_loop().call_later(60, print)
    try:
        await nothing()
    finally:
        timer.cancel()


@pytest.mark.parametrize(
    ("waits", "is_due"),
    [
        (nothing, False),
        (periodically, False),
        (a_while, True),
        (at_most_a_while, True),
        (a_callback, True),
    ],
)
def test_a_timer_of_a_project_is_due_and_a_periodic_one_is_not(
    waits: Callable[[], Awaitable[None]], is_due: bool, runs: Runs
) -> None:
    async def look() -> bool:
        return await due_during(waits())

    assert runs(look()) is is_due


def test_a_thread_that_works_may_move_what_waits(runs: Runs) -> None:
    ends = threading.Event()

    async def look() -> bool:
        working = asyncio.get_running_loop().run_in_executor(None, ends.wait)
        try:
            return is_something_due()
        finally:
            ends.set()
            await working

    assert runs(look())


def test_a_thread_that_is_idle_moves_nothing(runs: Runs) -> None:
    async def look() -> bool:
        await asyncio.get_running_loop().run_in_executor(None, print)
        return is_something_due()

    assert not runs(look())


def test_the_line_that_awaits_is_found_by_what_it_is_for() -> None:
    async def wait_for(page: object) -> None:
        await nothing()

    async def look() -> str | None:
        mine, other = object(), object()
        tasks = [asyncio.ensure_future(wait_for(one)) for one in (object(), mine)]
        await asyncio.sleep(0)
        try:
            assert where_awaited(other) is None
            return where_awaited(mine)
        finally:
            for task in tasks:
                task.cancel()

    found = asyncio.run(look())
    assert found is not None
    assert found.startswith("test_timers.py:")
    assert found.endswith(" in nothing")
