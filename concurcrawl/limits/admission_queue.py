"""The queue in which requests wait until the limits of their site admit them."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scrapy.utils.asyncio import call_later
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.defer import Deferred

from concurcrawl.errors import LeaseLostError, PausedTooLongError
from concurcrawl.limits.limiter import FetchResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy.utils.asyncio import CallLaterResult

    from concurcrawl.limits.host_limiter import HostLimiter


class _Leased(Protocol):
    """What a lease is known by here."""

    @property
    def group(self) -> str:
        """Its group of hosts."""

    @property
    def lease_id(self) -> int:
        """Its number."""


@dataclass(slots=True, eq=False)
class _Place:
    """A request that waits."""

    lease_id: int | None
    admitted: Deferred[None]


class AdmissionQueue:
    """Admits requests to their sites, those of a group in their order.

    Invariant: only groups whose requests wait have a queue or a timer, so that nothing
    here grows with the number of groups that were asked.
    """

    def __init__(
        self,
        limiter: HostLimiter,
        on_room: Callable[[], None],
        on_unleased: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Make one.

        Args:
            limiter: Knows the limits.
            on_room: Called when a request has left, so that another may be leased.
            on_unleased: Called with True when the first request without a lease id
                waits, and with False when none does any more.
        """
        self._limiter = limiter
        self._on_room = on_room
        self._on_unleased = on_unleased
        self._unleased = 0  # requests without a lease id that wait
        self._queues: dict[str, deque[_Place]] = {}
        self._timers: dict[str, tuple[float, CallLaterResult]] = {}

    async def enter(self, group: str, lease_id: int | None) -> None:
        """Return when a request of *group* is admitted by the limiter."""
        if group not in self._queues and not self._limiter.admit(group, lease_id):
            return
        admitted: Deferred[None] = Deferred()
        place = _Place(lease_id, admitted)
        self._queues.setdefault(group, deque()).append(place)
        if lease_id is None:
            self._count_unleased(group, +1)
        self._pump(group)
        try:
            await maybe_deferred_to_future(admitted)
        except asyncio.CancelledError:
            if place in self._queues.get(group, ()):
                self._remove(group, place)
            else:  # it was admitted while it was being cancelled
                self._limiter.sent(group, lease_id, 0.0)
                self._limiter.leave(group, lease_id, FetchResult())
            raise
        finally:
            if lease_id is None:
                self._count_unleased(group, -1)
                self._on_room()

    def sent(self, group: str, lease_id: int | None, at_s: float) -> None:
        """Note that a request was sent at *at_s* by the monotonic clock, the latest."""
        self._limiter.sent(group, lease_id, max(0.0, time.monotonic() - at_s))
        self._pump(group)

    def leave(self, group: str, lease_id: int | None, result: FetchResult) -> None:
        """Count a request as gone from its site, and admit those that may start."""
        self._limiter.leave(group, lease_id, result)
        self._pump(group)
        self._pump_untimed()
        self._on_room()

    def release(self, leases: Iterable[_Leased]) -> None:
        """Stop counting *leases* as in flight: they are not at their sites.

        Each is counted again when it enters.
        """
        for lease in leases:
            self._limiter.leave(lease.group, lease.lease_id, FetchResult())
        self.pump_all()
        self._on_room()

    def withdraw(self, lease_ids: set[int]) -> None:
        """Take the requests with *lease_ids* out of their queues; their waits end."""
        found = [
            (group, place)
            for group, queue in self._queues.items()
            for place in queue
            if place.lease_id in lease_ids
        ]
        for group, place in found:
            self._remove(group, place)
            place.admitted.cancel()

    @property
    def is_timed(self) -> bool:
        """Whether a request waits for time: a delay, a rate or a pause."""
        return bool(self._timers)

    def abandon(self, error: Exception) -> None:
        """Fail all requests that wait with *error*."""
        while self._queues:
            group, queue = next(iter(self._queues.items()))
            place = queue[0]
            self._remove(group, place)
            place.admitted.errback(error)

    def pump_all(self) -> None:
        """Ask again for all that wait: something has ended."""
        for group in list(self._queues):
            self._pump(group)

    def _pump_untimed(self) -> None:
        """Ask again for all that wait for something to end.

        The end of a request at one site does not make the others' delays shorter.
        """
        for group in [group for group in self._queues if group not in self._timers]:
            self._pump(group)

    def _pump(self, group: str) -> None:
        while queue := self._queues.get(group):
            place = queue[0]
            try:
                wait_s = self._limiter.admit(group, place.lease_id)
            except (LeaseLostError, PausedTooLongError) as error:
                self._remove(group, place)
                place.admitted.errback(error)
                continue
            if wait_s:
                self._pump_in(wait_s, group)
                return
            self._remove(group, place)
            place.admitted.callback(None)

    def _remove(self, group: str, place: _Place) -> None:
        queue = self._queues[group]
        queue.remove(place)
        if not queue:
            del self._queues[group]
            self._cancel_timer(group)

    def _count_unleased(self, group: str, change: int) -> None:
        self._limiter.expect(group, change)
        before, self._unleased = self._unleased, self._unleased + change
        if bool(before) != bool(self._unleased):
            self._on_unleased(bool(self._unleased))

    def _pump_in(self, wait_s: float, group: str) -> None:
        """Ask for *group* again in so many seconds, if they are finite."""
        due_s = time.monotonic() + wait_s
        if group in self._timers:
            if self._timers[group][0] <= due_s < math.inf:
                return
            self._cancel_timer(group)
        if math.isfinite(wait_s):
            self._timers[group] = (due_s, call_later(wait_s, self._on_time, group))

    def _cancel_timer(self, group: str) -> None:
        _, timer = self._timers.pop(group, (0.0, None))
        if timer is not None:
            timer.cancel()

    def _on_time(self, group: str) -> None:
        del self._timers[group]
        self._pump(group)
