"""Stats of the whole crawl, as code in this worker reads them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from concurcrawl import stats
from concurcrawl.workers.protocol.messages.state import ReadStats, SetStats
from concurcrawl.workers.protocol.pickle_codec import Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from concurcrawl.compat.stats_collector import MergingStatsCollector
    from concurcrawl.stats import StatKey

#: Different stats that a worker subscribes to one by one; then it is sent all.
_MOST_KEYS = 100


class StatsExchange(Protocol):
    """Sends a question, blocks until its answer has arrived, and handles it.

    See ``Connection.exchange()``.
    """

    def __call__(
        self,
        message: ReadStats,
        kind: type[SetStats],
        on_answer: Callable[[SetStats], None],
        is_answered: Callable[[], bool],
    ) -> bool:
        """Return whether the answer is there or was waited for."""


class Totals:
    """The totals that the supervisor has sent, plus what was written here since.

    The stats collector of the worker holds the sum of the two for each stat that was
    read, so that reading costs no more than in Scrapy.
    """

    def __init__(
        self,
        collector: MergingStatsCollector,
        unsent: Callable[[], Iterable[Mapping[StatKey, Any]]],
        exchange: StatsExchange,
    ) -> None:
        """Begin without totals, in the event loop's thread.

        Args:
            collector: The worker's stats.
            unsent: Returns the stats of results that are not sent yet.
            exchange: Asks the supervisor.
        """
        self._collector = collector
        self._unsent = unsent
        self._exchange = exchange
        self._thread = threading.get_ident()
        self._codec = Codec()
        self._totals: dict[str, Any] = {}
        self._keys: set[str | None] = set()  # subscribed to; None stands for all
        self._known: set[str | None] = set()  # of those, the ones waited for already
        self._answered = -1
        self._number = 0
        self._results = 0
        self._unacknowledged: deque[tuple[int, Mapping[StatKey, Any]]] = deque()

    def start(self) -> None:
        """Read the supervisor's totals from now on, instead of this worker's."""
        self._collector.on_read = self._on_read

    def sent(self, written: Mapping[StatKey, Any]) -> None:
        """Note that a result with these stats was sent."""
        self._results += 1
        if self._keys and written:
            self._unacknowledged.append((self._results, written))

    def on_set(self, message: SetStats) -> None:
        """Take over new totals."""
        while self._unacknowledged and self._unacknowledged[0][0] <= message.results:
            self._unacknowledged.popleft()
        self._totals |= self._codec.decode(message.values)
        if message.number is not None:
            self._answered = message.number
        sent = (written for _, written in self._unacknowledged)
        keys = None if None in self._keys else self._keys
        found = {
            key: value
            for key, value in self._totals.items()
            if keys is None or key in keys
        }
        for written in (*sent, *self._unsent()):
            own = {
                place: value
                for place, value in written.items()
                if keys is None or place[1] in keys
            }
            stats.fold(own, found)
        self._collector.replace(found, keys)

    def _on_read(self, key: str | None) -> None:
        """Subscribe to *key*, or to all with None; the first reader waits for it."""
        if key in self._known or None in self._known:
            return
        if threading.get_ident() != self._thread:
            return  # only the event loop's thread may use the connection
        if len(self._keys) >= _MOST_KEYS:
            key = None
        is_new = key not in self._keys
        self._keys.add(key)
        self._number = number = self._number + is_new
        if self._exchange(
            ReadStats(number, key),
            SetStats,
            self.on_set,
            lambda: self._answered >= number,
        ):
            self._known.add(key)
