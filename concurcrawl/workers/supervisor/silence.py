"""Kills workers that hold requests and do not answer."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from concurcrawl.workers.protocol.messages.lifecycle import Ping

if TYPE_CHECKING:
    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)

#: How often a worker that blocks is looked at before it is killed.
_LOOKS = 4


class SilenceWatch:
    """Looks at the workers of a pool.

    It counts how often it found no answer, not the time: where something blocks the
    supervisor, answers may have come that it has not read.
    """

    def __init__(self, pool: WorkerPool, timeout_s: float) -> None:
        """Make one that does not run yet.

        Args:
            pool: The workers.
            timeout_s: Seconds without an answer to tolerate; 0 means any.
        """
        self._pool = pool
        self._timeout_s = timeout_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        if self._timeout_s:
            self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._timeout_s / _LOOKS)
            for worker in [w for w in self._pool.workers if w.pid and w.held]:
                if worker.silent_for == 0:
                    worker.send(Ping())
                elif worker.silent_for == _LOOKS:
                    self._kill(worker)
                worker.silent_for += 1

    def _kill(self, worker: WorkerHandle) -> None:
        logger.error(
            "%s (process %s) has not answered for %g s: something in it blocks, such "
            "as a callback that never ends. It is killed.",
            worker.name,
            worker.pid,
            self._timeout_s,
        )
        worker.kill()
