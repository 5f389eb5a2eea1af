"""What will happen in a process without anything from outside: timers and threads."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from scrapy.utils.reactor import is_reactor_installed
from twisted.internet.task import LoopingCall

from concurcrawl.compat.executors import busy_threads
from concurcrawl.watchdog.frames import package_of, suspended_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Packages that sleep periodically whatever a crawl does.
_PERIODIC = {"scrapy", "concurcrawl"}

#: aiohttp's timer that closes connections which have been idle.
_IDLE_CONNECTIONS = "_weakref_handle"

#: Timer callbacks that say nothing by themselves: a sleeping task is found as a task,
#: and a reactor is asked for its own timers.
_COVERED = ("_set_result_unless_cancelled", "_onTimer", _IDLE_CONNECTIONS)

#: Packages of Twisted whose timers only close what has been idle.
_HOUSEKEEPING = ("twisted.web", "twisted.protocols", "twisted.conch")


def is_something_due() -> bool:
    """Return whether a timer or a thread may still move what waits in this process.

    Periodic timers do not count: they run as long as the process does. The check takes
    tens of milliseconds, since it looks at all objects.
    """
    return (
        is_a_task_sleeping()
        or any(_timers())
        or _reactor_is_due()
        or busy_threads() > 0
    )


def is_a_task_sleeping() -> bool:
    """Return whether a task of a project's code sleeps for a while."""
    return any(map(_is_sleeping, asyncio.all_tasks()))


def _is_sleeping(task: asyncio.Task[Any]) -> bool:
    frames = [*suspended_frames(task)]
    is_asleep = len(frames) > 1 and frames[-1].f_code is asyncio.sleep.__code__
    return is_asleep and package_of(frames[-2]) not in _PERIODIC


def _timers() -> Iterator[object]:
    """Yield timers of the event loop that were set by other means than sleeping.

    A loop has no public list of them, so they are found among all objects. Their
    classes differ: asyncio's and uvloop's have the name and the methods in common.
    """
    now_s = asyncio.get_running_loop().time()
    for thing in gc.get_objects():
        if type(thing).__name__ != "TimerHandle" or thing.cancelled():
            continue
        if thing.when() >= now_s and not any(word in repr(thing) for word in _COVERED):
            yield thing


def _reactor_is_due() -> bool:
    if not is_reactor_installed():
        return False
    from twisted.internet import reactor

    calls: list[Any] = [*reactor.getDelayedCalls()]  # type: ignore[misc]
    return any(
        not isinstance(call.func, LoopingCall)
        and not str(getattr(call.func, "__module__", "")).startswith(_HOUSEKEEPING)
        for call in calls
    )
