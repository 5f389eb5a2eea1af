"""What is due in a process of its own, while something waits there.

``python -m tests.support.dues LOOP WAIT`` prints what is found.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from scrapy.utils.asyncio import AsyncioLoopingCall

from concurcrawl.watchdog.timers import is_something_due

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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
    asyncio.get_running_loop().call_later(60, print)
    await nothing()


async def a_thread() -> None:
    ends = threading.Event()
    try:
        await asyncio.to_thread(ends.wait)
    finally:
        ends.set()


async def an_idle_thread() -> None:
    await asyncio.to_thread(time.monotonic)
    await nothing()


WAITS: dict[str, Callable[[], Awaitable[None]]] = {
    wait.__name__: wait
    for wait in (
        nothing,
        a_while,
        at_most_a_while,
        periodically,
        a_callback,
        a_thread,
        an_idle_thread,
    )
}


async def look(wait: Callable[[], Awaitable[None]]) -> bool:
    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0.1)  # a thread has its turn, too
    try:
        return is_something_due()
    finally:
        task.cancel()


def main(loop: str, wait: str) -> None:
    make: Any = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop  # one of two loops to test with

        make = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        sys.stdout.write(str(runner.run(look(WAITS[wait]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
