from __future__ import annotations

import pytest

from concurcrawl.tools.compare.runs import cpu_between

STEPS = [(0.0, 0.0), (1.0, 1.0), (2.0, 1.2), (4.0, 1.6)]


@pytest.mark.parametrize(
    ("begin_s", "end_s", "cpu_s"),
    [(0.5, 1.5, 0.6), (1.0, 4.0, 0.6), (2.5, 3.5, None), (-1.0, 9.0, 1.6)],
)
def test_cpu_time_between_two_moments(
    begin_s: float, end_s: float, cpu_s: float | None
) -> None:
    found = cpu_between(STEPS, begin_s, end_s)
    assert found == (None if cpu_s is None else pytest.approx(cpu_s))
