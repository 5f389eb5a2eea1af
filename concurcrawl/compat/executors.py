"""The number of busy threads of a thread pool."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

from scrapy.utils.reactor import is_reactor_installed

from concurcrawl.compat.parts import touches


@touches("twisted.python.threadpool", "ThreadPool.working")
@touches(
    "concurrent.futures.thread",
    *("ThreadPoolExecutor._threads", "ThreadPoolExecutor._idle_semaphore"),
)
@touches("threading", "Semaphore._value")
def busy_threads() -> int:
    """Return how many threads of this process's pools work on something.

    Touches: ``ThreadPoolExecutor._threads`` and ``._idle_semaphore`` with its
    ``._value`` (CPython 3.11 to 3.13), ``reactor.threadpool.working`` (Twisted 26.10).
    If one moves, threads of that pool count as idle, and a crawl that waits for one for
    longer than ``CONCURCRAWL_STALL_TIMEOUT_S`` ends as stalled. Wished for: a public
    count of either pool.
    """
    busy = 0
    for thing in gc.get_objects():
        if isinstance(thing, ThreadPoolExecutor):
            idle = getattr(getattr(thing, "_idle_semaphore", None), "_value", 0)
            busy += max(0, len(getattr(thing, "_threads", ())) - idle)
    if is_reactor_installed():
        from twisted.internet import reactor

        pool = getattr(reactor, "threadpool", None)
        busy += len(getattr(pool, "working", ()))
    return busy
