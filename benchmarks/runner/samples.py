"""Figures with their intervals, from what belongs together round by round. Pure.

Rounds are interleaved, so that a slow minute is in all values of a round: figures are
made of the values of one round, and the interval is that of their median.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.runner.noise import is_noisy
from concurcrawl.tools.compare.intervals import FEWEST, Interval, middle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.runner.results import Run

#: Half the width of an interval, of its value, with which no more rounds are needed.
PRECISE = 0.05


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of one contender, by round.

    Attributes:
        values: The figure of each round that has one.
        noise_share: What others had of the machine, in the middle of those rounds.
    """

    values: Mapping[int, float]
    noise_share: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured.

    Attributes:
        interval: The value, with its interval if there were rounds enough.
        noise_share: The most that others had of the machine while its parts were
            measured; None if that is not known.
    """

    interval: Interval
    noise_share: float | None = None

    @property
    def is_noisy(self) -> bool:
        """Whether others used so much of the machine that it says little."""
        return is_noisy(self.noise_share)

    @property
    def is_precise(self) -> bool:
        """Whether more rounds would hardly say more."""
        return is_precise(self.interval)


def series(runs: Iterable[Run], of: Callable[[Run], float | None]) -> Series:
    """Return a figure of *runs*, those of one contender, by round."""
    found = [
        (run, value) for run in runs if run.counts and (value := of(run)) is not None
    ]
    noise = [run.noise_share for run, _ in found if run.noise_share is not None]
    return Series(
        {run.round: value for run, value in found}, median(noise) if noise else None
    )


def combined(
    formula: Callable[..., float], first: Series, *others: Series
) -> Figure | None:
    """Return what *formula* makes of the values of each round.

    Rounds in which one of them has no value are left out. If fewer than three rounds
    have all, the figure is that of the medians, without an interval.

    Args:
        formula: Takes one value of each series.
        first: Its first argument.
        others: The others.
    """
    parts = (first, *others)
    if not all(part.values for part in parts):
        return None
    common = set(first.values).intersection(*(part.values for part in others))
    if len(common) >= FEWEST:
        interval = middle(
            [formula(*(part.values[n] for part in parts)) for n in sorted(common)]
        )
    else:
        value = formula(*(median(part.values.values()) for part in parts))
        interval = Interval(value=value, low=None, high=None)
    return Figure(interval, _most(part.noise_share for part in parts))


def quotient(above: Series, below: Series) -> Figure | None:
    """Return *above* divided by *below*, round by round."""
    return combined(lambda one, other: one / other, above, below)


def is_precise(interval: Interval) -> bool:
    """Return whether *interval* is known and no wider than :data:`PRECISE`."""
    if interval.low is None or interval.high is None:
        return False
    return (interval.high - interval.low) / 2 <= PRECISE * abs(interval.value)


def is_precise_enough(names: Sequence[str], runs: Sequence[Run]) -> bool:
    """Return whether every ratio of the first of *names* to another is precise.

    Args:
        names: Contenders that ran in every round.
        runs: All runs so far.
    """
    steady = [
        series((run for run in runs if run.contender == name), lambda run: run.steady_s)
        for name in names
    ]
    known = [one for one in steady if one.values]
    figures = [quotient(known[0], other) for other in known[1:]]
    return all(figure is not None and figure.is_precise for figure in figures)


def verdict(figure: Figure | None, bound: float, *, is_most: bool) -> str:
    """Return whether *figure* reaches *bound*, as the tables say it.

    Args:
        figure: What was measured; None if nothing was.
        bound: The value to reach.
        is_most: Whether the bound is the most it may be, not the least.

    Returns:
        ``met`` or ``not met`` only if the whole interval is on that side of the bound
        and nothing else had the machine, else ``unclear`` or ``noisy``.
    """
    if figure is None:
        return "not measured"
    low, high = figure.interval.low, figure.interval.high
    if figure.is_noisy:
        return "noisy"
    if low is None or high is None:
        return "unclear"
    is_good = high <= bound if is_most else low >= bound
    is_bad = low > bound if is_most else high < bound
    return "met" if is_good else "not met" if is_bad else "unclear"


def _most(shares: Iterable[float | None]) -> float | None:
    return max((share for share in shares if share is not None), default=None)
