"""The limiters of all groups of hosts, and the total over them. Pure."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from concurcrawl.limits.limiter import GroupLimiter
from concurcrawl.limits.total_limiter import TotalLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.limits.limiter import FetchResult, GroupLimits


class CrawlLimiter:
    """The limiters of all groups and the one of the total.

    A group that has not been asked for a while is forgotten (:meth:`forget_idle`):
    broad crawls ask each of a hundred thousand hosts a few times and never again.

    Invariants: in each group no more are admitted than its limit; over all groups no
    more than *total* are admitted or about to be.

    Attributes:
        total: Limits requests over all groups.
        changed: Groups of which :meth:`load` or :meth:`lease_at_s` may have changed.
            The queue that orders groups by them takes them out.
    """

    def __init__(
        self,
        limits_of: Callable[[str], GroupLimits],
        total: int,
        asks: Callable[[str], bool] | None,
        uniform: Callable[[float, float], float],
    ) -> None:
        """Begin with nothing in flight.

        Args:
            limits_of: Returns the limits of a group.
            total: Requests at a time over all groups; 0 means no limit.
            asks: As of :class:`TotalLimiter`.
            uniform: ``random.uniform`` or what stands for it.
        """
        self.total = TotalLimiter(total, asks)
        self.changed: set[str] = set()
        self._limits_of = limits_of
        self._uniform = uniform
        self._limiters: dict[str, GroupLimiter] = {}
        #: When to look whether a group is idle: each of ``_watched`` once.
        self._idle: list[tuple[float, str]] = []
        self._watched: set[str] = set()

    def __getitem__(self, group: str) -> GroupLimiter:
        """Return the limiter of *group*, to look at; it may not be the one kept."""
        limiter = self._limiters.get(group)
        return GroupLimiter(self._limits_of(group)) if limiter is None else limiter

    def __len__(self) -> int:
        """Return how many groups are known."""
        return len(self._limiters)

    def lease_at_s(self, group: str, now_s: float) -> float:
        """Return when, by the clock, the limits of *group* let a request be leased.

        Infinity means that something must end first.
        """
        limiter = self._limiters.get(group)
        if limiter is None:
            return math.inf if self._limits_of(group).in_flight < 0 else now_s
        return limiter.lease_at_s(now_s)

    def load(self, group: str) -> int:
        """Return how many requests of *group* are leased or in flight."""
        limiter = self._limiters.get(group)
        return 0 if limiter is None else limiter.in_flight + limiter.coming

    def lease(self, lease_id: int, group: str) -> None:
        """Count a request that a process got."""
        self.total.lease(lease_id, group)
        self._kept(group).coming += 1
        self.changed.add(group)

    def admit(self, group: str, lease_id: int | None, now_s: float) -> float:
        """Let a request start, if that may be.

        Args:
            group: Its group.
            lease_id: That of its lease; None if it never was in the frontier.
            now_s: The time.

        Returns:
            0 if it is admitted; else the seconds until it is worth asking again, or
            infinity if something must end first.
        """
        limiter = self._kept(group)
        if lease_id is None:
            self.total.stop_starving(group)
        if not limiter.has_capacity():
            return math.inf
        limiter.expire(now_s)
        wait_s = limiter.next_start_s() - now_s
        if wait_s > 0:
            return wait_s
        if not self.total.may_start(group, lease_id):
            self._watch(group, now_s)
            return math.inf
        limiter.start(now_s, self._uniform, lease_id)
        if lease_id is not None:
            self._arrive(lease_id, now_s)
            there = self.total.finish(lease_id)
            if there is not None:  # it asked twice, but is there once
                self._end(there, None, now_s)
        self.total.start(group, lease_id)
        self.changed.add(group)
        return 0.0

    def sent(self, group: str, lease_id: int | None, at_s: float) -> None:
        """Count time from *at_s*, when a request that was admitted was sent."""
        self._kept(group).sent(lease_id, at_s)
        self._watch(group, at_s)

    def leave(
        self, group: str, lease_id: int | None, result: FetchResult, now_s: float
    ) -> None:
        """Count a request that is done at its site, and learn from it.

        A lease id that was not admitted no longer counts as on its way.
        """
        self._kept(group).learn(result, now_s, self._uniform)
        if lease_id is None:
            self.total.leave(None)
            self._end(group, None, now_s)
        else:
            self.forget(lease_id, now_s)
        self._note_change(group, now_s)

    def forget(self, lease_id: int, now_s: float) -> None:
        """Count a request that is done or released, wherever it was."""
        self._arrive(lease_id, now_s)
        group = self.total.finish(lease_id)
        if group is not None:
            self._end(group, lease_id, now_s)

    def slow_down(self, group: str, delay_s: float) -> None:
        """Keep at least *delay_s* between two starts in *group* from now on."""
        self._kept(group).slow_down(delay_s)
        self.changed.add(group)

    def change(
        self, group: str, limits: GroupLimits, now_s: float, *, was_free: bool
    ) -> None:
        """Keep other limits of *group* from the next start on.

        Args:
            group: The group.
            limits: What it must not exceed.
            now_s: The time.
            was_free: Whether its requests have started without being admitted.
        """
        limiter = self._kept(group)
        is_busy = was_free and limiter.coming > 0
        limiter.change(limits, now_s if is_busy else None)
        self.total.reconsider(group)
        self.changed.add(group)

    def forget_idle(self, now_s: float) -> None:
        """Forget the groups that are as if they had never been asked.

        It looks only at those whose time has come, each of which was in use since it
        was looked at last.
        """
        while self._idle and self._idle[0][0] <= now_s:
            _, group = heappop(self._idle)
            self._watched.discard(group)
            self._watch(group, now_s)

    def _kept(self, group: str) -> GroupLimiter:
        """Return the limiter of *group*, to change it."""
        limiter = self._limiters.get(group)
        if limiter is None:
            limiter = self._limiters[group] = GroupLimiter(self._limits_of(group))
        return limiter

    def _arrive(self, lease_id: int, now_s: float) -> None:
        group = self.total.arrive(lease_id)
        if group is not None:
            self._kept(group).coming -= 1
            self._note_change(group, now_s)

    def _end(self, group: str, lease_id: int | None, now_s: float) -> None:
        limiter = self._kept(group)
        if lease_id is not None and limiter.is_on_way(lease_id):
            limiter.sent(lease_id, now_s)
        limiter.finish()
        self._note_change(group, now_s)

    def _note_change(self, group: str, now_s: float) -> None:
        self.changed.add(group)
        self._watch(group, now_s)

    def _watch(self, group: str, now_s: float) -> None:
        """Forget *group* if it is idle, or look at it again when it may be."""
        limiter = self._limiters.get(group)
        if limiter is None:
            return
        idle_at_s = limiter.idle_at_s()
        if idle_at_s <= now_s:
            del self._limiters[group]
        elif idle_at_s < math.inf and group not in self._watched:
            self._watched.add(group)
            heappush(self._idle, (idle_at_s, group))
