"""Warnings about figures that may be wrong, as sentences. Pure.

Each says what happened, why it matters and what to do.

References:
    B. Iglewicz, D. Hoaglin, *How to Detect and Handle Outliers*, 1993: the modified
    z-score. J. D. C. Little, "A Proof for the Queuing Formula L = λW", 1961.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.verdict import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.tools.compare.figures import ModeFigures
    from concurcrawl.tools.compare.model import Prediction
    from concurcrawl.tools.compare.phases import Phases
    from concurcrawl.tools.compare.runs import Run

#: Share of one core above which the test site limits the speed.
SITE_BUSY_SHARE = 0.7
#: Cores that other programs may keep busy before they distort the times.
OTHERS_BUSY_CORES = 0.3
#: Spread of a mode's rounds, as a share of their median, on a steady machine.
UNSTEADY_SHARE = 0.25
#: Share of all cores above which crawl and test site compete for them.
SHARED_CORES_SHARE = 0.9
#: A mode that is this much slower than predicted has a cost the model does not know.
SLOWER_RATIO = 1.5
#: … if the whole crawl feels it.
WORTH_TELLING_RATIO = 1.1
_FEW_NAMES = 3
_OUTLIER_SCORE = 3.5
_OUTLIER_SHARE = 0.1
_FEWEST_FOR_OUTLIER = 5


def cautions(
    rows: Sequence[ModeFigures],
    runs: Sequence[Run],
    predictions: Mapping[str, Prediction] | None = None,
    phases: Mapping[str, Phases] | None = None,
    *,
    cores: int = 1,
) -> tuple[str, ...]:
    """Return the warnings about *rows*.

    Args:
        rows: The figures of the modes.
        runs: The runs they were computed from.
        predictions: What the model says, by mode.
        phases: Where the time goes, by mode.
        cores: CPUs for crawl and test site together.
    """
    good = [run for run in runs if run.status == "ok"]
    found = (
        _site_busy(good),
        _machine_busy(good),
        _cores_shared(good, cores),
        _unsteady(good),
        *(_outlier(row, good) for row in rows if row.status == "ok"),
        *(_lost(row, good) for row in rows if row.status == "ok"),
        *(_other(row) for row in rows if row.status == "ok"),
        *(_little(row, (phases or {}).get(row.mode)) for row in rows),
        *(_slower(row, (predictions or {}).get(row.mode)) for row in rows),
        *_held_back(good),
        _failures(rows),
        _strays(good),
    )
    return tuple(sentence for sentence in found if sentence)


def _site_busy(runs: Sequence[Run]) -> str | None:
    busy = {
        run.mode: run.site_cpu_s / (run.steady_s or run.wall_s)
        for run in runs
        if run.site_cpu_s is not None and run.wall_s > 0
    }
    over = [mode for mode, share in busy.items() if share >= SITE_BUSY_SHARE]
    if not over:
        return None
    return (
        f"The test site used {max(busy.values()):.0%} of a core in {listed(over)}: "
        "there it limits the speed, not the mode. Use --latency or --work parse, or "
        "more cores."
    )


def _machine_busy(runs: Sequence[Run]) -> str | None:
    busy: dict[str, float] = {}
    for run in runs:
        if run.machine_cpu_s is not None:
            ours_s = run.cpu_s + run.sampling_cpu_s + (run.site_cpu_s or 0)
            cores = (run.machine_cpu_s - ours_s) / run.wall_s
            busy[run.mode] = max(cores, busy.get(run.mode, 0))
    over = [mode for mode, cores in busy.items() if cores >= OTHERS_BUSY_CORES]
    if not over:
        return None
    return (
        f"Other programs kept up to {max(busy.values()):.1f} cores busy during "
        f"{listed(over)}: these times are too long, most of all where more than one "
        "core is wanted. Compare again on a quiet machine."
    )


def _cores_shared(runs: Sequence[Run], cores: int) -> str | None:
    over = {
        run.mode: None
        for run in runs
        if run.site_cpu_s
        and run.steady_cpu_s is not None
        and run.steady_s
        and run.site_cpu_s > run.steady_s * 0.1
        and run.steady_cpu_s + run.site_cpu_s
        >= cores * run.steady_s * SHARED_CORES_SHARE
    }
    if not over:
        return None
    return (
        f"Crawl and test site together filled all {cores} cores in "
        f"{listed(list(over))}: against a site elsewhere there would be more CPU "
        "left for the crawl. Use a machine with more cores to see it."
    )


def _outlier(row: ModeFigures, runs: Sequence[Run]) -> str | None:
    """Name the rounds of a mode that are unlike its others."""
    walls = {run.round: run.wall_s for run in runs if run.mode == row.mode}
    if len(walls) < _FEWEST_FOR_OUTLIER:
        return None
    middle_s = median(walls.values())
    spread_s = median(abs(wall_s - middle_s) for wall_s in walls.values())
    far = {
        number: wall_s
        for number, wall_s in walls.items()
        # 0.6745: what half of a normal distribution lies within.
        if 0.6745 * abs(wall_s - middle_s) > _OUTLIER_SCORE * spread_s
        and abs(wall_s - middle_s) > middle_s * _OUTLIER_SHARE
    }
    if not far:
        return None
    rounds = listed([f"{number} ({wall_s:.1f} s)" for number, wall_s in far.items()])
    return (
        f"{row.mode} was unlike itself in round {rounds}, the median is "
        f"{middle_s:.1f} s: something happened then that is not the mode's. The median "
        "hardly feels it, the mean does; look at that run's log."
    )


def _unsteady(runs: Sequence[Run]) -> str | None:
    walls: dict[str, list[float]] = {}
    for run in runs:
        walls.setdefault(run.mode, []).append(run.wall_s)
    far = [
        f"{mode} {min(some):.1f} to {max(some):.1f} s"
        for mode, some in walls.items()
        if max(some) - min(some) >= median(some) * UNSTEADY_SHARE
    ]
    if not far:
        return None
    return (
        f"The same work took from and to: {listed(far)}. The machine was unsteady, and "
        "smaller differences between modes mean nothing. Close other programs, or use "
        "more --rounds."
    )


def _lost(row: ModeFigures, runs: Sequence[Run]) -> str | None:
    """Name the pages that a mode did not get in each of its runs."""
    if not row.lost_pages:
        return None
    known = {name for run in runs for name, _ in run.pages}
    missed = {
        name
        for run in runs
        if run.mode == row.mode
        for name in known.difference(name for name, _ in run.pages)
    }
    names = sorted(missed)[:_FEW_NAMES]
    of_all = f"{row.lost_pages} of {row.pages + row.lost_pages} pages"
    which = f" ({listed(names)}{', …' if len(missed) > len(names) else ''})"
    return (
        f"{row.mode} lost {of_all}{which if names else ''}: its time is not that of "
        "the whole crawl and does not compare. Look in its log.txt and records.jsonl "
        "for what was given up, mend that, and compare again."
    )


def _other(row: ModeFigures) -> str | None:
    differs = [
        what
        for what, same in (("pages", row.same_pages), ("items", row.same_items))
        if same is False and not row.lost_pages  # missing pages are reported above
    ]
    if not differs:
        return None
    return (
        f"{row.mode} gave other {listed(differs)} than the reference, so it may not "
        "have done the same work: either the site changed meanwhile or the spider "
        "depends on the order of pages. Compare its items.jsonl with the reference's."
    )


def _little(row: ModeFigures, phases: Phases | None) -> str | None:
    """Compare requests in flight on average with the most there may be."""
    if not row.slots or row.status != "ok":
        return None
    if phases is not None and phases.mean_in_flight > row.slots * 1.05:
        return (
            f"By Little's law {row.mode} had {phases.mean_in_flight:.1f} requests in "
            f"flight on average, more than its limit of {row.slots}: its records or "
            "the limit are wrong, and so may be what is computed from them. Please "
            "report it."
        )
    if row.peak_in_flight is not None and row.peak_in_flight > row.slots:
        return (
            f"{row.mode} had {row.peak_in_flight} requests in flight, more than its "
            f"limit of {row.slots}: a site may mind. Please report it."
        )
    return None


def _slower(row: ModeFigures, prediction: Prediction | None) -> str | None:
    if prediction is None or row.wall_s is None or row.mode == "serial":
        return None
    if row.steady_s is None or row.wall_s < prediction.wall_s * WORTH_TELLING_RATIO:
        return None
    ratio = row.steady_s / prediction.steady_s
    if ratio < SLOWER_RATIO:
        return None
    return (
        f"{row.mode} took {ratio:.1f} times as long as waiting and CPU of a page "
        f"explain ({row.steady_s:.1f} s without start-up, predicted "
        f"{prediction.steady_s:.1f} s): something held it back that serial does not "
        "feel, such as a limit, a delay, a lock or other programs. Look at its "
        "timeline for gaps."
    )


def _held_back(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(run.held_back for run in runs if run.held_back))


def _failures(rows: Sequence[ModeFigures]) -> str | None:
    failing = [f"{row.mode} {row.failures}" for row in rows if row.failures]
    if not failing:
        return None
    return (
        f"Requests that failed or were answered with an error: {listed(failing)}. "
        "They cost time but give no page; see records.jsonl."
    )


def _strays(runs: Sequence[Run]) -> str | None:
    left = {run.mode for run in runs if run.strays}
    if not left:
        return None
    return (
        f"{listed(sorted(left))} left processes behind that had to be killed: they may "
        "have kept a core busy in the runs that came after. Please report it."
    )
