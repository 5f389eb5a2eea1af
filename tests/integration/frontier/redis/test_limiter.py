"""The limiter of ``lua/limiter.lua`` beside the one of Python, told the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.redis import connection, operations, protocol, script
from concurcrawl.limits.crawl_limiter import CrawlLimiter
from concurcrawl.limits.limiter import FetchResult, GroupLimiter, GroupLimits, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from concurcrawl.frontier.base import Lease
    from concurcrawl.frontier.redis.keys import Keys
    from concurcrawl.frontier.redis.operations import Operation
    from concurcrawl.frontier.redis.protocol import Join, Reply
    from tests.support.servers.redis import RedisServer

GROUP = "a.example"
REQUESTS = 40

_jobs = count()

seconds = st.sampled_from([0.0, 0.1, 1.0, 3.7]) | st.floats(0, 12)
some = st.integers(0, 2)  # which of the requests that are leased
results = st.builds(
    FetchResult,
    status=st.sampled_from([None, 200, 200, 404, 429, 429, 503]),
    latency_s=st.none() | seconds,
    retry_after_s=st.none() | seconds,
)
limits = st.builds(
    GroupLimits,
    in_flight=st.sampled_from([0, 0, 1, 2]),
    delay_s=st.sampled_from([0.0, 0.0, 0.3, 2.0]),
    jitter=st.sampled_from([0.0, 0.5, 1.5]),
    rate_per_s=st.sampled_from([0.0, 0.7, 3.0]),
    burst=st.integers(1, 3),
    min_pause_s=st.sampled_from([0.5, 1.0]),
    max_pause_s=st.sampled_from([4.0, 600.0]),
    throttle=st.none()
    | st.builds(
        Throttle,
        target=st.sampled_from([0.5, 1.0, 2.0]),
        start_delay_s=st.sampled_from([0.0, 1.0]),
        max_delay_s=st.sampled_from([5.0, 60.0]),
    ),
)
#: What happens, to which request (None: to one that is not in the frontier), and how.
events = st.one_of(
    st.tuples(st.sampled_from(["lease", "lease", "lease", "ack", "release"]), some),
    st.tuples(st.just("admit"), some),
    st.tuples(st.just("admit"), st.none() | some),
    st.tuples(st.just("sent"), st.none() | some, st.sampled_from([0.0, 0.01, 1.3])),
    st.tuples(st.just("leave"), st.none() | some, results),
    st.tuples(st.just("start_over"), some),
    st.tuples(st.just("slow_down"), st.sampled_from([0.2, 1.1, 4.0])),
    st.tuples(
        st.just("change_limits"),
        st.sampled_from([0.0, 0.3, 4.0]),
        st.sampled_from([-1, 0, 1, 2]),
        st.booleans(),
    ),
    st.tuples(st.just("wait"), seconds),
)

#: What happens to a lease.
_ENDS: dict[str, Callable[[int], Operation]] = {
    "ack": lambda lease_id: operations.Ack(lease_id, [], []),
    "release": operations.Release,
    "start_over": operations.StartOver,
}

#: What happens to no request.
_TO_ALL = {"lease", "wait", "slow_down", "change_limits"}


class Numbers:
    """The random numbers of the script, foretold."""

    def __init__(self) -> None:
        self.seed = 1

    def uniform(self, low: float, high: float) -> float:
        self.seed = self.seed * 16807 % (2**31 - 1)
        return low + (high - low) * (self.seed / (2**31 - 1))


@dataclass
class Script:
    """The script, asked in the way of a node, without one."""

    server: RedisServer
    job: str
    default_delay_s: float
    seq: int = 0
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = connection.parse(self.server.url, "limits", self.job).keys

    def exchange(
        self,
        now_s: float,
        seed: int,
        want: int,
        said: Sequence[Operation],
        join: Join | None = None,
    ) -> Reply:
        exchange = protocol.Exchange(
            node="node",
            incarnation="life",
            seq=self.seq,
            now_s=now_s,
            lease_s=1e9,
            want=want,
            prefetch=0,
            max_attempts=3,
            seed=seed,
            cookies_from=0,
            throttled_from=0,
            adopts=0,
            newest_first=False,
            streams=False,
            join=join,
            operations=said,
        )
        run = self.server.client.eval
        raw = run(script.SCRIPT, 1, self.keys.one("job"), protocol.encode(exchange))
        self.seq += 1
        reply = protocol.read(raw)
        assert isinstance(reply, protocol.Reply)
        return reply

    def shown(self, now_s: float) -> tuple[float, ...]:
        """Return what people are shown: in flight, delay, pause."""
        packed = self.server.client.hget(self.keys.one("limiters"), GROUP)
        found = protocol.read_limiter(packed, self.default_delay_s)
        return found.in_flight, found.delay_s, max(0.0, found.paused_until_s - now_s)


class Both:
    """One group's limiter, in Redis and here."""

    def __init__(self, server: RedisServer, of: GroupLimits) -> None:
        self.limits = of
        self.now_s = 1_700_000_000.123456
        self.numbers = Numbers()
        self.limiter = CrawlLimiter(lambda _: of, 0, None, self.numbers.uniform)
        self.script = Script(server, str(next(_jobs)), GroupLimiter(of).delay_s)
        self.leased: list[Lease] = []
        self.waiting = REQUESTS
        self.unleased = 0
        entries = [Entry(None, GROUP, 0, is_start=False, payload=b"x")] * REQUESTS
        join = protocol.Join(
            how="auto",
            age_s=0.0,
            job_id="id",
            spider="spider",
            about="{}",
            limits=of,
        )
        said = [operations.Push(entries, {})]
        self.script.exchange(self.now_s, 1, -1, said, join)
        self.events = 0

    def do(self, what: str, *how: Any) -> None:
        self.events += 1
        self.numbers.seed = seed = 1000 * self.events
        lease = None
        if what not in _TO_ALL and how[0] is not None:
            if not self.leased:
                return
            lease = self.leased[how[0] % len(self.leased)]
        elif what == "leave" and not self.unleased:
            return
        expected = self._here(what, lease, *how)
        lease_id = None if lease is None else lease.lease_id
        said = self._said(what, lease_id, *how)
        want = 1 if what == "lease" else -1
        reply = self.script.exchange(self.now_s, seed, want, said)
        if what == "admit":
            assert self._admission(reply.answers[0]) == expected
        if what == "lease":
            assert bool(reply.leases) == expected
            for new in reply.leases:
                self.leased.append(new)
                self.limiter.lease(new.lease_id, GROUP)
                self.waiting -= 1
        assert reply.ready_in_s == self._ready_in_s()
        group_limiter = self.limiter[GROUP]
        shown = (
            group_limiter.in_flight,
            group_limiter.delay_s,
            group_limiter.pause_left_s(self.now_s),
        )
        assert self.script.shown(self.now_s) == shown

    def _ready_in_s(self) -> float | None:
        at_s = self.limiter.lease_at_s(GROUP, self.now_s) if self.waiting else math.inf
        return at_s - self.now_s if math.isfinite(at_s) else None

    def _here(  # noqa: C901 - a case each
        self, what: str, lease: Lease | None, *how: Any
    ) -> bool | float | str | None:
        """Tell ``limits.py``, as the embedded frontier does."""
        limiter, group_limiter = self.limiter, self.limiter[GROUP]
        lease_id = None if lease is None else lease.lease_id
        match what:
            case "lease":
                return self.waiting > 0 and self._ready_in_s() == 0
            case "admit":
                pause_s = group_limiter.pause_left_s(self.now_s)
                if pause_s > self.limits.max_pause_s:
                    return f"paused {float(pause_s)}"
                wait_s = limiter.admit(GROUP, lease_id, self.now_s)
                self.unleased += lease_id is None and wait_s == 0
                return wait_s
            case "sent":
                limiter.sent(GROUP, lease_id, self.now_s - how[1])
            case "leave":
                limiter.leave(GROUP, lease_id, how[1], self.now_s)
                self.unleased -= lease_id is None
            case "slow_down":
                limiter.slow_down(GROUP, how[0])
            case "change_limits":
                limiter.change(GROUP, self._other(*how), self.now_s, was_free=how[2])
            case "wait":
                self.now_s += how[0]
                limiter.forget_idle(self.now_s)
            case "start_over" | "ack" | "release":
                assert lease is not None
                limiter.forget(lease.lease_id, self.now_s)
                if what == "start_over":
                    limiter.lease(lease.lease_id, GROUP)
                else:
                    self.leased.remove(lease)
                    self.waiting += what == "release"
        return None

    def _said(  # noqa: PLR0911 - a case each
        self, what: str, lease_id: int | None, *how: Any
    ) -> list[Operation]:
        if what in {"lease", "wait"}:  # a request is leased, or only time passes
            return []
        if lease_id is not None and what in _ENDS:
            return [_ENDS[what](lease_id)]
        match what:
            case "admit":
                return [operations.Admit(GROUP, lease_id)]
            case "sent":
                return [operations.Sent(GROUP, lease_id, how[1])]
            case "leave":
                return [operations.Leave(GROUP, lease_id, how[1])]
            case "slow_down":
                return [operations.SlowDown(GROUP, how[0])]
        return [operations.ChangeLimits(GROUP, self._other(*how), how[2])]

    def _other(self, delay_s: float, in_flight: int, _: bool) -> GroupLimits:
        return replace(self.limits, delay_s=delay_s, in_flight=in_flight)

    def _admission(self, answer: Mapping[str, Any]) -> float | str:
        if "paused_s" in answer:
            return f"paused {float(answer['paused_s'])}"
        return float(answer["wait_s"])


def test_the_limiter_in_redis_decides_as_the_one_in_memory(
    redis_frontiers: RedisServer,
) -> None:
    @settings(max_examples=100)
    @given(of=limits, happens=st.lists(events, min_size=30, max_size=60))
    def compare(of: GroupLimits, happens: list[tuple[Any, ...]]) -> None:
        both = Both(redis_frontiers, of)
        for event in happens:
            both.do(*event)

    compare()
