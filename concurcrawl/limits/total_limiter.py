"""How many requests may be in flight over all groups of hosts. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TotalLimiter:
    """Counts the requests in flight over all groups, and those on their way there.

    Invariant: no more than *total* are in flight or count as such. Nothing here grows
    with the number of groups: only what is leased, in flight or waits is kept.
    """

    def __init__(self, total: int, asks: Callable[[str], bool] | None) -> None:
        """Begin with nothing in flight.

        Args:
            total: Requests at a time over all groups; 0 means no limit.
            asks: Returns whether requests of a group are admitted one by one. Those of
                other groups count as in flight as soon as they are leased, and the
                process that has them keeps its share of the total. None: all are.
        """
        self._total = total
        self._asks = asks
        self._coming: dict[int, str] = {}  # lease id -> group
        self._there: dict[int, str] = {}  # likewise, of those that were admitted
        self._unseen: set[int] = set()  # leased in groups whose requests do not ask
        self._unleased = 0  # admitted without a lease id
        self._expected: Counter[str] = Counter()  # unleased ones that wait, by group
        self._starved: set[str] = set()  # of those groups, the ones short of the total

    def asks(self, group: str) -> bool:
        """Return whether requests of *group* are admitted one by one."""
        return self._asks is None or self._asks(group)

    def may_lease(self, *, asks: bool) -> bool:
        """Return whether a request may be leased now, as far as the total goes.

        Args:
            asks: Whether the requests of its group are admitted one by one.
        """
        if self._starved:
            return False
        return not self._unleased or asks or self._has_capacity()

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

    def stop_starving(self, group: str) -> None:
        """Note that requests of *group* wait for something else than the total."""
        self._starved.discard(group)

    def lease(self, lease_id: int, group: str) -> None:
        """Count a request that a process got."""
        self._coming[lease_id] = group
        if not self.asks(group):
            self._unseen.add(lease_id)

    def may_start(self, group: str, lease_id: int | None) -> bool:
        """Return whether the total lets a request start at its site now.

        One without a lease id that may not is short of the total from now on.
        """
        if lease_id is None:
            self._starved.discard(group)
        # A process with lease ids keeps to the total by itself, but knows of no others.
        counts = lease_id is None or self._asks is None or self._unleased > 0
        if not counts or self._has_capacity():
            return True
        if lease_id is None:
            self._starved.add(group)
        return False

    def start(self, group: str, lease_id: int | None) -> None:
        """Count a request as in flight; one with a lease id is counted once."""
        if lease_id is None:
            self._unleased += 1
        else:
            self.arrive(lease_id)
            self._there[lease_id] = group

    def arrive(self, lease_id: int) -> str | None:
        """Stop counting a lease as on its way; return the group it was leased in."""
        group = self._coming.pop(lease_id, None)
        if group is not None:
            self._unseen.discard(lease_id)
        return group

    def finish(self, lease_id: int) -> str | None:
        """Stop counting a lease as in flight; return the group it was in flight in."""
        return self._there.pop(lease_id, None)

    def leave(self, lease_id: int | None) -> None:
        """Stop counting a request, wherever it was."""
        if lease_id is None:
            self._unleased -= 1
        else:
            self.arrive(lease_id)
            self.finish(lease_id)

    def reconsider(self, group: str) -> None:
        """Take in that the requests of *group* may be admitted one by one now."""
        if self.asks(group):  # as of those that are leased from now on
            self._unseen = {
                lease_id for lease_id in self._unseen if self._coming[lease_id] != group
            }

    def _has_capacity(self) -> bool:
        in_flight = len(self._unseen) + len(self._there) + self._unleased
        return not self._total or in_flight < self._total
