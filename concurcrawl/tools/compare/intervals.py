"""Bootstrap confidence intervals of medians and of paired ratios. Pure.

References:
    B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13 (the
    percentile interval). With few rounds it is about their range: honest, not narrow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Resamples: the ends of an interval then vary by about a percent of its width.
RESAMPLES = 2000
LEVEL = 0.95
#: With fewer values there is no interval.
FEWEST = 3
_SEED = 233  # fixed, so that the same figures always give the same interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its 95 % confidence interval.

    Attributes:
        value: The median.
        low: Lower end, or None where there are fewer than three values.
        high: Upper end, or None likewise.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None

    def holds(self, value: float) -> bool:
        """Return whether *value* lies inside; False if the ends are not known."""
        if self.low is None or self.high is None:
            return False
        return self.low <= value <= self.high


def middle(values: Sequence[float]) -> Interval:
    """Return the median of *values*, at least one, with its interval."""
    if len(values) < FEWEST:
        return Interval(value=median(values), low=None, high=None)
    chance = random.Random(_SEED)  # noqa: S311 - no secret: it must repeat
    found = sorted(
        median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    tail = (1 - LEVEL) / 2
    return Interval(
        value=median(values),
        low=percentile(found, tail),
        high=percentile(found, 1 - tail),
    )


def ratio(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Return the median of the ratios of values that belong together.

    Noise that both values of a round share, such as a slow minute, cancels out.

    Args:
        above: One positive value per round.
        below: One positive value per round, in the same order.
    """
    return middle([one / other for one, other in zip(above, below, strict=True)])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which *share* (0 to 1) of *ordered* values lie.

    Linear between neighbours, as NumPy's default.
    """
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
