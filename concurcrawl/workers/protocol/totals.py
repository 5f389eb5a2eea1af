"""Stats of the whole crawl, as workers read them.

A worker that has read a stat is sent the crawl's totals of the stats that it reads:
with each request that it is given, and twice a second. On top of them it counts what it
has written itself since. Both ends count the outcomes that the worker has sent, so that
it knows which of its own are in a total.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrapy.utils.asyncio import create_looping_call

from concurcrawl import stats
from concurcrawl.workers.protocol.messages import ReadStats, SetStats
from concurcrawl.workers.protocol.pickle_codec import Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scrapy.crawler import Crawler
    from scrapy.utils.asyncio import AsyncioLoopingCall
    from twisted.internet.task import LoopingCall

    from concurcrawl.stats import MergingStatsCollector, StatKey
    from concurcrawl.workers.supervisor.pool import Worker, WorkerPool

#: How often totals that have changed are sent to a worker that gets no request.
_INTERVAL_S = 0.5

#: Different stats that a worker may read before it is sent all.
_MOST_KEYS = 100

_MISSING: Any = object()


@dataclass(slots=True)
class _Reader:
    """A worker that reads stats.

    Attributes:
        keys: Which; None for all.
        sent: What it knows of them.
        heard: How many of its outcomes are in that.
    """

    keys: set[str] | None = field(default_factory=set)
    sent: dict[str, Any] = field(default_factory=dict)
    heard: int = 0


class TotalsSender:
    """Sends workers the totals of the stats that they read; the supervisor's part."""

    def __init__(self, crawler: Crawler, pool: WorkerPool) -> None:
        self._crawler = crawler
        self._pool = pool
        self._codec = Codec()
        self._readers: dict[Worker, _Reader] = {}
        self._loop: AsyncioLoopingCall | LoopingCall | None = None

    def subscribe(self, worker: Worker, message: ReadStats) -> None:
        """Send *worker* the stat that it reads, now and whenever it has changed."""
        reader = self._readers.setdefault(worker, _Reader())
        if message.key is None:
            reader.keys = None
        elif reader.keys is not None:
            reader.keys.add(message.key)
        self._send(worker, reader, message.number)
        if self._loop is None:
            self._pool.on_lend = self._update
            self._loop = create_looping_call(self._update_all)
            self._loop.start(_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Send nothing more by itself."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    def forget(self, worker: Worker) -> None:
        """Forget a worker that is gone."""
        self._readers.pop(worker, None)

    def _update(self, worker: Worker) -> None:
        reader = self._readers.get(worker)
        if reader is not None and self._changed(reader):
            self._send(worker, reader, None)

    def _update_all(self) -> None:
        for worker, reader in self._readers.items():
            # It keeps what it has written until it knows that it was heard of.
            if reader.heard != worker.outcomes or self._changed(reader):
                self._send(worker, reader, None)

    def _changed(self, reader: _Reader) -> dict[str, Any]:
        totals, sent = self._crawler.stats.get_stats(), reader.sent
        return {
            key: totals[key]
            for key in (totals if reader.keys is None else reader.keys)
            if key in totals and totals[key] != sent.get(key, _MISSING)
        }

    def _send(self, worker: Worker, reader: _Reader, number: int | None) -> None:
        changed = self._changed(reader)
        reader.sent |= changed
        reader.heard = worker.outcomes
        plain = {key: stats.plain(value) for key, value in changed.items()}
        values = self._codec.encode(plain)
        worker.send(SetStats(values, reader.heard, number))


class Totals:
    """The totals that a worker knows, with what it has counted itself since.

    The stats collector of the worker holds the sum of the two for each stat that was
    read: reading costs what it costs in Scrapy.
    """

    def __init__(
        self,
        collector: MergingStatsCollector,
        unsent: Callable[[], Iterable[Mapping[StatKey, Any]]],
        subscribe: Callable[[ReadStats, Callable[[], bool]], bool],
    ) -> None:
        """Begin with nothing that was read. To be made in the event loop's thread.

        Args:
            collector: The worker's.
            unsent: Returns what was written and belongs to outcomes that are not sent.
            subscribe: Sends the message; if that is possible it waits a little until
                the function given says that there is an answer. Returns whether it
                has waited.
        """
        self._collector = collector
        self._unsent = unsent
        self._subscribe = subscribe
        self._thread = threading.get_ident()
        self._codec = Codec()
        self._totals: dict[str, Any] = {}
        self._keys: set[str | None] = set()  # None: all
        self._settled: set[str | None] = set()  # need not be waited for (any more)
        self._answered = -1
        self._number = 0
        self._outcomes = 0
        self._unheard: deque[tuple[int, Mapping[StatKey, Any]]] = deque()
        collector.on_read = self._on_read

    def sent(self, written: Mapping[StatKey, Any]) -> None:
        """Take note that an outcome was sent, with these stats."""
        self._outcomes += 1
        if self._keys and written:
            self._unheard.append((self._outcomes, written))

    def heard(self, message: SetStats) -> None:
        """Take over new totals."""
        while self._unheard and self._unheard[0][0] <= message.heard:
            self._unheard.popleft()
        self._totals |= self._codec.decode(message.values)
        if message.number is not None:
            self._answered = message.number
        pending = [*(written for _, written in self._unheard), *self._unsent()]
        keys = None if None in self._keys else self._keys
        found = {
            key: value
            for key, value in self._totals.items()
            if keys is None or key in keys
        }
        for written in pending:
            mine = {
                place: value
                for place, value in written.items()
                if keys is None or place[1] in keys
            }
            stats.fold(mine, found)
        self._collector.replace(found, keys)

    def _on_read(self, key: str | None) -> None:
        """See that *key*, or all with None, is known; its first reader waits for it."""
        if key in self._settled or None in self._settled:
            return
        if threading.get_ident() != self._thread:
            return  # the stat is known once the event loop's thread has read it
        if len(self._keys) >= _MOST_KEYS:
            key = None
        is_new = key not in self._keys
        self._keys.add(key)
        self._number = number = self._number + is_new
        message = ReadStats(number, key)
        if self._subscribe(message, lambda: self._answered >= number):
            self._settled.add(key)
