"""Timers and threads that may still complete something in this process."""

from __future__ import annotations

import asyncio
from typing import Any

from scrapy.utils.reactor import is_reactor_installed
from twisted.internet.task import LoopingCall

from concurcrawl.compat.executors import busy_threads
from concurcrawl.compat.timers import timers
from concurcrawl.watchdog.frames import package_of, suspended_frames

#: Packages that sleep periodically whatever a crawl does.
_PERIODIC = {"scrapy", "concurcrawl"}

#: Packages of Twisted whose timers only close what has been idle.
_HOUSEKEEPING = ("twisted.web", "twisted.protocols", "twisted.conch")


def is_something_due() -> bool:
    """Return whether a timer or a thread may still complete what waits here.

    Periodic timers do not count: they run as long as the process. The check takes tens
    of milliseconds, because it looks at all objects.
    """
    return (
        is_a_task_sleeping() or any(timers()) or _reactor_is_due() or busy_threads() > 0
    )


def is_a_task_sleeping() -> bool:
    """Return whether a task of a project's code sleeps for a while."""
    return any(map(_is_sleeping, asyncio.all_tasks()))


def _is_sleeping(task: asyncio.Task[Any]) -> bool:
    frames = [*suspended_frames(task)]
    is_asleep = len(frames) > 1 and frames[-1].f_code is asyncio.sleep.__code__
    return is_asleep and package_of(frames[-2]) not in _PERIODIC


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
