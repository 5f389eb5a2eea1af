"""Who won, and why, in a few sentences. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.figures import paired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.tools.compare.figures import ModeFigures
    from concurcrawl.tools.compare.model import Cost
    from concurcrawl.tools.compare.runs import Run

#: Modes nearer to each other than this are called level: single runs vary that much.
LEVEL_RATIO = 1.1


def verdict(
    rows: Sequence[ModeFigures],
    runs: Sequence[Run],
    cost: Cost | None = None,
    *,
    cores: int = 1,
) -> tuple[str, ...]:
    """Return which mode is fastest, by how much and why, in two or three sentences.

    Args:
        rows: The figures of the modes.
        runs: The runs they were computed from.
        cost: What a page costs in serial, if its records tell.
        cores: That this machine lets us use.
    """
    ranked = sorted(
        ((row.wall_s, row) for row in rows if row.wall_s is not None),
        key=lambda pair: pair[0],
    )
    if not ranked:
        return ("No mode finished, so there is nothing to compare.",)
    if len(ranked) == 1:
        wall_s, row = ranked[0]
        return (f"Only {row.mode} finished: {wall_s:.1f} s.",)
    return (
        _winner(ranked, runs),
        *_lesson({row.mode: row for _, row in ranked}, runs, cost, cores),
    )


def are_level(one: str, other: str, runs: Sequence[Run]) -> bool:
    """Return whether two modes are not significantly different.

    With three rounds or more: if the interval of the ratio of their rounds holds 1.
    Else: if their medians are within a tenth.
    """
    walls = [
        {run.round: run.wall_s for run in runs if run.mode == mode}
        for mode in (one, other)
    ]
    found = paired(*walls)
    if found is not None and found.is_known:
        return found.holds(1.0)
    first, second = (median(wall.values()) for wall in walls)
    return max(first, second) < min(first, second) * LEVEL_RATIO


def listed(words: Sequence[str]) -> str:
    """Return *words* as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _winner(ranked: Sequence[tuple[float, ModeFigures]], runs: Sequence[Run]) -> str:
    best_s, best = ranked[0]
    level = [row.mode for _, row in ranked[1:] if are_level(best.mode, row.mode, runs)]
    serial = next((row for _, row in ranked if row.mode == "serial"), None)
    if best.mode == "serial":
        sentence = f"Fastest: serial at {best_s:.1f} s. No other mode pays here"
    elif serial is None:
        last_s, last = ranked[-1]
        sentence = (
            f"Fastest: {best.mode}, {last_s / best_s:.1f} times as fast as {last.mode} "
            f"({best_s:.1f} s against {last_s:.1f} s)"
        )
    elif "serial" in level:
        level.remove("serial")
        sentence = (
            f"No clear winner: {best.mode} is the fastest at {best_s:.1f} s, "
            f"but serial took only {serial.wall_s:.1f} s"
        )
    elif best.speedup is None:
        sentence = (
            f"Fastest: {best.mode} at {best_s:.1f} s, against {serial.wall_s:.1f} s of "
            "serial, but no round has both to compare"
        )
    else:
        sentence = (
            f"Fastest: {best.mode}, {_gain(best)} times as fast as serial "
            f"({best_s:.1f} s against {serial.wall_s:.1f} s)"
        )
    if level:
        verb = "is" if len(level) == 1 else "are"
        how = (
            f"level with it (within {LEVEL_RATIO - 1:.0%})"
            if best.wall_low_s is None
            else "not significantly different"
        )
        sentence += f"; {listed(level)} {verb} {how}"
    return sentence + "."


def _gain(row: ModeFigures) -> str:
    gain = f"{row.speedup:.1f}"
    if row.speedup_low is None or row.speedup_high is None:
        return gain
    return f"{gain} ({row.speedup_low:.1f} to {row.speedup_high:.1f})"


def _lesson(
    rows: Mapping[str, ModeFigures],
    runs: Sequence[Run],
    cost: Cost | None,
    cores: int,
) -> tuple[str, ...]:
    """Explain the speed-ups by the share of waiting and CPU in the serial runs."""
    serial = [run for run in runs if run.mode == "serial" and run.status == "ok"]
    in_one = [rows[mode] for mode in ("concurrent", "async") if mode in rows]
    parallel = rows.get("parallel")
    if not serial or not in_one or parallel is None or parallel.speedup is None:
        return _spent((), cost)
    best = max(in_one, key=lambda row: row.speedup or 0)
    gain = best.speedup or 0
    at_once = f"{best.slots or 'many'} at a time in one process"
    processes = f"{parallel.slots} processes with one each"
    (spent,) = _spent(serial, cost)
    spent = spent.removesuffix(".")
    in_one_gives, processes_give = _times(best), _times(parallel)
    if gain > max(parallel.speedup, 1) * LEVEL_RATIO:
        sentence = (
            f"{spent}; many can wait at once: {at_once} are {in_one_gives}, "
            f"{processes} {processes_give}."
        )
    elif parallel.speedup > max(gain, 1) * LEVEL_RATIO:
        sentence = (
            f"{spent}, and CPU takes more cores, not more at a time: {processes} are "
            f"{processes_give}, {at_once} {in_one_gives}."
        )
    else:
        sentence = (
            f"{spent}: {at_once} are {in_one_gives}, {processes} {processes_give}."
        )
    return (sentence, *_both(rows, cost, cores))


def _times(row: ModeFigures) -> str:
    """Return the speed-up in words, also without start-up if that differs much."""
    gain = row.speedup or 0.0
    text = f"{gain:.1f} times as fast"
    if row.steady_speedup is not None and row.steady_speedup > gain * LEVEL_RATIO:
        text += f" ({row.steady_speedup:.1f} times without start-up)"
    return text


def _spent(serial: Sequence[Run], cost: Cost | None) -> tuple[str, ...]:
    if cost is not None:
        waiting = f"One by one a page is {cost.waiting_share:.0%} waiting"
        return (
            (
                f"{waiting} "
                f"({cost.waiting_s * 1000:.0f} ms) and "
                f"{1 - cost.waiting_share:.0%} CPU "
                f"({cost.cpu_s * 1000:.0f} ms)."
            ),
        )
    if not serial:
        return ()
    busy = min(1.0, median(run.cpu_s / run.wall_s for run in serial))
    return (f"In serial the CPU works {busy:.0%} of the time, the rest is waiting.",)


def _both(
    rows: Mapping[str, ModeFigures], cost: Cost | None, cores: int
) -> tuple[str, ...]:
    """Return what more requests in flight or processes would gain, by the model."""
    if cost is None or "hybrid" not in rows or cost.cpu_s <= 0:
        return ()
    enough = max(1, round((cost.waiting_s + cost.cpu_s) / cost.cpu_s))
    if enough == 1:
        return (
            (
                "More in flight adds next to nothing: the CPU is busy with one page "
                f"at a time, and {cores} cores are all there are."
            ),
        )
    return (
        (
            f"About {enough} in flight keep one process busy; only beyond that does a "
            "second process add anything."
        ),
    )
