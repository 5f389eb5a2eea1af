"""The order in which groups of hosts are served, and what it costs to choose one."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.frontier.waiting_groups import WaitingGroups
from concurcrawl.limits.crawl_limiter import CrawlLimiter
from concurcrawl.limits.limiter import FetchResult, GroupLimits
from tests.contracts.frontier.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.frontier.base import Lease

NAMES = ("a", "b", "c", "d")
REFUSED = FetchResult(status=429, retry_after_s=4)

names = st.sampled_from(NAMES)
events = st.one_of(
    st.tuples(st.just("push"), names, st.integers(-1, 1)),
    st.tuples(st.just("push"), names, st.integers(-1, 1)),
    st.tuples(st.sampled_from(["acquire", "acquire", "acquire", "end"]), names),
    st.tuples(st.sampled_from(["refuse", "admit", "admit"]), names),
    st.tuples(st.just("wait"), st.integers(1, 5)),
)


class Plain:
    """What :class:`WaitingGroups` does, by looking at every group."""

    def __init__(self, limiter: CrawlLimiter) -> None:
        self.limiter = limiter
        self.heads: dict[str, int] = {}  # in the order of their turns

    def first(self, now_s: float) -> str | None:
        able = [g for g in self.heads if self.limiter.lease_at_s(g, now_s) <= now_s]
        load = self.limiter.load
        return min(able, key=lambda g: (-self.heads[g], load(g)), default=None)

    def ready_in_s(self, now_s: float) -> float | None:
        times = [self.limiter.lease_at_s(group, now_s) for group in self.heads]
        soonest_s = min(times, default=float("inf"))
        return None if soonest_s == float("inf") else max(0.0, soonest_s - now_s)


class Both:
    """Groups with waiting requests, and the plain ones beside them."""

    def __init__(self) -> None:
        limits = {"a": GroupLimits(in_flight=1), "b": GroupLimits(max_pause_s=2.0)}
        self.limiter = CrawlLimiter(
            lambda group: limits.get(group, GroupLimits()), 0, None, lambda low, _: low
        )
        self.groups, self.plain = WaitingGroups(self.limiter), Plain(self.limiter)
        self.waiting: dict[str, list[int]] = {name: [] for name in NAMES}
        self.leased: dict[int, str] = {}
        self.now_s = 1000.0
        self.leases = 0

    def do(self, what: str, *how: Any) -> None:
        getattr(self, what)(*how)
        assert self.groups.ready_in_s(self.now_s) == self.plain.ready_in_s(self.now_s)
        assert self.groups.first(self.now_s) == self.plain.first(self.now_s)

    def push(self, group: str, priority: int) -> None:
        self.waiting[group] = sorted([*self.waiting[group], priority])
        self.groups.add(group, priority)
        heads = self.plain.heads
        heads[group] = max(heads.get(group, priority), priority)

    def acquire(self, _: str) -> None:
        group = self.groups.first(self.now_s)
        if group is None:
            return
        self.waiting[group].pop()
        self.leases += 1
        self.leased[self.leases] = group
        self.limiter.lease(self.leases, group)
        following = self.waiting[group][-1] if self.waiting[group] else None
        self.groups.serve(group, following)
        del self.plain.heads[group]
        if following is not None:
            self.plain.heads[group] = following

    def _lease_of(self, group: str) -> int | None:
        return next((n for n, one in self.leased.items() if one == group), None)

    def end(self, group: str) -> None:
        lease_id = self._lease_of(group)
        if lease_id is not None:
            del self.leased[lease_id]
            self.limiter.forget(lease_id, self.now_s)

    def admit(self, group: str) -> None:
        lease_id = self._lease_of(group)
        if lease_id is not None:
            self.limiter.admit(group, lease_id, self.now_s)

    def refuse(self, group: str) -> None:
        lease_id = self._lease_of(group)
        if lease_id is not None:
            self.limiter.leave(group, lease_id, REFUSED, self.now_s)

    def wait(self, seconds: int) -> None:
        self.now_s += seconds


@given(happens=st.lists(events, max_size=60))
def test_the_group_that_is_served_is_the_first_of_all(
    happens: list[tuple[Any, ...]],
) -> None:
    both = Both()
    for event in happens:
        both.do(*event)


def _calls(action: Callable[[], object]) -> int:
    """Return how many functions were called."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def _steps(groups: int) -> Counter[str]:
    """Return the calls of 50 steps of each kind, with so many groups waiting."""
    clock = Clock()
    calls: Counter[str] = Counter()
    with closing(SqliteFrontier(clock=clock)) as frontier:
        entries = [
            Entry(None, f"{number % groups}.example", 0, False, b"x")
            for number in range(max(groups, 200))
        ]
        frontier.push(entries)
        for number in range(0, groups, 100):  # 1 % of them are paused
            frontier.leave(f"{number}.example", 1 << 40, REFUSED)
        frontier.has_ready()  # files what was pushed, once

        leases: list[Lease | None] = []

        def acquire() -> None:
            leases.append(frontier.acquire())

        def ack() -> None:
            lease = leases.pop()
            assert lease is not None
            frontier.ack(lease.lease_id)

        steps = (acquire, frontier.has_ready, frontier.ready_in_s, ack)
        for _ in range(50):
            for step in steps:
                calls[step.__name__] += _calls(step)
    return calls


def test_no_step_looks_at_all_groups() -> None:
    few, many = _steps(20), _steps(5_000)
    assert {name for name in few if many[name] > 2 * few[name]} == set()


def test_what_has_changed_often_does_not_grow_the_heaps() -> None:
    both = Both()
    for name in NAMES:
        both.push(name, 0)
    for number in range(1000):
        group = NAMES[2 + number % 2]
        lease_id = 1 << 40
        both.limiter.lease(lease_id, group)
        assert both.groups.first(both.now_s) is not None
        both.limiter.forget(lease_id, both.now_s)
        assert both.groups.first(both.now_s) is not None
    ready = sum(len(heap) for heap in both.groups._ready.values())
    assert ready + len(both.groups._paused) < 200


@pytest.mark.parametrize("pause_s", [None, 30.0])
def test_a_group_that_is_idle_is_forgotten_when_its_time_has_come(
    pause_s: float | None,
) -> None:
    limiter = CrawlLimiter(
        lambda _: GroupLimits(in_flight=1, max_pause_s=100), 0, None, lambda low, _: low
    )
    result = FetchResult(status=200 if pause_s is None else 429, retry_after_s=pause_s)
    known = []
    for number in range(100):
        now_s = 1000.0 + 10 * number
        limiter.forget_idle(now_s)
        limiter.lease(number, f"{number}.example")
        assert limiter.admit(f"{number}.example", number, now_s) == 0
        limiter.leave(f"{number}.example", number, result, now_s)
        known.append(len(limiter))
    # A minute after the last request; if it was refused, until its pause is long over.
    assert max(known) == (6 if pause_s is None else 13)


def test_what_a_site_asks_for_and_what_a_project_writes_is_not_forgotten() -> None:
    limiter = CrawlLimiter(lambda _: GroupLimits(), 0, None, lambda low, _: low)
    limiter.slow_down("slow", 5)
    limiter.change("written", GroupLimits(in_flight=1), 1000.0, was_free=False)
    for lease_id, group in enumerate(("slow", "written", "plain")):
        limiter.lease(lease_id, group)
        limiter.admit(group, lease_id, 1000.0)
        limiter.forget(lease_id, 1000.0)
    limiter.forget_idle(1e6)
    assert len(limiter) == 2
    assert limiter["slow"].delay_s == 5
    assert limiter["written"].limits.in_flight == 1


def test_leases_of_groups_without_limits_leave_nothing_behind() -> None:
    limiter = CrawlLimiter(lambda _: GroupLimits(), 0, lambda _: False, max)
    for lease_id in range(100):
        limiter.lease(lease_id, f"{lease_id}.example")
        limiter.forget(lease_id, 1000.0)
    assert len(limiter) == 0
