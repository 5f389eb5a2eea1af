"""``MEMUSAGE_*`` of a crawl with workers: counted over all of its processes."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import psutil
from scrapy.extensions.memusage import MemoryUsage
from typing_extensions import override

from concurcrawl import registry
from concurcrawl.compat import components
from concurcrawl.integrations.finding import name_of
from concurcrawl.workers.supervisor.app import SupervisorApp

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)

#: Part of what the limit leaves to each worker above which that is replaced. The rest
#: is for what it grows by until the next check and until its successor is open.
_SHARE = 0.75
#: Growth of a worker below which another would be as large before long.
_GROWTH = 1.25
#: Seconds for which sizes are not asked for again: Scrapy asks up to three times in a
#: row, and each takes 1 to 10 ms for each process, since the kernel walks its pages.
_FRESH_S = 0.5
_MIB = 1 << 20


class TreeMemoryUsage(MemoryUsage):
    """Scrapy's extension, which counts workers too and replaces those that have grown.

    A project that derives an extension of its own from this one has the same.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._sizes: dict[int, int] = {}
        self._measured_s = 0.0
        self._is_starting = True  # the stats are yet to tell what all take at first
        self._opened: WeakKeyDictionary[WorkerHandle, int] = WeakKeyDictionary()

    @override
    def get_virtual_size(self) -> int:
        """Return how much memory supervisor, fork server and workers take, in bytes."""
        return sum(self._measure().values())

    @override
    def engine_started(self) -> None:
        super().engine_started()
        self._app.watch_opened(self._note_open)
        for worker in self._pool.workers:
            if worker.pid is not None:  # it was quicker than this process
                self._note_open(worker)

    @override
    def update(self) -> None:
        super().update()
        if self.limit and self.get_virtual_size() <= self.limit:
            self._replace_large()

    @property
    def _app(self) -> SupervisorApp:
        return registry.app_of(self.crawler, SupervisorApp)

    @property
    def _pool(self) -> WorkerPool:
        return self._app.pool

    def _measure(self) -> dict[int, int]:
        """Return the size of each process by its id, in bytes."""
        now_s = time.monotonic()
        if now_s - self._measured_s > _FRESH_S:
            self._sizes = memory_of(processes(self._pool))
            self._measured_s = now_s
        return self._sizes

    def _note_open(self, worker: WorkerHandle) -> None:
        """Note how large a worker is to begin with; at the start, how large all are."""
        if self.limit and worker.local_pid is not None:
            size = memory_of({worker.local_pid}).get(worker.local_pid, 0)
            self._opened[worker] = size
        if self._is_starting and all(one.pid for one in self._pool.workers):
            self._is_starting = False
            self._measured_s = 0.0
            self.crawler.stats.set_value("memusage/startup", self.get_virtual_size())
            super().update()

    def _replace_large(self) -> None:
        sizes = self._measure()
        workers = [
            one for one in self._pool.workers if one.takes_leases and one.local_pid
        ]
        of_workers = sum(sizes.get(one.local_pid or 0, 0) for one in self._pool.workers)
        others = sum(sizes.values()) - of_workers
        fresh = max(self._opened.values(), default=0)  # room for one that takes over
        share = _SHARE * (self.limit - others - fresh) / max(1, len(workers))
        for worker in workers:
            size = sizes.get(worker.local_pid or 0, 0)
            is_large = size > max(share, _GROWTH * self._opened.get(worker, 0))
            if is_large and self._pool.recycle(worker):
                logger.warning(
                    "%s (process %s) takes %d MiB, more than its share of "
                    "MEMUSAGE_LIMIT_MB, which is %d MiB: another takes its place when "
                    "it has finished its requests.",
                    worker.name,
                    worker.pid,
                    size // _MIB,
                    share // _MIB,
                )


def processes(pool: WorkerPool) -> set[int]:
    """Return the ids of this process, the fork server and the workers that are open."""
    local = {worker.local_pid for worker in pool.workers}
    workers = {pid for pid in local if pid is not None}
    found = {os.getpid(), *workers}
    for pid in workers:
        with contextlib.suppress(psutil.Error):
            found.add(
                psutil.Process(pid).ppid()
            )  # of those that are forked, the server
    return found


def memory_of(pids: set[int]) -> dict[int, int]:
    """Return how much memory each process takes, in bytes.

    On Linux that is its proportional set size (PSS): a page that processes share is
    divided among them. Forked workers share most of what they begin with, and a sum of
    resident sizes would count it once for each. Elsewhere workers are spawned and share
    little; there it is what only that process has (USS).

    Args:
        pids: The processes. Those that have ended are left out.
    """
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            info = psutil.Process(pid).memory_full_info()
            found[pid] = int(getattr(info, "pss", 0) or info.uss)
    return found


def enable(settings: BaseSettings, rank: str) -> None:
    """Put ours in the place of Scrapy's extension, if that is on."""
    ours = f"{__name__}.{TreeMemoryUsage.__name__}"
    scrapys = f"{MemoryUsage.__module__}.{MemoryUsage.__name__}"
    for key, place in settings.getwithbase("EXTENSIONS").items():
        if place is not None and name_of(key) == scrapys:
            components.add(settings, "EXTENSIONS", {key: None, ours: place}, rank)
