"""Ends workers whose callbacks do not end after a crawl was told to stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from concurcrawl.workers.protocol.messages.lifecycle import Ping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy import Request

    from concurcrawl.workers.supervisor.pool import WorkerPool
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

#: Looks in the time after which a worker counts as stuck.
_LOOKS = 10
#: Requests that the log names.
_NAMED = 20


class StopWatch:
    """Looks at the workers of a crawl that was told to stop.

    Invariant: a worker is ended only if it held requests and each look of the whole
    time found that none of them had ended or sent anything, and that it did not answer
    or had nothing in progress but callbacks. A download has a time-out of its own.

    Looks are counted, not seconds: where something blocks the supervisor, answers may
    have come that it has not read.
    """

    def __init__(
        self,
        pool: WorkerPool,
        timeout_s: float,
        is_closing: Callable[[], bool],
        on_stuck: Callable[[WorkerHandle], None],
    ) -> None:
        """Make a watch that does not run yet.

        Args:
            pool: With the workers.
            timeout_s: Seconds without progress to tolerate; 0 means any.
            is_closing: Whether the crawl was told to stop.
            on_stuck: Called with a worker, once.
        """
        self._pool = pool
        self._timeout_s = timeout_s
        self._is_closing = is_closing
        self._on_stuck = on_stuck
        self._seen: dict[
            WorkerHandle, tuple[int, int]
        ] = {}  # its progress, looks without
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
            if self._is_closing():
                self.look()

    def look(self) -> None:
        """Look at each worker that holds requests, once."""
        busy = [one for one in self._pool.workers if one.held and one.pid]
        before, self._seen = self._seen, {}
        for worker in busy:
            progress, looks = before.get(worker, (worker.progress, 0))
            looks = looks + 1 if progress == worker.progress else 1
            self._seen[worker] = worker.progress, looks
            if looks == _LOOKS + 1:
                self._on_stuck(worker)
            else:
                worker.send(Ping())


def named(requests: Sequence[Request]) -> str:
    """Return the names of *requests*, of very many the first, for the log."""
    names = ", ".join(map(str, requests[:_NAMED]))
    more = len(requests) - _NAMED
    return f"{names} and {more} more" if more > 0 else names
