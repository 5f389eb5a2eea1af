"""Stats of the whole crawl, as workers read them.

A worker that has read a stat is sent the crawl's totals of the stats that it reads:
with each request that it is given, and twice a second. On top of them it counts what it
has written itself since. Both ends count the results that the worker has sent, so that
it knows which of its own are in a total.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrapy.utils.asyncio import create_looping_call

from concurcrawl import stats
from concurcrawl.workers.protocol.messages.state import ReadStats, SetStats
from concurcrawl.workers.protocol.pickle_codec import Codec

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.utils.asyncio import AsyncioLoopingCall
    from twisted.internet.task import LoopingCall

    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

#: How often totals that have changed are sent to a worker that gets no request.
_INTERVAL_S = 0.5

_MISSING: Any = object()


@dataclass(slots=True)
class _Reader:
    """A worker that reads stats.

    Attributes:
        keys: Which; None for all.
        sent: What it knows of them.
        applied: How many of its results are in that.
    """

    keys: set[str] | None = field(default_factory=set)
    sent: dict[str, Any] = field(default_factory=dict)
    applied: int = 0


class TotalsSender:
    """Sends workers the totals of the stats that they read."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._codec = Codec()
        self._readers: dict[WorkerHandle, _Reader] = {}
        self._loop: AsyncioLoopingCall | LoopingCall | None = None

    def subscribe(self, worker: WorkerHandle, message: ReadStats) -> None:
        """Send *worker* the stat that it reads, now and whenever it has changed."""
        reader = self._readers.setdefault(worker, _Reader())
        if message.key is None:
            reader.keys = None
        elif reader.keys is not None:
            reader.keys.add(message.key)
        self._send(worker, reader, message.number)
        if self._loop is None:
            self._loop = create_looping_call(self._update_all)
            self._loop.start(_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Send nothing more by itself."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    def forget(self, worker: WorkerHandle) -> None:
        """Forget a worker that is gone."""
        self._readers.pop(worker, None)

    def update(self, worker: WorkerHandle) -> None:
        """Send *worker* what has changed, before it is sent another request."""
        reader = self._readers.get(worker)
        if reader is not None and self._changed(reader):
            self._send(worker, reader, None)

    def _update_all(self) -> None:
        for worker, reader in self._readers.items():
            # A worker keeps what it has written until it knows that it is in a total.
            if reader.applied != worker.results.count or self._changed(reader):
                self._send(worker, reader, None)

    def _changed(self, reader: _Reader) -> dict[str, Any]:
        totals, sent = self._crawler.stats.get_stats(), reader.sent
        return {
            key: totals[key]
            for key in (totals if reader.keys is None else reader.keys)
            if key in totals and totals[key] != sent.get(key, _MISSING)
        }

    def _send(self, worker: WorkerHandle, reader: _Reader, number: int | None) -> None:
        changed = self._changed(reader)
        reader.sent |= changed
        reader.applied = worker.results.count
        plain = {key: stats.plain(value) for key, value in changed.items()}
        values = self._codec.encode(plain)
        worker.send(SetStats(values, reader.applied, number))
