"""The order and the time in which requests are admitted, with a limiter of its own."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.errors import LeaseLostError, PausedTooLongError, StalledError
from concurcrawl.limits import admission_queue
from concurcrawl.limits.admission_queue import AdmissionQueue
from concurcrawl.limits.limiter import FetchResult, GroupLimits
from tests.support.fakes import clock, in_fake_time, settled

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = "a.example", "b.example"
OK = FetchResult(status=200)


class FakeLimiter:
    """Admits one request at a time in each group, and what it is told to say.

    Attributes:
        not_before: When a group admits again, by the clock.
        errors: What is raised for a lease id.
        calls: What it was told, in order.
        asked: Groups that were to be admitted, in order.
    """

    def __init__(self) -> None:
        self.inside: dict[str, int] = {}
        self.not_before: dict[str, float] = {}
        self.errors: dict[int | None, Exception] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.asked: list[str] = []

    def admit(self, group: str, lease_id: int | None) -> float:
        self.asked.append(group)
        if lease_id in self.errors:
            raise self.errors[lease_id]
        wait_s = self.not_before.get(group, 0.0) - clock()()
        if wait_s > 0:
            return wait_s
        if self.inside.get(group):
            return math.inf
        self.inside[group] = 1
        return 0

    def sent(self, group: str, lease_id: int | None, ago_s: float) -> None:
        self.calls.append(("sent", group, lease_id, ago_s))

    def leave(self, group: str, lease_id: int | None, result: FetchResult) -> None:
        self.calls.append(("leave", group, lease_id, result.status))
        self.inside[group] = 0

    def expect(self, group: str, change: int) -> None:
        self.calls.append(("expect", group, change))

    def slow_down(self, group: str, delay_s: float) -> None:
        raise NotImplementedError

    def change_limits(self, group: str, limits: GroupLimits, *, was_free: bool) -> None:
        raise NotImplementedError


class Bench:
    """A queue, and the requests that it admitted or failed, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = SimpleNamespace(monotonic=clock())
        monkeypatch.setattr(admission_queue, "time", now)
        self.limiter = FakeLimiter()
        self.room_calls = 0
        self.edges: list[bool] = []
        self.queue = AdmissionQueue(self.limiter, self._on_room, self.edges.append)
        self.admitted: list[Any] = []
        self.failed: dict[Any, str] = {}
        self.tasks: dict[Any, asyncio.Task[None]] = {}

    def _on_room(self) -> None:
        self.room_calls += 1

    async def enter(self, *names: int | None, group: str = A) -> None:
        for name in names:
            self.tasks[name] = asyncio.ensure_future(self._enter(name, group))
        await settled()

    async def _enter(self, name: int | None, group: str) -> None:
        try:
            await self.queue.enter(group, name)
        except BaseException as error:
            self.failed[name] = type(error).__name__
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self.admitted.append(name)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Bench]:
    """Make a queue in the loop of the test."""
    return lambda: Bench(monkeypatch)


@in_fake_time
async def test_requests_of_a_group_are_admitted_in_their_order(bench: Any) -> None:
    one = bench()
    await one.enter(1, 2, 3)
    await one.enter(9, group=B)
    assert one.admitted == [1, 9]
    for _ in range(2):
        one.queue.leave(A, 1, OK)
        await settled()
    assert one.admitted == [1, 9, 2, 3]


@in_fake_time
async def test_what_comes_later_does_not_overtake_what_waits_for_time(
    bench: Any,
) -> None:
    one = bench()
    one.limiter.not_before[A] = clock()() + 5
    await one.enter(1)
    del one.limiter.not_before[A]  # a limit that was lifted, and nobody has said so
    await one.enter(2)
    one.queue.leave(A, 1, OK)
    await settled()
    assert one.admitted == [1, 2]


@in_fake_time
async def test_a_group_is_asked_again_when_its_time_has_come(bench: Any) -> None:
    one = bench()
    start_s = clock()()
    one.limiter.not_before[A] = start_s + 5
    await one.enter(1)
    assert one.queue.is_timed
    assert one.admitted == []
    await one.tasks[1]
    assert clock()() == pytest.approx(start_s + 5, abs=0.01)
    assert not one.queue.is_timed


@in_fake_time
async def test_a_time_that_comes_earlier_replaces_the_timer(bench: Any) -> None:
    one = bench()
    start_s = clock()()
    one.limiter.not_before[A] = start_s + 50
    await one.enter(1)
    one.limiter.not_before[A] = start_s + 3
    one.queue.pump_all()
    await one.tasks[1]
    assert clock()() == pytest.approx(start_s + 3, abs=0.01)
    await asyncio.sleep(100)  # the other would find nothing to do
    assert not one.queue.is_timed


@in_fake_time
async def test_a_request_that_is_cancelled_while_it_waits_leaves_the_queue(
    bench: Any,
) -> None:
    one = bench()
    await one.enter(1, 2, 3)
    one.tasks[2].cancel()
    await settled()
    one.queue.leave(A, 1, OK)
    await settled()
    assert one.admitted == [1, 3]
    assert one.limiter.calls == [("leave", A, 1, 200)]


@in_fake_time
async def test_one_that_is_cancelled_as_it_is_admitted_leaves_its_site(
    bench: Any,
) -> None:
    one = bench()
    await one.enter(1, 2)
    one.queue.leave(A, 1, OK)  # admits 2, which has not run yet
    one.tasks[2].cancel()
    await settled()
    assert one.admitted == [1]
    assert one.failed == {2: "CancelledError"}
    assert one.limiter.calls[-2:] == [("sent", A, 2, 0.0), ("leave", A, 2, None)]


@in_fake_time
async def test_a_withdrawn_lease_waits_no_longer(bench: Any) -> None:
    one = bench()
    await one.enter(1, 2, 3)
    one.queue.withdraw({2})
    one.queue.leave(A, 1, OK)
    await settled()
    assert (one.admitted, set(one.failed)) == ([1, 3], {2})


@in_fake_time
async def test_all_that_wait_fail_when_they_are_abandoned(bench: Any) -> None:
    one = bench()
    await one.enter(1, 2, 3)
    await one.enter(8, 9, group=B)
    one.queue.abandon(StalledError())
    await settled()
    assert one.admitted == [1, 8]
    assert one.failed == dict.fromkeys([2, 3, 9], "StalledError")


@pytest.mark.parametrize(
    "error", [LeaseLostError(2), PausedTooLongError(A, 900.0, 600.0)]
)
def test_one_that_may_not_start_fails_and_the_next_is_asked(
    bench: Any, error: Exception
) -> None:
    @in_fake_time
    async def test() -> None:
        one = bench()
        one.limiter.errors[2] = error
        await one.enter(1, 2, 3)
        one.queue.leave(A, 1, OK)
        await settled()
        assert one.failed == {2: type(error).__name__}
        assert one.admitted == [1, 3]

    test()


@in_fake_time
async def test_the_first_and_the_last_without_a_lease_are_reported(bench: Any) -> None:
    one = bench()
    await one.enter(1)
    assert one.edges == []
    await one.enter(None)
    await one.enter(None)
    assert one.edges == [True]
    for _ in range(2):
        one.queue.leave(A, 1, OK)
        await settled()
    assert one.admitted == [1, None, None]
    assert one.edges == [True, False]
    changes = [call[2] for call in one.limiter.calls if call[0] == "expect"]
    assert changes == [1, 1, -1, -1]


@in_fake_time
async def test_one_without_a_lease_that_is_cancelled_is_expected_no_more(
    bench: Any,
) -> None:
    one = bench()
    await one.enter(1, None)
    before = one.room_calls
    one.tasks[None].cancel()
    await settled()
    assert one.edges == [True, False]
    assert one.limiter.calls == [("expect", A, 1), ("expect", A, -1)]
    assert one.room_calls == before + 1


@in_fake_time
async def test_released_leases_make_room_for_others(bench: Any) -> None:
    one = bench()
    await one.enter(1, 2)
    one.queue.release([SimpleNamespace(group=A, lease_id=1)])
    await settled()
    assert one.admitted == [1, 2]
    assert one.room_calls == 1


@in_fake_time
async def test_when_a_request_was_sent_is_told_as_how_long_ago_that_is(
    bench: Any,
) -> None:
    one = bench()
    one.queue.sent(A, 1, clock()() - 2.5)
    one.queue.sent(A, 1, clock()() + 1)  # another process's clock may be ahead
    assert one.limiter.calls == [("sent", A, 1, 2.5), ("sent", A, 1, 0.0)]


@in_fake_time
async def test_only_groups_whose_requests_wait_are_kept(bench: Any) -> None:
    one = bench()
    for number in range(20):
        group = f"{number}.example"
        await one.enter(number, -number - 1, group=group)
        one.queue.leave(group, number, OK)
        await settled()
        one.queue.leave(group, -number - 1, OK)
    assert len(one.admitted) == 40
    assert (one.queue._queues, one.queue._timers) == ({}, {})


@in_fake_time
async def test_who_waits_for_time_is_not_asked_for_when_others_leave(
    bench: Any,
) -> None:
    one = bench()
    for number in range(20):
        group = f"{number}.example"
        one.limiter.not_before[group] = clock()() + 5
        await one.enter(number, group=group)
    await one.enter(100, 101)
    one.limiter.asked.clear()
    one.queue.leave(A, 100, OK)
    await settled()
    assert (one.admitted, set(one.limiter.asked)) == ([100, 101], {A})
    await one.tasks[19]
    assert len(one.admitted) == 22
