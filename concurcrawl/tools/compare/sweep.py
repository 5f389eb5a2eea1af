"""What a mode gives with more and more at a time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from concurcrawl.tools.compare import usl
from concurcrawl.tools.compare.intervals import Interval, middle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurcrawl.tools.compare.runs import Run

#: The setting that a sweep changes, and what it counts.
KNOBS = {
    "concurrent": ("CONCURCRAWL_THREADS", "threads"),
    "async": ("CONCURRENT_REQUESTS", "requests in flight"),
    "parallel": ("CONCURCRAWL_WORKERS", "processes"),
    "hybrid": ("CONCURRENT_REQUESTS", "requests in flight"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The sweep of one mode.

    Attributes:
        mode: The value of ``MODE``.
        unit: What the levels count.
        points: Level and pages per second from the first request to the last callback.
        fit: The Universal Scalability Law, or None for too few levels.
        best: The level with the most pages per second.
        pays_to: The level from which twice as many give under a tenth more.
        sentence: All this in words.
    """

    mode: str
    unit: str
    points: tuple[tuple[int, Interval], ...]
    fit: usl.Fit | None
    best: int
    pays_to: int
    sentence: str


def curves(runs: Sequence[Run]) -> tuple[Curve, ...]:
    """Return one curve for each mode that was swept in *runs*."""
    swept = [
        run
        for run in runs
        if run.level is not None and run.status == "ok" and run.pages
    ]
    modes = dict.fromkeys(run.mode for run in swept)
    return tuple(
        _curve(mode, [run for run in swept if run.mode == mode]) for mode in modes
    )


def _curve(mode: str, runs: Sequence[Run]) -> Curve:
    rates: dict[int, list[float]] = {}
    for run in runs:
        assert run.level is not None
        rate = len(run.pages) / (run.steady_s or run.wall_s)
        rates.setdefault(run.level, []).append(rate)
    points = tuple((level, middle(rates[level])) for level in sorted(rates))
    fitted = usl.fit([(level, rate) for level in rates for rate in rates[level]])
    if fitted is None:
        best = pays_to = max(points, key=lambda point: point[1].value)[0]
    else:
        best = usl.best_level(fitted, sorted(rates))
        pays_to = usl.where_it_stops_paying(fitted, sorted(rates))
    return Curve(
        mode=mode,
        unit=KNOBS[mode][1],
        points=points,
        fit=fitted,
        best=best,
        pays_to=pays_to,
        sentence=_sentence(mode, fitted, best, pays_to, dict(points)),
    )


def _sentence(
    mode: str,
    fitted: usl.Fit | None,
    best: int,
    pays_to: int,
    points: dict[int, Interval],
) -> str:
    unit = KNOBS[mode][1]
    text = f"{mode}: {best} {unit} gave the most, {points[best].value:.1f} pages/s"
    if fitted is None:
        return f"{text}; too few levels to fit the Universal Scalability Law."
    if pays_to < best:
        text += f", but from {pays_to} on twice as many give less than a tenth more"
    peak = fitted.peak
    turn = (  # the law is not to be trusted far beyond what was measured
        "nothing says that more would make it slower"
        if peak > 2 * max(points)
        else f"from about {peak:.0f} on more makes it slower"
    )
    return (
        f"{text}. By the Universal Scalability Law {fitted.contention.value:.1%} of "
        f"the work waits its turn and {turn}."
    )
