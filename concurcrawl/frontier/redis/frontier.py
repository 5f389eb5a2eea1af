"""The shared frontier: one Redis for the nodes of a crawl on several machines.

A node gathers what it has done and what it would like to know, and one script applies
all of that in one exchange: see ``protocol.py``. At most one exchange is under way, so
that a page costs at most about one round trip however far Redis is, and nothing here
waits for it: each call is answered from memory.

Why a script of our own:

- Streams with consumer groups have leases, but no priorities, no duplicates, no limits
  by group, and anyone may acknowledge what was taken from them meanwhile.
- BullMQ's Python port locks each job for itself, several round trips a job, and its
  stalled jobs come back only when a worker looks; limits by group are not in it.
- scrapy-redis pops a request before it is done, so a crash loses it, and learns of
  duplicates in another step than the one that stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from concurcrawl.errors import (
    ConcurcrawlError,
    FrontierError,
    LeaseLostError,
    PausedTooLongError,
)
from concurcrawl.frontier.base import (
    Completed,
    Entry,
    Frontier,
    GroupState,
    Lease,
    Output,
)
from concurcrawl.frontier.redis import operations, protocol
from concurcrawl.frontier.redis.admissions import Admissions
from concurcrawl.frontier.redis.node import RedisNode
from concurcrawl.limits.limiter import FetchResult, GroupLimits
from concurcrawl.limits.total_limiter import TotalLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from concurcrawl.frontier.redis.admissions import Place
    from concurcrawl.frontier.redis.batcher import Outgoing
    from concurcrawl.frontier.redis.protocol import Reply
    from concurcrawl.frontier.redis.session import Link, Member

T = TypeVar("T")

#: How often a node that waits for something looks, at first and at last.
_FIRST_LOOK_S = 0.01
_LAST_LOOK_S = 0.25

#: How often a node looks whether another's request was sent, so that its own may.
_SOON_S = 0.03

#: Seconds that an operation waits for more, so that they share a round trip.
_LINGER_S = 0.002


class RedisFrontier(RedisNode, Frontier):
    """A node's part of a frontier in Redis.

    Invariant: ``_held`` has each lease that was acquired and not ended.

    Attributes:
        free_capacity: Returns how many more requests this node could do now.
        prefetch: Requests that are kept ready besides.
    """

    def __init__(  # noqa: PLR0913 - as SqliteFrontier's, and two
        self,
        link: Link,
        member: Member,
        limits_of: Callable[[str], GroupLimits] = lambda _: GroupLimits(),
        *,
        total: int = 0,
        asks: Callable[[str], bool] | None = None,
        newest_first: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Make one that has not joined.

        Args:
            link: The way to Redis.
            member: Who we are.
            limits_of: Returns what a group must not exceed.
            total: Requests of this node at a time over all groups; 0 means no limit.
            asks: Returns whether a group's requests are admitted one by one; None: all.
            newest_first: Whether the newest request of a priority leaves first.
            clock: Seconds, in the place of Redis's own clock.
        """
        super().__init__(link, member, clock, newest_first=newest_first)
        self._link = link
        self._limits_of = limits_of
        self._clock = clock or time.monotonic
        # Limits by group are kept in Redis; the total is this node's own.
        self._total = TotalLimiter(total, asks)
        self._admissions = Admissions()
        self._prefetched: deque[Lease] = deque()
        self._held: dict[int, Lease] = {}
        self._known_groups: set[str] = set()  # with limits of their own
        self._expected = 0
        self._pushes = 0  # exchanges with requests that are yet to be answered
        self._ready_at_s: float | None = None
        self._look_s = _FIRST_LOOK_S
        self._is_hurried = False
        self._task: asyncio.Task[None] | None = None
        self.free_capacity: Callable[[], int] = lambda: 0
        self.prefetch = 0

    # Exchanges -------------------------------------------------------------------

    def start(self) -> None:
        """Begin to exchange whenever operations wait or requests are wanted."""
        self._task = asyncio.ensure_future(self._run())

    async def quit(self) -> None:
        """Leave the job: what this node holds waits again."""
        try:
            if self.failure is None and self.has_joined:
                self._is_leaving = True
                left = self._outbox.call(operations.Quit(), lambda _: None)
                if self._task is None:
                    await self.exchange()
                with contextlib.suppress(ConcurcrawlError):  # it is out already
                    await left
        finally:
            self.close()
            await self._link.close()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to do or to send, as of the last exchange."""
        return (
            self._reply is not None
            and not (self._outbox or self._is_busy or self._prefetched or self._held)
            and not (self._reply.waiting or self._reply.leased)
        )

    async def _run(self) -> None:
        outbox = self._outbox
        try:
            while not outbox.is_closed:
                outbox.due.clear()
                if not outbox:
                    try:
                        await asyncio.wait_for(outbox.due.wait(), self._next_look_s())
                        if not self._is_hurried:
                            await asyncio.sleep(_LINGER_S)
                    except TimeoutError:
                        self._look_s = min(2 * self._look_s, _LAST_LOOK_S)
                        self._admissions.look_sooner()
                        self.on_change()
                self._is_hurried = False
                await self.exchange()
        except FrontierError as error:
            self.on_failure(error)

    def hurry(self) -> None:
        """Make the next exchange at once: something waits for its answer."""
        self._is_hurried = True

    def _next_look_s(self) -> float:
        """Return how long to wait if nothing happens here."""
        if not self.has_joined or self._ended is not None:
            return self._member.lease_s / 4
        if self._admissions.may_be_sooner:
            return min(self._look_s, _SOON_S)
        return self._look_s

    def _wanted_requests(self) -> tuple[int, int]:
        if self._total.is_starved or self._is_leaving or self._ended is not None:
            return -1, 0
        want = self.free_capacity() + self.prefetch - len(self._prefetched)
        return (want, min(self.prefetch, want)) if want > 0 else (-1, 0)

    def _take_in(self, reply: Reply, outgoing: Sequence[Outgoing]) -> None:
        self._prefetched.extend(reply.leases)
        self._ready_at_s = None
        if reply.ready_in_s is not None:
            self._ready_at_s = self._clock() + reply.ready_in_s
        if reply.leases or outgoing:
            self._look_s = _FIRST_LOOK_S
        super()._take_in(reply, outgoing)
        self._return_permits()

    def _return_permits(self) -> None:
        """Give permits back whose requests have gone meanwhile."""
        if self._expected:
            return
        for group, count in self._admissions.unclaimed():
            for _ in range(count):
                self._outbox.send(operations.Sent(group, None, 0.0))
                self._outbox.send(operations.Leave(group, None, FetchResult()))

    def _lose_leases(self) -> None:
        for lease_id in self._held:
            self._total.leave(lease_id)
        self._held.clear()
        self._prefetched.clear()
        self._admissions.begin_anew()

    # The contract ----------------------------------------------------------------

    @override
    def push(
        self,
        entries: Iterable[Entry],
        notes: Mapping[str, str] | None = None,
        output: Output | None = None,
    ) -> asyncio.Future[list[bool]]:
        entries = list(entries)
        self._introduce(entries)
        operation = operations.Push(entries, dict(notes or {}), output)
        return self._note_push(
            self._outbox.call(operation, lambda answer: list(answer["added"]))
        )

    @override
    async def times_taken(self, what: bytes) -> int:
        return await self._link.times_taken(what)

    @override
    def acquire(self) -> Lease | None:
        """Lease one of the requests that were fetched ahead."""
        if not self.has_ready():
            if not self._prefetched and self._ended is None:
                self._look_s = _FIRST_LOOK_S
            return None  # or requests without a lease have used the capacity up
        lease = self._prefetched.popleft()
        self._held[lease.lease_id] = lease
        self._total.lease(lease.lease_id, lease.group)
        self._outbox.send(operations.Begun(lease.lease_id))
        return lease

    @override
    def ack(
        self, lease_id: int, entries: Iterable[Entry] = (), items: Iterable[bytes] = ()
    ) -> asyncio.Future[Completed]:
        if lease_id not in self._held:
            raise LeaseLostError(lease_id)
        entries, kept = list(entries), list(items)
        self._introduce(entries)

        def read(answer: Any) -> Completed:
            done = protocol.completed(answer, len(kept))
            if done is None:
                raise LeaseLostError(lease_id)
            return done

        answer = self._outbox.call(operations.Ack(lease_id, entries, kept), read)
        self._forget(lease_id)
        return self._note_push(answer) if entries else answer

    def _note_push(self, answer: asyncio.Future[T]) -> asyncio.Future[T]:
        self._pushes += 1
        answer.add_done_callback(self._on_pushed)
        return answer

    def _on_pushed(self, _: asyncio.Future[Any]) -> None:
        self._pushes -= 1
        self.on_change()

    @override
    async def items(self) -> list[tuple[int, bytes]]:
        return await self._link.items(self._member.node)

    @override
    def deliver(
        self, items: Sequence[int], notes: Mapping[str, str]
    ) -> asyncio.Future[None]:
        operation = operations.Deliver(list(items), dict(notes))
        return self._outbox.call(operation, lambda _: None)

    @override
    def keep(
        self,
        items: Sequence[bytes],
        notes: Mapping[str, str],
        output: Output | None = None,
    ) -> asyncio.Future[list[int]]:
        return self._outbox.call(
            operations.Keep(list(items), dict(notes), output),
            lambda answer: protocol.numbers(answer, len(items)),
        )

    @override
    async def notes(self) -> dict[str, str]:
        return await self._link.notes()

    @override
    def release(self, lease_id: int) -> None:
        if lease_id in self._held:
            self._forget(lease_id)
            self._outbox.send(operations.Release(lease_id))

    @override
    def admit(self, group: str, lease_id: int | None) -> float:
        """Return also infinity where Redis must be asked first."""
        place, now_s, known = (group, lease_id), self._clock(), self._admissions
        if lease_id is not None and lease_id not in self._held:
            raise LeaseLostError(lease_id)
        pause_s = known.too_long_s(group, now_s)
        if pause_s > 0:
            max_pause_s = self._limits_of(group).max_pause_s
            raise PausedTooLongError(group, pause_s, max_pause_s)
        if known.has_permit(place):
            if not self._total.may_start(group, lease_id):
                return math.inf
            self._total.start(group, lease_id)
            known.use_permit(place)
            return 0.0
        wait_s = known.wait_s(group, now_s)
        if wait_s > 0:
            return wait_s
        if known.ask(place):
            self._introduce_group(group)
            self._outbox.send(
                operations.Admit(group, lease_id),
                lambda answer: self._admitted(place, answer),
            )
        return math.inf

    def _admitted(self, place: Place, answer: Mapping[str, Any]) -> None:
        _, lease_id = place
        self._admissions.ask_no_longer(place)
        if "is_lost" in answer:
            if lease_id is not None and lease_id in self._held:
                self._forget(lease_id)
            return
        is_held = lease_id is None or lease_id in self._held
        self._admissions.on_answer(place, answer, self._clock(), is_held=is_held)

    def ask_no_longer(self, group: str, lease_id: int | None) -> None:
        """Take back a question of :meth:`admit` that was not sent yet."""
        place = (group, lease_id)
        if self._admissions.is_asked(place) and self._outbox.withdraw(
            operations.Admit(group, lease_id)
        ):
            self._admissions.ask_no_longer(place)

    @override
    def sent(self, group: str, lease_id: int | None, ago_s: float) -> None:
        self._admissions.stop_waiting(group)
        self._introduce_group(group)
        self._outbox.send(operations.Sent(group, lease_id, ago_s))

    @override
    def leave(self, group: str, lease_id: int | None, result: FetchResult) -> None:
        self._total.leave(lease_id)
        self._admissions.drop_permits((group, lease_id))
        self._admissions.stop_waiting(group)
        self._introduce_group(group)
        self._outbox.send(operations.Leave(group, lease_id, result))

    @override
    def expect(self, group: str, change: int) -> None:
        """Hold back what this node may lease, not what others may."""
        self._expected += change
        self._total.expect(group, change)

    @override
    def slow_down(self, group: str, delay_s: float) -> None:
        self._admissions.stop_waiting(group)
        self._introduce_group(group)
        self._outbox.send(operations.SlowDown(group, delay_s))

    @override
    def change_limits(self, group: str, limits: GroupLimits, *, was_free: bool) -> None:
        """Keep other limits, at all nodes."""
        self._admissions.stop_waiting(group)
        self._known_groups.add(group)
        self._outbox.send(operations.ChangeLimits(group, limits, was_free))

    @override
    def delay_s(self, group: str) -> float:
        """Return what is known here; Redis may know of a longer one."""
        limits = self._limits_of(group)
        start_s = limits.throttle.start_delay_s if limits.throttle is not None else 0.0
        return max(limits.delay_s, start_s)

    @override
    def busiest(self, most: int) -> tuple[list[GroupState], int]:
        """Return those of which this node holds requests; Redis knows the others."""
        held = Counter(lease.group for lease in self._held.values())
        return [GroupState(name=n, in_flight=k) for n, k in held.most_common(most)], 0

    @override
    def has_ready(self) -> bool:
        if self._total.is_starved or self._is_leaving or not self._prefetched:
            return False
        group = self._prefetched[0].group
        return self._total.may_lease(asks=self._total.asks(group))

    @property
    def is_pushing(self) -> bool:
        """Whether requests are on their way into the frontier."""
        return self._pushes > 0

    @override
    def start_over(self, lease_id: int) -> None:
        lease = self._held.get(lease_id)
        if lease is None:
            return
        self._total.leave(lease_id)
        self._total.lease(lease_id, lease.group)
        self._admissions.drop_permits((lease.group, lease_id))
        self._admissions.stop_waiting(lease.group)
        self._outbox.send(operations.StartOver(lease_id))

    @override
    def waiting(self) -> int:
        """Return how many requests waited at the last exchange."""
        return 0 if self._reply is None else self._reply.waiting + len(self._prefetched)

    @override
    def leased(self) -> int:
        """Return how many were leased by all nodes at the last exchange."""
        return 0 if self._reply is None else self._reply.leased - len(self._prefetched)

    @override
    def ready_in_s(self) -> float | None:
        """Return the seconds of the last exchange, less those since."""
        if self._total.is_starved:
            return None
        if self._prefetched:
            return 0.0
        if self._ready_at_s is None:
            return None
        return max(0.0, self._ready_at_s - self._clock())

    @override
    def close(self) -> None:
        """Stop exchanging; call :meth:`quit` before."""
        self._outbox.is_closed = True
        if self._task is not None:
            self._task.cancel()

    def _forget(self, lease_id: int) -> None:
        lease = self._held.pop(lease_id)
        self._admissions.stop_waiting(lease.group)
        self._total.leave(lease_id)
        self._admissions.drop_permits((lease.group, lease_id))

    def _introduce(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if not isinstance(entry.payload, bytes):
                raise FrontierError(
                    "frontier_refused", f"{entry.payload!r} is no payload"
                )
            self._introduce_group(entry.group)

    def _introduce_group(self, group: str) -> None:
        """Say a group's limits, once, if it has some of its own."""
        limits = self._limits_of(group)
        if limits != self._member.limits and group not in self._known_groups:
            self._known_groups.add(group)
            self._outbox.send(operations.Limits(group, limits))
