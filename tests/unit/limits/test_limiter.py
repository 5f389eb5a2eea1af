from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurcrawl.limits.crawl_limiter import CrawlLimiter
from concurcrawl.limits.limiter import FetchResult, GroupLimiter, GroupLimits, Throttle


def low(least: float, _: float) -> float:
    return least


def high(_: float, most: float) -> float:
    return most


def unlimited(total: int) -> CrawlLimiter:
    """Limiters of groups without limits, whose requests do not ask."""
    return CrawlLimiter(lambda _: GroupLimits(), total, lambda _: False, low)


def test_a_leased_request_that_is_not_at_its_site_gives_its_place_to_another() -> None:
    limiter = unlimited(1)
    limiter.lease(1, "a")
    assert limiter.admit("b", None, 0.0) == math.inf
    limiter.leave("a", 1, FetchResult(), 0.0)
    assert limiter.admit("b", None, 0.0) == 0
    assert limiter.admit("a", 1, 0.0) == math.inf
    limiter.leave("b", None, FetchResult(), 0.0)
    assert limiter.admit("a", 1, 0.0) == 0


def test_nothing_is_leased_as_long_as_an_unleased_request_is_short_of_the_total() -> (
    None
):
    limiter = unlimited(1)
    limiter.lease(1, "a")
    assert limiter.admit("b", None, 0.0) == math.inf
    limiter.total.expect("b", 1)
    assert not limiter.total.may_lease(asks=True)
    limiter.forget(1, 0.0)
    assert limiter.admit("b", None, 0.0) == 0
    limiter.leave("b", None, FetchResult(), 0.0)
    assert limiter.total.may_lease(asks=True)


def test_an_unleased_request_that_is_gone_holds_up_no_others() -> None:
    limiter = unlimited(1)
    limiter.lease(1, "a")
    limiter.admit("b", None, 0.0)
    limiter.total.expect("b", 1)
    limiter.total.expect("b", -1)
    assert not limiter.total.is_starved


def test_without_limits_a_limiter_is_always_open() -> None:
    limiter = GroupLimiter(GroupLimits())
    for _ in range(1000):
        assert limiter.is_open(0.0)
        limiter.start(0.0, high)


def test_a_limiter_is_open_until_its_limit_is_in_flight() -> None:
    limiter = GroupLimiter(GroupLimits(in_flight=2))
    answers = []
    for _ in range(3):
        answers.append(limiter.is_open(5.0))
        limiter.start(5.0, high)
    assert answers == [True, True, False]


def test_each_that_finishes_makes_room_for_one() -> None:
    limiter = GroupLimiter(GroupLimits(in_flight=1))
    limiter.start(0.0, high)
    assert not limiter.has_capacity()
    limiter.finish()
    assert limiter.has_capacity()
    assert limiter.in_flight == 0


def test_a_limiter_that_waits_for_time_has_capacity() -> None:
    limiter = GroupLimiter(GroupLimits(in_flight=2, delay_s=1.0))
    limiter.start(10.0, high)
    assert limiter.has_capacity()
    assert not limiter.is_open(10.0)


def test_a_limiter_opens_when_its_delay_is_over() -> None:
    limiter = GroupLimiter(GroupLimits(delay_s=1.5))
    limiter.start(9.0, high)
    limiter.sent(None, 10.0)
    assert limiter.opens_at_s == 11.5
    assert [limiter.is_open(at) for at in (10.0, 11.25, 11.5, 12.0)] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(("uniform", "opens_at_s"), [(low, 15.0), (high, 25.0)])
def test_jitter_strays_by_a_share_of_the_delay(
    uniform: object, opens_at_s: float
) -> None:
    limiter = GroupLimiter(GroupLimits(delay_s=10.0, jitter=0.5))
    limiter.start(10.0, uniform)  # type: ignore[arg-type]
    limiter.sent(None, 10.0)
    assert limiter.opens_at_s == opens_at_s


def test_a_delay_is_never_negative() -> None:
    limiter = GroupLimiter(GroupLimits(delay_s=10.0, jitter=3.0))
    limiter.start(10.0, low)
    limiter.sent(None, 10.0)
    assert limiter.opens_at_s == 10.0


def test_without_a_delay_no_random_number_is_drawn() -> None:
    def refuse(*_: float) -> float:
        raise AssertionError("asked")

    GroupLimiter(GroupLimits(jitter=0.5)).start(0.0, refuse)


@given(
    limit=st.integers(1, 5),
    events=st.lists(st.booleans()),
)
def test_the_limit_holds_whatever_happens(limit: int, events: list[bool]) -> None:
    limiter = GroupLimiter(GroupLimits(in_flight=limit))
    for starts in events:
        if starts and limiter.is_open(0.0):
            limiter.start(0.0, high)
        elif not starts and limiter.in_flight:
            limiter.finish()
        assert 0 <= limiter.in_flight <= limit
        assert limiter.is_open(0.0) == (limiter.in_flight < limit)


ways = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 2), st.floats(0, 1)), min_size=2
)


@given(ways=ways, burst=st.integers(1, 4), delay_s=st.sampled_from([0.0, 0.5]))
def test_whatever_the_way_takes_what_comes_keeps_delay_and_rate(
    ways: list[tuple[float, float, float]], burst: int, delay_s: float
) -> None:
    # Each request waits to be admitted, is on its way, and then somebody says so.
    limiter = GroupLimiter(GroupLimits(rate_per_s=2, burst=burst, delay_s=delay_s))
    now_s, news = 100.0, list[tuple[float, int, float]]()
    came: list[float] = []
    for number, (idle_s, way_s, telling_s) in enumerate(ways):
        now_s += idle_s
        while True:
            for at_s, lease_id, sent_s in sorted(n for n in news if n[0] <= now_s):
                news.remove((at_s, lease_id, sent_s))
                limiter.sent(lease_id, sent_s)
            if limiter.is_open(now_s):
                break
            soonest_s = min((at_s for at_s, *_ in news), default=now_s + 99)
            now_s = min(
                max(limiter.next_start_s(), now_s + 1e-6), max(soonest_s, now_s)
            )
        limiter.start(now_s, high, number)
        came.append(now_s + way_s)
        news.append((now_s + way_s + telling_s, number, now_s + way_s))
    came.sort()
    for first in range(len(came)):
        for last in range(first + 1, len(came)):
            gap_s, between = came[last] - came[first], last - first
            assert gap_s >= (between - burst + 1) / 2 - 1e-3
            assert gap_s >= between * delay_s - 1e-3


def test_autothrottle_never_goes_below_what_the_site_asks_for() -> None:
    throttle = Throttle(target=1.0, start_delay_s=1.0, max_delay_s=5.0)
    limiter = GroupLimiter(GroupLimits(throttle=throttle))
    limiter.slow_down(3.0)
    for _ in range(10):
        limiter.learn(FetchResult(status=200, latency_s=0.1), 0.0, high)
    assert limiter.delay_s == 3.0
