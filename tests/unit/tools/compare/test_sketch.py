from __future__ import annotations

import random
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurcrawl.tools.compare.intervals import percentile
from concurcrawl.tools.compare.sketch import RAW_VALUES, RELATIVE_ERROR, Quantiles

SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
times = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=200)


@given(times, st.floats(0, 1))
def test_a_few_values_are_kept_as_they_are(values: list[float], share: float) -> None:
    assert Quantiles(values).at(share) == percentile(sorted(values), share)


@given(times, st.sampled_from(SHARES))
def test_many_values_are_known_to_their_relative_error(
    values: list[float], share: float
) -> None:
    sketch = Quantiles(values, raw=0)
    exact = sorted(values)[floor(share * (len(values) - 1))]
    assert sketch.at(share) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.001)


@given(times, times, st.integers(0, 100))
def test_merged_is_the_same_as_added(
    some: list[float], others: list[float], raw: int
) -> None:
    merged = Quantiles(some, raw=raw)
    merged.merge(Quantiles(others, raw=raw))
    added = Quantiles([*some, *others], raw=raw)
    assert len(merged) == len(added) == len(some) + len(others)
    assert merged.largest == added.largest == max(some + others)
    for share in SHARES:
        # Which of the two kept its values does not matter beyond the error.
        assert merged.at(share) == pytest.approx(
            added.at(share), rel=2 * RELATIVE_ERROR
        )


def test_memory_does_not_grow_with_the_values() -> None:
    chance = random.Random(1)
    sketch = Quantiles(chance.lognormvariate(-2, 1) for _ in range(3 * RAW_VALUES))
    assert len(sketch) == 3 * RAW_VALUES
    assert len(sketch._buckets) < 2000
    assert sketch.at(0.5) == pytest.approx(0.1353, rel=0.02)  # e**-2


def test_no_time_at_all_is_a_value_too() -> None:
    sketch = Quantiles([0.0, 0.0, 0.0, 1.0], raw=0)
    assert sketch.at(0.5) == 0.0
    assert sketch.at(1.0) == pytest.approx(1.0, rel=RELATIVE_ERROR * 1.001)
    with pytest.raises(ValueError, match="no values"):
        Quantiles().at(0.5)
