"""What counts as due in a process, under both event loops."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from concurcrawl.watchdog.frames import where_awaited
from tests.support.crawls import DEADLINE_S, environment
from tests.support.dues import nothing


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("waits", "is_due"),
    [
        ("nothing", False),
        ("periodically", False),
        ("an_idle_thread", False),
        ("a_while", True),
        ("at_most_a_while", True),
        ("a_callback", True),
        ("a_thread", True),
    ],
)
def test_what_may_move_a_crawl_is_due_and_what_is_periodic_is_not(
    waits: str, is_due: bool, loop: str
) -> None:
    # In a process of its own: all its timers and threads count.
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.dues", loop, waits],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout == str(is_due)


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
    assert found.startswith("dues.py:")
    assert found.endswith(" in nothing")
