from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concurcrawl.tools.compare import usl
from concurcrawl.tools.compare.sweep import curves
from tests.support.compare.made_up import PAGES, run

LEVELS = (1, 2, 4, 8, 16, 32)


def law(rate: float, contention: float, coherency: float, level: int) -> float:
    waits = contention * (level - 1) + coherency * level * (level - 1)
    return rate * level / (1 + waits)


@given(
    rate=st.floats(0.1, 500),
    contention=st.sampled_from([0.0]) | st.floats(1e-4, 0.5),
    coherency=st.sampled_from([0.0]) | st.floats(1e-5, 0.05),
)
@settings(max_examples=20)
def test_known_parameters_are_found_again(
    rate: float, contention: float, coherency: float
) -> None:
    truth = (rate, contention, coherency)
    fitted = usl.fit([(level, law(*truth, level)) for level in LEVELS])
    assert fitted is not None
    found = (fitted.rate, fitted.contention, fitted.coherency)
    assert [one.value for one in found] == pytest.approx(truth, rel=1e-6, abs=1e-6)
    for one, value in zip(found, truth, strict=True):
        assert one.low == pytest.approx(value, rel=1e-5, abs=1e-5)
        assert one.high == pytest.approx(value, rel=1e-5, abs=1e-5)
    assert fitted.error < 1e-6


def test_known_parameters_lie_within_their_intervals_in_spite_of_noise() -> None:
    chance = random.Random(11)
    truth = (8.0, 0.06, 0.0015)
    held = 0
    for _ in range(20):
        points = [
            (level, law(*truth, level) * chance.gauss(1.0, 0.04))
            for level in LEVELS
            for _ in range(3)
        ]
        fitted = usl.fit(points)
        assert fitted is not None
        found = (fitted.rate, fitted.contention, fitted.coherency)
        held += sum(one.holds(value) for one, value in zip(found, truth, strict=True))
    assert held >= 51  # of 60: 85 %


def test_where_more_makes_it_slower() -> None:
    fitted = usl.fit([(level, law(5.0, 0.1, 0.01, level)) for level in LEVELS])
    assert fitted is not None
    assert fitted.peak == pytest.approx(math.sqrt(0.9 / 0.01), rel=1e-6)
    assert usl.best_level(fitted, LEVELS) == 8


def test_where_it_stops_paying() -> None:
    fitted = usl.fit([(level, law(5.0, 0.3, 0.0, level)) for level in LEVELS])
    assert fitted is not None
    assert fitted.peak == math.inf
    assert usl.where_it_stops_paying(fitted, LEVELS) == 16  # 32 give 7 %


def test_three_levels_are_too_few() -> None:
    assert usl.fit([(1, 1.0), (2, 2.0), (4, 3.0), (4, 3.1)]) is None


def test_a_sweep_names_the_best_number() -> None:
    runs = [
        run(
            "async",
            9.0,
            level=level,
            round=n,
            steady_s=len(PAGES) / law(5.0, 0.1, 0.01, level),
        )
        for n in (1, 2, 3)
        for level in LEVELS
    ]
    (curve,) = curves([run("async", 9.0), *runs])
    assert [level for level, _ in curve.points] == list(LEVELS)
    assert (curve.best, curve.pays_to) == (8, 8)
    assert curve.sentence == (
        "async: 8 requests in flight gave the most, 17.7 pages/s. By the "
        "Universal Scalability Law 10.0% of the work waits its turn and from about 9 "
        "on more makes it slower."
    )
