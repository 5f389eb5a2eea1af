from __future__ import annotations

import pytest

from benchmarks.runner.results import Run
from benchmarks.runner.samples import (
    Figure,
    Series,
    combined,
    is_precise_enough,
    quotient,
    series,
    verdict,
)
from concurcrawl.tools.compare.intervals import Interval


def figure(
    low: float | None, high: float | None, noise_share: float | None = None
) -> Figure:
    value = 1.0 if low is None or high is None else (low + high) / 2
    return Figure(Interval(value=value, low=low, high=high), noise_share)


@pytest.mark.parametrize(
    ("found", "least", "most"),
    [
        (None, "not measured", "not measured"),
        (figure(None, None), "unclear", "unclear"),
        (figure(1.0, 1.2), "met", "unclear"),
        (figure(0.9, 1.1), "unclear", "unclear"),
        (figure(0.8, 0.99), "not met", "met"),
        (figure(1.01, 1.2), "met", "not met"),
        (figure(1.01, 1.2, 0.04), "met", "not met"),
        (figure(1.01, 1.2, 0.05), "noisy", "noisy"),
        (figure(0.8, 0.99, 0.05), "noisy", "noisy"),
    ],
)
def test_a_verdict_needs_the_whole_interval_and_a_quiet_machine(
    found: Figure | None, least: str, most: str
) -> None:
    assert verdict(found, 1.0, is_most=False) == least
    assert verdict(found, 1.0, is_most=True) == most


def test_values_of_one_round_belong_together() -> None:
    slow_minute = {1: 1.0, 2: 10.0, 3: 2.0, 4: 3.0}
    above = Series({number: 2 * time_s for number, time_s in slow_minute.items()})
    found = quotient(above, Series(slow_minute))
    assert found is not None
    assert found.interval == Interval(value=2.0, low=2.0, high=2.0)
    assert found.is_precise


def test_rounds_that_one_side_lacks_are_left_out() -> None:
    above = Series({1: 2.0, 2: 4.0, 3: 6.0, 5: 99.0})
    below = Series({1: 1.0, 2: 1.0, 3: 1.0, 4: 77.0})
    found = quotient(above, below)
    assert found is not None
    assert found.interval.value == 4.0
    assert (found.interval.low, found.interval.high) == (2.0, 6.0)


def test_who_ran_once_is_compared_by_medians_and_has_no_interval() -> None:
    found = quotient(Series({1: 8.0}), Series({1: 1.0, 2: 4.0, 3: 4.0}))
    assert found is not None
    assert found.interval == Interval(value=2.0, low=None, high=None)
    assert not found.is_precise
    assert combined(float, Series({})) is None
    assert quotient(Series({1: 8.0}), Series({})) is None


def test_the_same_figures_always_give_the_same_interval() -> None:
    values = Series(dict(enumerate([1.0, 1.2, 0.9, 1.1, 1.4])))
    first, second = (combined(float, values) for _ in range(2))
    assert first == second
    assert first is not None
    assert not first.is_precise


def test_noise_is_that_of_the_middle_round_and_of_the_worst_part() -> None:
    def run(number: int, others: float | None) -> Run:
        return Run(
            contender="async",
            round=number,
            status="ok",
            steady_s=1.0,
            others_share=others,
            steal_share=None if others is None else 0.01,
        )

    loud = series([run(1, 0.0), run(2, 0.5), run(3, 0.6)], lambda one: one.steady_s)
    quiet = series([run(1, 0.0), run(2, 0.0), run(3, 0.6)], lambda one: one.steady_s)
    deaf = series([run(1, None), run(2, None), run(3, None)], lambda one: one.steady_s)
    assert loud.noise_share == pytest.approx(0.51)
    assert deaf.noise_share is None
    found = quotient(quiet, loud)
    assert found is not None
    assert found.is_noisy
    found = quotient(quiet, deaf)
    assert found is not None
    assert not found.is_noisy


def test_rounds_go_on_until_every_ratio_is_precise() -> None:
    def runs(contender: str, *times_s: float) -> list[Run]:
        return [
            Run(contender=contender, round=number, status="ok", steady_s=time_s)
            for number, time_s in enumerate(times_s, 1)
        ]

    plain = runs("scrapy-16", 2.0, 2.0, 2.0)
    steady, wild = runs("async", 1.0, 1.01, 1.02), runs("hybrid", 0.5, 1.0, 0.8)
    both = ("scrapy-16", "async")
    assert is_precise_enough(both, plain + steady)
    assert not is_precise_enough((*both, "hybrid"), plain + steady + wild)
    failed = [Run(contender="hybrid", round=n, status="failed") for n in (1, 2, 3)]
    assert is_precise_enough((*both, "hybrid"), plain + steady + failed)
