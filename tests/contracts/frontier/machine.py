"""A frontier driven in random orders beside a model too simple to be wrong."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from concurcrawl.frontier.base import Entry, Lease
from concurcrawl.limits.limiter import LONGEST_WAY_S, FetchResult, GroupLimits
from tests.contracts.frontier.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.stateful import MultipleResults

    from tests.contracts.frontier.told import Told

#: One group that may have two in flight, one whose requests are three seconds apart.
LIMITS = {"pair": GroupLimits(in_flight=2), "paced": GroupLimits(delay_s=3)}

#: Key, group, priority, whether it is a start request.
Drawn = list[tuple[bytes | None, str, int, bool]]


@dataclass
class _Request:
    """One that was accepted. ``number`` tells the order of acceptance."""

    number: int
    entry: Entry
    is_leased: bool = False
    is_coming: bool = False
    is_there: bool = False

    @property
    def place(self) -> tuple[int, bool, int]:
        """What sorts requests of a group: the one that leaves first is smallest."""
        age = self.number if self.entry.is_start else -self.number
        return (-self.entry.priority, self.entry.is_start, age)


@dataclass
class _Model:
    """All that a frontier knows, and nothing done quickly."""

    clock: Clock
    keys: set[bytes] = field(default_factory=set)
    requests: dict[bytes, _Request] = field(default_factory=dict)  # by payload
    opens_at_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    # Of a group with a delay: who was admitted and when, until it was sent.
    on_way: dict[str, tuple[int | None, float]] = field(default_factory=dict)
    paused_until_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    unleased: Counter[str] = field(default_factory=Counter)
    accepted: int = 0

    def push(self, entries: Sequence[Entry]) -> list[bool]:
        added = []
        for entry in entries:
            is_new = entry.key is None or entry.key not in self.keys
            added.append(is_new)
            if is_new:
                self.accepted += 1
                self.requests[entry.payload] = _Request(self.accepted, entry)
                self.keys |= {entry.key} if entry.key is not None else set()
        return added

    def of(self, group: str) -> list[_Request]:
        return [r for r in self.requests.values() if r.entry.group == group]

    def there(self, group: str) -> int:
        return sum(r.is_there for r in self.of(group)) + self.unleased[group]

    def load(self, group: str) -> int:
        return sum(r.is_coming for r in self.of(group)) + self.there(group)

    def heads(self) -> dict[str, _Request]:
        """Return the request that leaves next of each group with waiting ones."""
        waiting = {
            group: [request for request in self.of(group) if not request.is_leased]
            for group in LIMITS
        }
        return {
            group: min(requests, key=lambda request: request.place)
            for group, requests in waiting.items()
            if requests
        }

    def lease_in_s(self, group: str) -> float:
        limit = LIMITS[group].in_flight
        if limit and self.load(group) >= limit:
            return math.inf
        if LIMITS[group].delay_s and self.load(group) > self.there(group):
            return math.inf
        return max(0.0, self.paused_until_s[group] - self.clock.now_s)

    def candidates(self) -> set[bytes]:
        """Return the payloads any of which may leave next."""
        able = {
            (-head.entry.priority, self.load(group), head.entry.payload)
            for group, head in self.heads().items()
            if self.lease_in_s(group) == 0
        }
        best = min(((rank, load) for rank, load, _ in able), default=None)
        return {payload for rank, load, payload in able if (rank, load) == best}

    def admit_in_s(self, group: str) -> float:
        limit = LIMITS[group].in_flight
        if limit and self.there(group) >= limit:
            return math.inf
        self.expire(group)
        open_s = max(self.opens_at_s[group], self.paused_until_s[group])
        if group in self.on_way:
            open_s = max(open_s, self.on_way[group][1] + LONGEST_WAY_S)
        return max(0.0, open_s - self.clock.now_s)

    def admit(self, group: str, lease_id: int | None) -> None:
        if LIMITS[group].delay_s:
            self.on_way[group] = (lease_id, self.clock.now_s)

    def expire(self, group: str) -> None:
        if group in self.on_way:
            lease_id, since_s = self.on_way[group]
            if self.clock.now_s >= since_s + LONGEST_WAY_S:
                self.sent(group, lease_id, 0)

    def sent(self, group: str, lease_id: int | None, ago_s: float) -> None:
        if LIMITS[group].delay_s:
            until_s = self.clock.now_s - ago_s + LIMITS[group].delay_s
            self.opens_at_s[group] = max(self.opens_at_s[group], until_s)
            if self.on_way.get(group, (math.nan,))[0] == lease_id:
                del self.on_way[group]

    def finish(self, group: str, lease_id: int) -> None:
        if self.on_way.get(group, (None,))[0] == lease_id:
            self.sent(group, lease_id, 0)

    def learn(self, group: str, result: FetchResult) -> None:
        if result.retry_after_s is not None:
            until_s = self.clock.now_s + result.retry_after_s
            self.paused_until_s[group] = max(self.paused_until_s[group], until_s)


class FrontierMachine(RuleBasedStateMachine):
    """Subclass it, say how to make a frontier, and collect its ``TestCase``."""

    leases: Bundle[Lease] = Bundle("leases")

    groups = st.sampled_from(sorted(LIMITS))
    results = st.sampled_from(
        [FetchResult(status=200), FetchResult(status=429, retry_after_s=4)]
    )
    drawn = st.lists(
        st.tuples(
            st.none() | st.sampled_from([b"", b"1", b"2", b"3", b"4"]),
            groups,
            st.integers(-1, 1),
            st.booleans(),
        ),
        max_size=4,
    )

    @abstractmethod
    def make(self, limits_of: Callable[[str], GroupLimits], clock: Clock) -> Told: ...

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.model = _Model(self.clock)
        self.frontier = self.make(LIMITS.__getitem__, self.clock)
        self.payloads = 0

    def entries(self, drawn: Drawn) -> list[Entry]:
        entries = []
        for key, group, priority, is_start in drawn:
            self.payloads += 1
            payload = b"%d" % self.payloads
            entries.append(Entry(key, group, priority, is_start, payload))
        return entries

    @rule(drawn=drawn)
    def push(self, drawn: Drawn) -> None:
        entries = self.entries(drawn)
        assert self.frontier.push(iter(entries)) == self.model.push(entries)

    @rule(target=leases)
    def acquire(self) -> Lease | MultipleResults[Lease]:
        candidates = self.model.candidates()
        lease = self.frontier.acquire()
        if lease is None:
            assert not candidates
            return multiple()
        assert lease.payload in candidates
        request = self.model.requests[lease.payload]
        assert lease.group == request.entry.group
        request.is_leased = request.is_coming = True
        return lease

    @rule(lease=leases)
    def admit(self, lease: Lease) -> None:
        request = self.model.requests[lease.payload]
        if not request.is_there:
            expected_s = self.model.admit_in_s(lease.group)
            assert self.frontier.admit(lease.group, lease.lease_id) == expected_s
            if expected_s == 0:
                request.is_coming, request.is_there = False, True
                self.model.admit(lease.group, lease.lease_id)

    @rule(lease=leases, ago_s=st.integers(0, 2))
    def sent(self, lease: Lease, ago_s: int) -> None:
        self.frontier.sent(lease.group, lease.lease_id, ago_s)
        self.model.sent(lease.group, lease.lease_id, ago_s)

    @rule(lease=leases, result=results)
    def leave(self, lease: Lease, result: FetchResult) -> None:
        self.frontier.leave(lease.group, lease.lease_id, result)
        self.model.finish(lease.group, lease.lease_id)
        request = self.model.requests[lease.payload]
        request.is_coming = request.is_there = False
        self.model.learn(lease.group, result)

    @rule(lease=leases)
    def start_over(self, lease: Lease) -> None:
        self.frontier.start_over(lease.lease_id)
        self.model.finish(lease.group, lease.lease_id)
        request = self.model.requests[lease.payload]
        request.is_coming, request.is_there = True, False

    @rule(lease=consumes(leases), drawn=drawn)
    def ack(self, lease: Lease, drawn: Drawn) -> None:
        entries = self.entries(drawn)
        del self.model.requests[lease.payload]
        done = self.frontier.ack(lease.lease_id, iter(entries))
        self.model.finish(lease.group, lease.lease_id)
        assert done.added == self.model.push(entries)

    @rule(lease=consumes(leases))
    def release(self, lease: Lease) -> None:
        self.frontier.release(lease.lease_id)
        self.model.finish(lease.group, lease.lease_id)
        request = self.model.requests[lease.payload]
        request.is_leased = request.is_coming = request.is_there = False

    @rule(group=groups)
    def admit_without_a_lease(self, group: str) -> None:
        expected_s = self.model.admit_in_s(group)
        assert self.frontier.admit(group, None) == expected_s
        if expected_s == 0:
            self.model.unleased[group] += 1
            self.model.admit(group, None)

    @rule(group=groups, ago_s=st.integers(0, 2))
    def sent_without_a_lease(self, group: str, ago_s: int) -> None:
        self.frontier.sent(group, None, ago_s)
        self.model.sent(group, None, ago_s)

    @precondition(lambda self: self.model.unleased.total())
    @rule(result=results)
    def leave_without_a_lease(self, result: FetchResult) -> None:
        group = next(self.model.unleased.elements())
        self.frontier.leave(group, None, result)
        self.model.unleased[group] -= 1
        self.model.learn(group, result)

    @precondition(
        lambda self: (
            self.model.on_way
            or self.model.opens_at_s
            or any(self.model.paused_until_s.values())
        )
    )
    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        self.clock.now_s += seconds

    @invariant()
    def counts_agree(self) -> None:
        leased = [request.is_leased for request in self.model.requests.values()]
        assert self.frontier.leased() == sum(leased)
        assert self.frontier.waiting() == len(leased) - sum(leased)

    @invariant()
    def says_when_to_ask_again(self) -> None:
        times = [self.model.lease_in_s(group) for group in self.model.heads()]
        soonest_s = min(times, default=math.inf)
        expected = None if math.isinf(soonest_s) else soonest_s
        assert self.frontier.ready_in_s() == expected

    def teardown(self) -> None:
        self.frontier.close()
