"""The gates of all groups of hosts, and who is on the way to them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from concurcrawl.limits.limiter import GroupLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from concurcrawl.limits.limiter import FetchResult, GroupLimits


class Limiter:
    """The gates of all groups, and who is on the way to them.

    Invariants: in each group no more are admitted than its limit; over all groups no
    more than *total* are admitted or about to be.
    """

    def __init__(
        self,
        limits_of: Callable[[str], GroupLimits],
        total: int,
        asks: Callable[[str], bool] | None,
        uniform: Callable[[float, float], float],
    ) -> None:
        """Open all gates.

        Args:
            limits_of: Returns the limits of a group.
            total: Requests at a time over all groups; 0 means no limit.
            asks: Tells whether requests of a group are admitted one by one. Those of
                other groups are taken for in flight as soon as they are leased, and
                whoever has them keeps its share of the total. None: all are.
            uniform: ``random.uniform`` or what stands for it.
        """
        self._limits_of = limits_of
        self._total = total
        self._asks = asks or (lambda _: True)
        self._sees_all = asks is None
        self._uniform = uniform
        self._gates: dict[str, GroupLimiter] = {}
        self._leased: dict[
            int, str
        ] = {}  # lease ids on their way to a site, not yet there
        self._coming: Counter[str] = Counter()  # how many of those each group has
        self._there: dict[int, str] = {}  # lease ids that were admitted
        self._unseen: set[int] = set()  # leased in groups whose requests do not ask
        self._unleased = 0  # admitted without a lease id
        self._expected: Counter[str] = Counter()  # unleased ones that wait, by group
        self._starved: set[str] = set()  # of those groups, the ones short of the total

    def __getitem__(self, group: str) -> GroupLimiter:
        """Return the gate of *group*."""
        gate = self._gates.get(group)
        if gate is None:
            gate = self._gates[group] = GroupLimiter(self._limits_of(group))
        return gate

    def may_lease(self, group: str, now_s: float) -> bool:
        """Return whether a request of *group* may be leased now."""
        return self.lease_at_s(group, now_s) <= now_s

    def lease_at_s(self, group: str, now_s: float) -> float:
        """Return when, by the clock, a request of *group* may be leased.

        Infinity means that something must end first.
        """
        gate, coming = self[group], self._coming[group]
        limit = gate.limits.in_flight
        if limit and gate.in_flight + coming >= limit:
            return math.inf
        if not self.has_capacity(group):
            return math.inf
        if gate.is_paced() and coming:
            return math.inf
        pause_s = gate.pause_left_s(now_s)
        if 0 < pause_s <= gate.limits.max_pause_s:
            return now_s + pause_s
        return now_s  # and one that is paused for too long is leased, to fail

    def has_capacity(self, group: str) -> bool:
        """Return whether the total lets a request of *group* be leased."""
        if self._starved:
            return False
        return not self._unleased or self._asks(group) or self._has_total()

    def load(self, group: str) -> int:
        """Return how many requests of *group* are leased or in flight."""
        return self[group].in_flight + self._coming[group]

    def lease(self, lease_id: int, group: str) -> None:
        """Count a request that a process got."""
        self._leased[lease_id] = group
        self._coming[group] += 1
        if not self._asks(group):
            self._unseen.add(lease_id)

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
        gate = self[group]
        if lease_id is None:
            self._starved.discard(group)
        if not gate.has_room():
            return math.inf
        gate.expire(now_s)
        wait_s = gate.next_start_s() - now_s
        if wait_s > 0:
            return wait_s
        # A process with lease ids keeps to the total by itself, but knows of no others.
        counts = lease_id is None or self._sees_all or self._unleased > 0
        if counts and not self._has_total():
            if lease_id is None:
                self._starved.add(group)
            return math.inf
        gate.start(now_s, self._uniform, lease_id)
        if lease_id is None:
            self._unleased += 1
        else:
            self._arrive(lease_id)
            if lease_id in self._there:
                self[self._there[lease_id]].finish()  # asked twice: it is there once
            self._there[lease_id] = group
        return 0.0

    def sent(self, group: str, lease_id: int | None, at_s: float) -> None:
        """Count time from *at_s*, when a request that was admitted was sent."""
        self[group].sent(lease_id, at_s)

    def change(
        self, group: str, limits: GroupLimits, now_s: float, *, was_free: bool
    ) -> None:
        """Keep other limits of *group* from the next start on.

        Args:
            group: It.
            limits: They.
            now_s: The time.
            was_free: Whether its requests have started without being admitted.
        """
        is_busy = was_free and self._coming[group] > 0
        self[group].change(limits, now_s if is_busy else None)
        if self._asks(group):  # as of those that are leased from now on
            self._unseen = {
                lease_id for lease_id in self._unseen if self._leased[lease_id] != group
            }

    @property
    def is_starved(self) -> bool:
        """Whether a request without a lease id waits for the total alone.

        Nothing is leased before it, so that it finds free capacity.
        """
        return bool(self._starved)

    def expect(self, group: str, change: int) -> None:
        """Change the count of requests of *group* without a lease id that wait."""
        self._expected[group] += change
        if not self._expected[group]:
            del self._expected[group]
            self._starved.discard(group)

    def leave(
        self, group: str, lease_id: int | None, visit: FetchResult, now_s: float
    ) -> None:
        """Count a request that is done at its site, and learn from it.

        A lease id that was not admitted is no longer taken for in flight.
        """
        was_there = lease_id is None or self._there.pop(lease_id, None) is not None
        if lease_id is None:
            self._unleased -= 1
        else:
            self._arrive(lease_id)
        if was_there:
            self._finish(group, lease_id, now_s)
        self[group].hear(visit, now_s, self._uniform)

    def forget(self, lease_id: int, now_s: float) -> None:
        """Count a request that is done or given back, wherever it was."""
        self._arrive(lease_id)
        group = self._there.pop(lease_id, None)
        if group is not None:
            self._finish(group, lease_id, now_s)

    def _finish(self, group: str, lease_id: int | None, now_s: float) -> None:
        gate = self[group]
        if lease_id is not None and gate.is_on_way(lease_id):
            gate.sent(lease_id, now_s)
        gate.finish()

    def ready_in_s(self, groups: Iterable[str], now_s: float) -> float | None:
        """Return the seconds until time alone lets a request of *groups* be leased.

        Returns:
            None if only an end of something can help.
        """
        times = [self.lease_at_s(group, now_s) for group in groups]
        soonest_s = min(times, default=math.inf)
        return None if math.isinf(soonest_s) else max(0.0, soonest_s - now_s)

    def _arrive(self, lease_id: int) -> None:
        group = self._leased.pop(lease_id, None)
        if group is not None:
            self._coming[group] -= 1
            self._unseen.discard(lease_id)

    def _has_total(self) -> bool:
        in_flight = len(self._unseen) + len(self._there) + self._unleased
        return not self._total or in_flight < self._total
