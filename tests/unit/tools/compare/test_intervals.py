from __future__ import annotations

import random

import pytest

from concurcrawl.tools.compare.intervals import (
    Interval,
    ends,
    middle,
    ratio,
)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    chance = random.Random(3)
    held = sum(
        middle([chance.uniform(0.0, 2.0) for _ in range(20)]).holds(1.0)
        for _ in range(60)
    )
    assert held >= 52


def test_the_same_values_give_the_same_interval() -> None:
    assert middle([3.0, 1.0, 2.0, 5.0]) == middle([3.0, 1.0, 2.0, 5.0])


def test_two_values_have_no_interval() -> None:
    assert middle([1.0, 2.0]) == Interval(value=1.5, low=None, high=None)
    assert not middle([1.0, 2.0]).holds(1.5)


def test_a_slow_minute_that_both_had_cancels_out_of_a_ratio() -> None:
    slow = (1.0, 5.0, 2.0)
    found = ratio([6.0 * by for by in slow], [2.0 * by for by in slow])
    assert (found.low, found.value, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_an_interval_holds_all_but_five_percent() -> None:
    assert ends([float(n) for n in range(101)]) == pytest.approx((2.5, 97.5))
