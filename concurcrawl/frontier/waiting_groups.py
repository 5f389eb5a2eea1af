"""Which group of hosts is served next. Pure."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized

    from concurcrawl.limits.crawl_limiter import CrawlLimiter

#: Priority of the request that leaves next, negated; load; turn; name of the group.
#: The smallest is served first. The turn is unique, so names are never compared.
_Entry = tuple[int, int, int, str]

#: How many outdated entries a heap may have besides as many as there are groups.
_SPARE = 64


class WaitingGroups:
    """The groups with waiting requests, in heaps: each step costs O(log groups).

    Of the groups that may be asked now the one with the highest priority is served;
    of those the one with the fewest requests leased or in flight; equals take turns.

    A group whose place changes gets a new entry, and the old one stays in its heap
    until it is found there (lazy deletion): ``heapq`` cannot remove from the middle.

    Invariant: ``_entries`` has the current entry of each group with waiting requests.
    It is in a heap of ``_ready`` if the limits of the group let a request be leased, in
    ``_paused`` if time alone will, and in none if a request must end first. Then the
    limiter names the group among those that changed.
    """

    def __init__(self, limiter: CrawlLimiter) -> None:
        """Begin with no group.

        Args:
            limiter: Knows the limits and loads of the groups. What it notes as changed
                is taken out here.
        """
        self._limiter = limiter
        self._entries: dict[str, _Entry] = {}
        # Apart, as the total may hold back the groups whose requests do not ask.
        self._ready: dict[bool, list[_Entry]] = {True: [], False: []}
        self._paused: list[tuple[float, _Entry]] = []
        self._turns = 0

    def __len__(self) -> int:
        """Return how many groups have waiting requests."""
        return len(self._entries)

    def __contains__(self, group: object) -> bool:
        """Return whether *group* has waiting requests."""
        return group in self._entries

    def __iter__(self) -> Iterator[str]:
        """Iterate over the groups, in no order that means anything."""
        return iter(self._entries)

    def add(self, group: str, priority: int) -> None:
        """Note that a request of *priority* waits in *group*, maybe with others."""
        known = self._entries.get(group)
        if known is None:
            self._enter(group, priority)
        elif -priority < known[0]:
            self._entries[group] = (-priority, *known[1:])
            self._limiter.changed.add(group)

    def serve(self, group: str, priority: int | None) -> None:
        """Note that a request of *group* was leased, so that its equals come first.

        Args:
            group: The group.
            priority: Of the request that leaves it next; None if none waits.
        """
        del self._entries[group]
        if priority is not None:
            self._enter(group, priority)

    def first(self, now_s: float) -> str | None:
        """Return the group that is served next, or None if none may be asked now."""
        self._update(now_s)
        found = [
            entry
            for asks in self._ready
            if (entry := self._first_entry(now_s, asks=asks)) is not None
        ]
        return min(found)[3] if found else None

    def ready_in_s(self, now_s: float) -> float | None:
        """Return the seconds until time alone lets a request be leased.

        Returns:
            None if only an end of something can help.
        """
        if self.first(now_s) is not None:
            return 0.0
        if not self._paused or not self._limiter.total.may_lease(asks=True):
            return None
        return self._paused[0][0] - now_s

    def _enter(self, group: str, priority: int) -> None:
        self._turns += 1
        self._entries[group] = (-priority, 0, self._turns, group)
        self._limiter.changed.add(group)

    def _update(self, now_s: float) -> None:
        """Give entries to groups that have changed, or whose pause is over."""
        changed = self._limiter.changed
        for group in changed:
            if group in self._entries:
                self._file(group, now_s)
        changed.clear()  # pop() would search the whole table of a set that was large
        paused = self._paused
        while paused and (paused[0][0] <= now_s or self._is_outdated(paused[0][1])):
            _, entry = heappop(paused)
            if not self._is_outdated(entry):
                self._file(entry[3], now_s)

    def _file(self, group: str, now_s: float) -> None:
        """Give *group* a new entry, in the heap that it belongs to."""
        limiter = self._limiter
        priority, _, turn, _ = self._entries[group]
        entry = (priority, limiter.load(group), turn, group)
        self._entries[group] = entry
        at_s = limiter.lease_at_s(group, now_s)
        if at_s <= now_s:
            ready = self._ready[limiter.total.asks(group)]
            heappush(ready, entry)
            if self._is_too_long(ready):
                ready[:] = [one for one in ready if not self._is_outdated(one)]
                heapify(ready)
        elif at_s < math.inf:
            paused = self._paused
            heappush(paused, (at_s, entry))
            if self._is_too_long(paused):
                paused[:] = [one for one in paused if not self._is_outdated(one[1])]
                heapify(paused)

    def _first_entry(self, now_s: float, *, asks: bool) -> _Entry | None:
        if not self._limiter.total.may_lease(asks=asks):
            return None
        heap = self._ready[asks]
        while heap:
            entry = heap[0]
            if self._is_outdated(entry):
                heappop(heap)
            elif self._limiter.lease_at_s(entry[3], now_s) <= now_s:
                return entry
            else:  # a pause that was too long to wait for is no longer
                heappop(heap)
                self._file(entry[3], now_s)
        return None

    def _is_too_long(self, heap: Sized) -> bool:
        return len(heap) > 2 * len(self._entries) + _SPARE

    def _is_outdated(self, entry: _Entry) -> bool:
        return self._entries.get(entry[3]) is not entry
