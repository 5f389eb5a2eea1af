"""Frontiers to test, and what is done with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from concurcrawl.frontier.base import Entry, Lease
from concurcrawl.limits.limiter import GroupLimits
from tests.contracts.frontier.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contracts.frontier.told import Told

#: Of no lease.
UNKNOWN_LEASE_ID = 1 << 40


def entry(
    payload: str,
    *,
    key: str | None = None,
    group: str = "a.example",
    priority: int = 0,
    is_start: bool = False,
) -> Entry:
    return Entry(
        key=None if key is None else key.encode(),
        group=group,
        priority=priority,
        is_start=is_start,
        payload=payload.encode(),
    )


def taken(frontier: Told) -> Lease:
    """Acquire one that must be there."""
    lease = frontier.acquire()
    assert lease is not None
    return lease


def drained(frontier: Told) -> list[str]:
    """Acquire and ack until nothing more may start; return the payloads."""
    payloads = []
    while (lease := frontier.acquire()) is not None:
        payloads.append(lease.payload.decode())
        frontier.ack(lease.lease_id)
    return payloads


def taken_if_any(frontier: Told, count: int) -> list[Lease | None]:
    """Acquire *count* times."""
    return [frontier.acquire() for _ in range(count)]


def unstorable() -> Entry:
    payload: Any = object()
    return Entry(None, "a.example", 0, is_start=False, payload=payload)


def started(frontier: Told, group: str) -> float:
    """Have a request admitted and sent; return how long that must wait."""
    wait_s = frontier.admit(group, None)
    if wait_s == 0:
        frontier.sent(group, None, 0)
    return wait_s


class FrontierTests(ABC):
    """Frontiers, as an implementation makes them. Say how to make one."""

    #: What :meth:`Frontier.push` raises for what it cannot store.
    storage_error: ClassVar[type[Exception]]

    @abstractmethod
    def make(
        self,
        limits: GroupLimits | None,
        clock: Clock,
        *,
        total: int = 0,
        newest_first: bool = True,
    ) -> Told:
        """Return an empty one in which each group has *limits*."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def frontier(self, clock: Clock) -> Iterator[Told]:
        frontier = self.make(None, clock)
        yield frontier
        frontier.close()

    @pytest.fixture
    def limited(self, clock: Clock) -> Iterator[Told]:
        """At most two in flight in each group."""
        frontier = self.make(GroupLimits(in_flight=2), clock)
        yield frontier
        frontier.close()

    @pytest.fixture
    def delayed(self, clock: Clock) -> Iterator[Told]:
        """Ten seconds between two starts in each group."""
        frontier = self.make(GroupLimits(delay_s=10), clock)
        yield frontier
        frontier.close()
