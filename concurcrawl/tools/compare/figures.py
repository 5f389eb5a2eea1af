"""The figures of each mode, from its runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.intervals import middle, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from concurcrawl.tools.compare.intervals import Interval
    from concurcrawl.tools.compare.runs import Run, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFigures:
    """One row of the comparison. None where a figure is not available.

    Attributes:
        mode: The value of ``MODE``.
        status: ``failed`` if any of its runs failed.
        reason: Why, in one sentence.
        rounds: Runs that count.
        slots: Limit of requests in flight over all processes of the mode.
        wall_s: Median wall time.
        wall_min_s: Shortest wall time.
        wall_max_s: Longest wall time.
        wall_mean_s: Mean wall time.
        wall_low_s: Lower end of the 95 % interval of ``wall_s``; None for few runs.
        wall_high_s: Upper end likewise.
        pages_per_s: Pages of a run divided by ``wall_s``.
        speedup: Wall time of ``serial`` divided by that of the mode in the same
            round; the median of all rounds.
        speedup_low: Lower end of its 95 % interval; None for few rounds.
        speedup_high: Upper end likewise.
        steady_speedup: The same of ``steady_s``: start and end of the process apart.
        efficiency: ``speedup`` divided by ``slots``: 1 if each request that may be
            in flight (in ``parallel``: each process) gives a whole serial crawl's
            speed. 1 for ``serial``; None if the mode has no limit.
        cpu_s_per_page: CPU time of the process tree divided by pages.
        peak_rss_bytes: Largest of its runs.
        peak_pss_bytes: Largest of its runs.
        startup_s: Median.
        steady_s: Median.
        peak_in_flight: Largest of its runs.
        pages: Fewest pages of a run.
        items: Fewest items of a run.
        lost_pages: Most pages that a run did not get.
        failures: Most failed requests of a run.
        same_pages: Whether each run gave the same pages, byte for byte, as the
            reference: the first run of ``serial``, or of the first mode that ran.
        same_items: The same of items, whatever their order.
    """

    mode: str
    status: Status
    reason: str | None = None
    rounds: int = 0
    slots: int
    wall_s: float | None = None
    wall_min_s: float | None = None
    wall_max_s: float | None = None
    wall_mean_s: float | None = None
    wall_low_s: float | None = None
    wall_high_s: float | None = None
    pages_per_s: float | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    steady_speedup: float | None = None
    efficiency: float | None = None
    cpu_s_per_page: float | None = None
    peak_rss_bytes: int | None = None
    peak_pss_bytes: int | None = None
    startup_s: float | None = None
    steady_s: float | None = None
    peak_in_flight: int | None = None
    pages: int = 0
    items: int = 0
    lost_pages: int | None = None
    failures: int = 0
    same_pages: bool | None = None
    same_items: bool | None = None


def figures(
    runs: Sequence[Run],
    slots: Mapping[str, int],
    expected_pages: int | None = None,
) -> tuple[ModeFigures, ...]:
    """Compute one row per mode.

    Args:
        runs: All runs that count, warm-up left out, in the order they were made.
        slots: The modes to report, in order, and how many requests each may have in
            flight; 0 means no limit.
        expected_pages: How many pages each run should get. None if unknown: then
            every page that any run got is expected of all runs.
    """
    good = {
        mode: [run for run in runs if run.mode == mode and run.status == "ok"]
        for mode in slots
    }
    known = {name for run in runs for name, _ in run.pages}
    setting = _Setting(
        reference=next(
            (some[0] for some in (good.get("serial", []), *good.values()) if some), None
        ),
        serial_wall_s={run.round: run.wall_s for run in good.get("serial", [])},
        serial_steady_s=_steady_s(good.get("serial", [])),
        expected=max(expected_pages or 0, len(known)),
    )
    return tuple(
        _row(mode, [run for run in runs if run.mode == mode], slots[mode], setting)
        for mode in slots
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """The reference that one row is compared with."""

    reference: Run | None
    serial_wall_s: Mapping[int, float]
    serial_steady_s: Mapping[int, float]
    expected: int


def _row(mode: str, runs: Sequence[Run], slots: int, setting: _Setting) -> ModeFigures:
    if not runs:
        return ModeFigures(mode=mode, status="not run", slots=slots)
    failed = next((run for run in runs if run.status == "failed"), None)
    fewest = min(len(run.pages) for run in runs)
    row = ModeFigures(
        mode=mode,
        status="failed" if failed else "ok",
        reason=failed.reason if failed else None,
        slots=slots,
        pages=fewest,
        items=min(run.items for run in runs),
        lost_pages=setting.expected - fewest,
        failures=max(run.failures for run in runs),
    )
    if failed:
        return row
    walls = [run.wall_s for run in runs]
    wall = middle(walls)
    gain = paired({run.round: run.wall_s for run in runs}, setting.serial_wall_s)
    speedup = gain.value if gain else None
    steady = paired(_steady_s(runs), setting.serial_steady_s)
    reference = setting.reference or runs[0]
    return replace(
        row,
        rounds=len(runs),
        wall_s=wall.value,
        wall_min_s=min(walls),
        wall_max_s=max(walls),
        wall_mean_s=fmean(walls),
        wall_low_s=wall.low,
        wall_high_s=wall.high,
        pages_per_s=median(len(run.pages) / run.wall_s for run in runs),
        speedup=speedup,
        speedup_low=gain.low if gain else None,
        speedup_high=gain.high if gain else None,
        steady_speedup=steady.value if steady else None,
        efficiency=speedup / slots if speedup and slots else None,
        cpu_s_per_page=_middle(
            runs, lambda run: run.cpu_s / len(run.pages) if run.pages else None
        ),
        peak_rss_bytes=max(run.peak_rss_bytes for run in runs),
        peak_pss_bytes=_largest(runs, lambda run: run.peak_pss_bytes),
        startup_s=_middle(runs, lambda run: run.startup_s),
        steady_s=_middle(runs, lambda run: run.steady_s),
        peak_in_flight=_largest(runs, lambda run: run.peak_in_flight),
        same_pages=all(run.pages == reference.pages for run in runs),
        same_items=all(run.items_digest == reference.items_digest for run in runs),
    )


def paired(
    wall_s: Mapping[int, float], reference_s: Mapping[int, float]
) -> Interval | None:
    """Return the speed-ups over the reference, for rounds that both have.

    Args:
        wall_s: By round.
        reference_s: By round.
    """
    rounds = sorted(wall_s.keys() & reference_s.keys())
    if not rounds:
        return None
    return ratio([reference_s[n] for n in rounds], [wall_s[n] for n in rounds])


def _steady_s(runs: Iterable[Run]) -> dict[int, float]:
    return {run.round: run.steady_s for run in runs if run.steady_s}


def _middle(runs: Sequence[Run], figure: Callable[[Run], float | None]) -> float | None:
    values = [value for run in runs if (value := figure(run)) is not None]
    return median(values) if values else None


def _largest(runs: Sequence[Run], figure: Callable[[Run], int | None]) -> int | None:
    return max(
        (value for run in runs if (value := figure(run)) is not None), default=None
    )
