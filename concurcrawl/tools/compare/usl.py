"""The Universal Scalability Law, fitted to a sweep. Pure.

``X(n) = rate n / (1 + contention (n - 1) + coherency n (n - 1))``: *contention* is what
must wait its turn, *coherency* what each has to agree on with each other.

References:
    N. J. Gunther, *Guerrilla Capacity Planning*, 2007, chapters 4 and 5.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.intervals import Interval, ends

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Fewer different levels than parameters plus one leave nothing to check the fit with.
FEWEST_LEVELS = 4
#: Less than this share more by twice as many does not pay.
_PAYS_SHARE = 0.1
_RESAMPLES = 500
_SEED = 233


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a sweep comes to.

    Attributes:
        rate: Pages per second of one.
        contention: Share that is done one after the other, from 0.
        coherency: Cost of agreeing, for each pair, from 0.
        error: Root mean square of the relative differences to what was measured.
    """

    rate: Interval
    contention: Interval
    coherency: Interval
    error: float

    def throughput(self, level: float) -> float:
        """Return the pages per second of *level* at a time."""
        return _throughput(
            (self.rate.value, self.contention.value, self.coherency.value), level
        )

    @property
    def peak(self) -> float:
        """The level after which more is slower; infinite if there is none."""
        if self.coherency.value <= 0:
            return math.inf
        return math.sqrt(max(0.0, 1 - self.contention.value) / self.coherency.value)


def fit(points: Sequence[tuple[int, float]]) -> Fit | None:
    """Fit the law to *points*.

    ``n / X(n)`` is linear in the parameters, so relative errors are made least exactly,
    without a start value; parameters below 0 have no meaning and are left out. The
    intervals come from resampling what the fit leaves unexplained.

    Args:
        points: Level (from 1) and pages per second (above 0) of each run, in any order.

    Returns:
        None if there are too few levels.
    """
    if len({level for level, _ in points}) < FEWEST_LEVELS:
        return None
    best = _least(points)
    rests = [rate / _throughput(best, level) - 1 for level, rate in points]
    # What three parameters explain of few points by chance is added again.
    scale = math.sqrt(len(points) / max(1, len(points) - 3))
    chance = random.Random(_SEED)  # noqa: S311 - no secret: it must repeat
    found = [
        _least(
            [
                (level, _throughput(best, level) * max(0.05, 1 + scale * rest))
                for (level, _), rest in zip(
                    points, chance.choices(rests, k=len(rests)), strict=True
                )
            ]
        )
        for _ in range(_RESAMPLES)
    ]
    rate, contention, coherency = (
        _interval(best[index], sorted(one[index] for one in found))
        for index in range(3)
    )
    return Fit(
        rate=rate,
        contention=contention,
        coherency=coherency,
        error=math.sqrt(sum(rest * rest for rest in rests) / len(rests)),
    )


def where_it_stops_paying(fitted: Fit, levels: Sequence[int]) -> int:
    """Return the lowest of *levels* from which twice as many give under 10 % more."""
    for level in sorted(levels):
        if fitted.throughput(2 * level) < fitted.throughput(level) * (1 + _PAYS_SHARE):
            return level
    return max(levels)


def best_level(fitted: Fit, levels: Sequence[int]) -> int:
    """Return the one of *levels* with the most pages per second, by the law."""
    return max(levels, key=fitted.throughput)


_Parameters = tuple[float, float, float]


def _throughput(parameters: _Parameters, level: float) -> float:
    rate, contention, coherency = parameters
    return (
        rate * level / (1 + contention * (level - 1) + coherency * level * (level - 1))
    )


def _interval(value: float, found: Sequence[float]) -> Interval:
    low, high = ends(found)
    return Interval(value=value, low=min(value, low), high=max(value, high))


def _least(points: Sequence[tuple[int, float]]) -> _Parameters:
    """Return the parameters with the least squares of relative errors."""
    # n/X = a + b (n-1) + c n (n-1) with a = 1/rate, b = contention/rate, and so on.
    rows = [
        tuple(term * rate / level for term in (1.0, level - 1.0, level * (level - 1.0)))
        for level, rate in points
    ]
    best: tuple[float, _Parameters] | None = None
    for used in ((0, 1, 2), *((0, *some) for some in combinations((1, 2), 1)), (0,)):
        solved = _solve(rows, used)
        if solved is None or min(solved) < 0 or solved[0] <= 0:
            continue
        error = sum(
            (sum(x * y for x, y in zip(row, solved, strict=True)) - 1) ** 2
            for row in rows
        )
        if best is None or error < best[0]:
            a, b, c = solved
            best = (error, (1 / a, b / a, c / a))
    assert best is not None  # with a alone there is always a solution
    return best[1]


def _solve(
    rows: Sequence[tuple[float, ...]], used: tuple[int, ...]
) -> _Parameters | None:
    """Solve ``row · x = 1`` for the *used* columns, with the least squares.

    Returns:
        None if there is more than one solution.
    """
    import numpy as np  # of the extra "compare"; only a sweep needs it here

    columns = np.array(rows)[:, used]
    found, _, rank, _ = np.linalg.lstsq(columns, np.ones(len(rows)), rcond=None)
    if rank < len(used):
        return None
    solution = [0.0, 0.0, 0.0]
    for place, column in enumerate(used):
        solution[column] = float(found[place])
    return solution[0], solution[1], solution[2]
