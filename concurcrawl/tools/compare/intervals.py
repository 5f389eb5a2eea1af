"""Bootstrap confidence intervals of medians and of paired ratios. Pure.

References:
    B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13 (the
    percentile interval). With few rounds it is about their range: honest, not narrow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Resamples: the ends of an interval then vary by about a percent of its width.
RESAMPLES = 2000
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
    low, high = ends(
        [median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES)]
    )
    return Interval(value=median(values), low=low, high=high)


def ratio(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Return the median of the ratios of values that belong together.

    Noise that both values of a round share, such as a slow minute, cancels out.

    Args:
        above: One positive value per round.
        below: One positive value per round, in the same order.
    """
    return middle([one / other for one, other in zip(above, below, strict=True)])


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the interval that holds 95 % of *values*, two at least."""
    parts = quantiles(values, n=40, method="inclusive")  # of 2.5 % each
    return parts[0], parts[-1]
