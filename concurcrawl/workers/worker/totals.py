"""Stats of the whole crawl, as this worker knows them.

See :mod:`concurcrawl.workers.supervisor.totals`, which sends them.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from concurcrawl import stats
from concurcrawl.workers.protocol.messages.state import ReadStats, SetStats
from concurcrawl.workers.protocol.pickle_codec import Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from concurcrawl.compat.stats_collector import MergingStatsCollector
    from concurcrawl.stats import StatKey

#: Different stats that a worker may read before it is sent all.
_MOST_KEYS = 100


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
        while self._unheard and self._unheard[0][0] <= message.results:
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
