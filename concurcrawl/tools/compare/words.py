"""Figures and sentences as every report words them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.tools.compare import tutorial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tools.compare.figures import ModeFigures
    from concurcrawl.tools.compare.options import Experiment
    from concurcrawl.tools.compare.phases import Phases
    from concurcrawl.tools.compare.runs import Run

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"

#: A table: its heads, then a row for each mode; the first cell names it.
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def title(experiment: Experiment) -> str:
    """Return the title of *experiment* with its numbers."""
    facts = [
        f"{experiment.pages} pages" if experiment.pages else "all pages",
        f"{experiment.latency_s:g} s latency"
        if experiment.latency_s is not None
        else None,
        f"work={experiment.work}" if experiment.work else None,
    ]
    return f"{experiment.title}  ({', '.join(fact for fact in facts if fact)})"


def number(value: float | None, form: str) -> str:
    """Return *value* in the format *form*; a dash if it is None."""
    return DASH if value is None else format(value, form)


def span(low: float | None, high: float | None, form: str) -> str:
    """Return an interval; a dash if it is not known."""
    if low is None or high is None:
        return DASH
    return f"{low:{form}}{DASH}{high:{form}}"


def milliseconds(value_s: float | None) -> str:
    """Return seconds as milliseconds, without the unit."""
    return DASH if value_s is None else f"{value_s * 1000:.0f}"


def speedup(row: ModeFigures) -> str:
    """Return how many times as fast as serial."""
    return times(row.speedup)


def times(value: float | None) -> str:
    """Return a ratio; a dash if it is None."""
    return DASH if value is None else f"{value:.1f}{TIMES}"


def memory(row: ModeFigures) -> str:
    """Return the peak of memory, what processes share counted once if known."""
    used = row.peak_pss_bytes or row.peak_rss_bytes
    return DASH if used is None else f"{used / 2**20:.0f} MB"


def in_flight(row: ModeFigures) -> str:
    """Return the peak of requests in flight, and its limit."""
    seen = DASH if row.peak_in_flight is None else str(row.peak_in_flight)
    return f"{seen}/{row.slots or '∞'}"


def same(row: ModeFigures) -> str:
    """Return whether pages and items are those of the reference."""
    marks = (("pages", row.same_pages), ("items", row.same_items))
    other = [what for what, is_same in marks if not is_same]
    return "other " + "+".join(other) if other else "same"


#: Heads and cells.
_Columns = tuple[tuple[str, "Callable[[ModeFigures], str]"], ...]

_TIME: _Columns = (
    ("wall s (median)", lambda row: number(row.wall_s, ".2f")),
    ("95 % interval", lambda row: span(row.wall_low_s, row.wall_high_s, ".2f")),
    ("mean", lambda row: number(row.wall_mean_s, ".2f")),
    (f"min{DASH}max", lambda row: span(row.wall_min_s, row.wall_max_s, ".2f")),
    ("pages/s", lambda row: number(row.pages_per_s, ".1f")),
    ("speed-up", speedup),
    ("95 % interval ", lambda row: span(row.speedup_low, row.speedup_high, ".2f")),
    ("start-up apart", lambda row: times(row.steady_speedup)),
    ("efficiency", lambda row: number(row.efficiency, ".0%")),
)
_COST: _Columns = (
    ("CPU ms per page", lambda row: milliseconds(row.cpu_s_per_page)),
    ("memory", memory),
    ("start-up s", lambda row: number(row.startup_s, ".2f")),
    ("in flight/limit", in_flight),
    ("lost pages", lambda row: str(row.lost_pages)),
    ("pages, items", same),
)


def figures_table(outcome: ComparisonResult) -> Table:
    """Return times and speed-ups of each mode."""
    return _rows(outcome, _TIME)


def costs_table(outcome: ComparisonResult) -> Table:
    """Return CPU, memory and correctness of each mode."""
    return _rows(outcome, _COST)


def _rows(outcome: ComparisonResult, columns: _Columns) -> Table:
    headings = ("mode", *(head.strip() for head, _ in columns))
    return headings, [
        (row.mode, *(cell(row) for _, cell in columns))
        if row.status == "ok"
        else (row.mode, row.status, *[DASH] * (len(columns) - 1))
        for row in outcome.rows
    ]


def model_table(outcome: ComparisonResult) -> Table:
    """Return predicted and measured times."""
    headings = (
        *("mode", "predicted s", "measured s", "error"),
        *("without start-up: predicted s", "measured s", "error", "what decides"),
    )
    rows = {row.mode: row for row in outcome.rows}
    return headings, [
        (
            mode,
            f"{found.wall_s:.2f}",
            number(rows[mode].wall_s, ".2f"),
            _signed(found.error),
            f"{found.steady_s:.2f}",
            number(rows[mode].steady_s, ".2f"),
            _signed(found.steady_error),
            found.limit,
        )
        for mode, found in outcome.predictions.items()
    ]


def _signed(share: float) -> str:
    text = f"{share:+.0%}"
    return "0%" if text in ("+0%", "-0%") else text


def page_cost(outcome: ComparisonResult) -> str | None:
    """Return the cost of a page in the serial runs, in a sentence."""
    cost = outcome.cost
    if cost is None:
        return None
    waiting = _cost(cost.waiting_s, cost.waiting_low_s, cost.waiting_high_s)
    cpu = _cost(cost.cpu_s, cost.cpu_low_s, cost.cpu_high_s)
    return f"In the serial runs a page took {waiting} of waiting and {cpu} of CPU."


def _cost(value_s: float, low_s: float | None, high_s: float | None) -> str:
    text = f"{value_s * 1000:.1f} ms"
    if low_s is None or high_s is None:
        return text
    return f"{text} ({low_s * 1000:.1f} to {high_s * 1000:.1f})"


#: The phases of a request, in their order: head and how long it takes.
PHASES: tuple[tuple[str, Callable[[Phases], float | None]], ...] = (
    ("queue", lambda found: found.queue_s),
    ("connect", lambda found: found.connect_s),
    ("first byte", lambda found: found.first_byte_s),
    ("body", lambda found: found.body_s),
    ("callback", lambda found: found.work_s),
    ("callback CPU", lambda found: found.callback_cpu_s),
    ("pipelines", lambda found: found.pipeline_s),
    ("pipelines CPU", lambda found: found.pipeline_cpu_s),
)


def phase(value_s: float | None) -> str:
    """Return milliseconds, with a decimal where a whole number would hide it."""
    if value_s is None:
        return DASH
    return f"{value_s * 1000:.1f}" if 0 < value_s < 0.01 else milliseconds(value_s)


def phases_table(phases: Mapping[str, Phases]) -> Table:
    """Return the phases of a request, in milliseconds."""
    headings = (
        *("mode", *(head for head, _ in PHASES)),
        *("latency p50", "p95", "p99", "max", "in flight (mean)", "stragglers s"),
    )
    return headings, [
        (
            mode,
            *(phase(of(found)) for _, of in PHASES),
            *map(
                milliseconds,
                (
                    *(found.latency_p50_s, found.latency_p95_s),
                    *(found.latency_p99_s, found.latency_max_s),
                ),
            ),
            f"{found.mean_in_flight:.1f}",
            f"{found.straggling_s:.2f}",
        )
        for mode, found in phases.items()
    ]


def phases_note(phases: Mapping[str, Phases]) -> str:
    """Return the note that explains the columns of the phases."""
    found = phases.values()
    text = (
        "Queue: yielded, but not sent yet. First byte: from sending, or from having "
        "a connection, to the headers. Callback: from the body to the end of the "
        "callback, waiting for the CPU included."
    )
    if any(one.connect_s is None for one in found):
        text += f" Connect {DASH}: part of waiting for the first byte."
    if any(one.pipeline_s is None for one in found):
        text += f" Pipelines {DASH}: part of the rest."
    return text


def sweep_table(outcome: ComparisonResult) -> Table:
    """Return the pages per second of each level, and those of the law."""
    headings = ("mode", "at a time", "pages/s", "95 % interval", "by the law")
    return headings, [
        (
            curve.mode,
            f"{level} {curve.unit}",
            f"{rate.value:.1f}",
            span(rate.low, rate.high, ".1f"),
            number(curve.fit.throughput(level) if curve.fit else None, ".1f"),
        )
        for curve in outcome.curves
        for level, rate in curve.points
    ]


def most_in_flight(outcome: ComparisonResult) -> str:
    """Return what the site saw at most, in a sentence; nothing if it was not asked."""
    if {run.peak_in_flight_seen_by for run in outcome.runs} != {"test site"}:
        return ""
    peaks = [
        f"{row.mode} {row.peak_in_flight}"
        for row in outcome.rows
        if row.peak_in_flight is not None
    ]
    return f"At most at a time, as the test site counted: {', '.join(peaks)}."


def tutorial_table(outcomes: Sequence[ComparisonResult]) -> Table:
    """Return the tutorial's table beside the same made here, empty if it was not."""
    for outcome in outcomes:
        if outcome.experiment.name == tutorial.NAME:
            headings, rows = tutorial.beside({r.mode: r.wall_s for r in outcome.rows})
            return headings, [*rows]
    return (), []


def environment_table(environment: Mapping[str, object]) -> Table:
    """Return where the comparison was made."""
    return ("what", "value"), [
        (name.replace("_", " "), DASH if value is None else str(value))
        for name, value in environment.items()
    ]


def how_measured(outcome: ComparisonResult) -> str:
    """Return how the figures came to be, in a few sentences."""
    rounds = max((row.rounds for row in outcome.rows), default=0)
    seen = {run.peak_in_flight_seen_by for run in outcome.runs}
    where = (
        "The site was the local test site. It runs in a process of its own, whose CPU "
        "time is not part of any figure."
        if outcome.experiment.latency_s is not None
        else "The site was not ours: the network, and what others did on it, is part "
        "of every figure."
    )
    return (
        f"Each run was a fresh process, {rounds} for each mode that counts, in turn "
        "(each mode once, then each again) after a warm-up that is dropped. Wall time "
        "is from the start of the process to its end; CPU and memory are of its whole "
        "process tree. Intervals are 95 % bootstrap intervals of the median; speed-ups "
        "compare runs of the same round. Efficiency is the speed-up divided by the "
        "requests that may be in flight. In flight is as the "
        f"{' and the '.join(sorted(seen)) or 'test site'} saw it. {where}"
    )


def typical(runs: Sequence[Run], mode: str) -> Run | None:
    """Return the run of *mode* whose wall time is the median, or next to it."""
    good = sorted(
        (
            run
            for run in runs
            if run.mode == mode and run.status == "ok" and run.level is None
        ),
        key=lambda run: run.wall_s,
    )
    return good[(len(good) - 1) // 2] if good else None
