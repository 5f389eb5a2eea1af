"""Timers of an event loop."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Iterator

#: aiohttp's timer that closes connections which have been idle.
_IDLE_CONNECTIONS = "_weakref_handle"
#: aiohttp's timer of a connection to a server, such as a page of the crawl.
_SERVED_CONNECTIONS = "_process_keepalive"

#: Timer callbacks that say nothing by themselves: a sleeping task is found as a task,
#: and a reactor is asked for its own timers.
_COVERED = (
    *("_set_result_unless_cancelled", "_onTimer"),
    *(_IDLE_CONNECTIONS, _SERVED_CONNECTIONS),
)


@touches("asyncio.futures", "_set_result_unless_cancelled")
@touches("twisted.internet.asyncioreactor", "AsyncioSelectorReactor._onTimer")
def timers() -> Iterator[object]:
    """Yield timers of the event loop that were set by other means than sleeping.

    Touches: timers are found among all objects, by the name of their class, which
    asyncio's and uvloop's have in common; those of ``asyncio.sleep()``, the reactor and
    aiohttp's connections are known by the names of their callbacks,
    ``_set_result_unless_cancelled``, ``_onTimer``, ``_weakref_handle`` and
    ``_process_keepalive`` (CPython 3.11 to 3.13, Twisted 26.10, aiohttp 3.14). If one
    moves, a crawl that has stalled is not noticed. Wished for: a public list of a
    loop's timers.
    """
    now_s = asyncio.get_running_loop().time()
    for thing in gc.get_objects():
        if type(thing).__name__ != "TimerHandle" or thing.cancelled():
            continue
        if thing.when() >= now_s and not any(word in repr(thing) for word in _COVERED):
            yield thing
