"""The results as JSON and as Markdown. Pure."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.runner import contenders, workloads
from benchmarks.runner.noise import NOISY, is_noisy
from benchmarks.runner.results import (
    FrontierResult,
    Results,
    Run,
    Summary,
    Table,
)
from benchmarks.runner.samples import quotient, series
from benchmarks.runner.targets import judge
from concurcrawl.tools.compare.words import DASH, TIMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.runner.samples import Series
    from benchmarks.runner.targets import Verdict

#: Of the JSON: raised when a key changes its meaning.
VERSION = 3
_BEGIN, _END = "<!-- bench:begin -->", "<!-- bench:end -->"

_LEGEND = (
    "steady: from the arrival of the first request for a page at the server until the "
    f"last byte of the results is in its file, median (shortest{DASH}longest); "
    "start-up: from the start of the process until its first request arrives; CPU and "
    "memory: whole process tree, with memory that processes share divided among them; "
    "in flight: as the server saw it; server: its CPU, of one core, in steady state; "
    "others: CPU that other processes and, through the hypervisor, other machines had "
    "meanwhile, of all cores. Intervals are 95 % bootstrap intervals of the median; "
    "ratios are taken round by round. A verdict is met or not met only if the whole "
    "interval is."
)


def to_json(results: Results) -> str:
    """Return everything, the runs and what they come to, as one JSON object."""
    whole = {"version": VERSION, **asdict(results)}
    whole["targets"] = [asdict(verdict) for verdict in judge(results)]
    return json.dumps(whole, indent=1)


def from_json(text: str) -> Results:
    """Read what :func:`to_json` wrote.

    Raises:
        ValueError: If *text* is nothing of the kind, or of another version.
    """
    try:
        whole = json.loads(text)
        if whole["version"] != VERSION:
            raise ValueError(f"version {whole['version']}, not {VERSION}")
        return Results(
            environment=whole["environment"],
            tables=tuple(_table(raw) for raw in whole["tables"]),
            frontier=tuple(_alone(raw) for raw in whole["frontier"]),
            imports_s=whole["imports_s"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError("no results of a benchmark") from error


def _table(raw: dict[str, object]) -> Table:
    runs, summaries = raw.pop("runs"), raw.pop("summaries")
    assert isinstance(runs, list)
    assert isinstance(summaries, list)
    return Table(
        **raw,  # type: ignore[arg-type]  # as asdict() wrote it
        runs=tuple(Run(**run) for run in runs),
        summaries=tuple(Summary(**summary) for summary in summaries),
    )


def _alone(raw: dict[str, Any]) -> FrontierResult:
    lists = ("samples_us", "samples_bytes")
    return FrontierResult(**raw | {name: tuple(raw[name]) for name in lists})


def markdown(results: Results) -> str:
    """Return the targets and all tables."""
    parts = [_about(results), _targets(results)]
    parts += [_workload(table) for table in results.tables]
    if results.frontier:
        parts.append(_frontier(results.frontier))
    if results.tables:
        parts.append(_LEGEND)
    return "\n\n".join(part for part in parts if part) + "\n"


def into_readme(readme: str, results: Results) -> str:
    """Return *readme* with the results between its two marks.

    Raises:
        ValueError: If it lacks the marks.
    """
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"it lacks {_BEGIN} and {_END}")
    return f"{before}{begin}\n{markdown(results)}{end}{after}"


def _about(results: Results) -> str:
    told = results.environment
    if not told:
        return ""
    return (
        f"{told.get('date')}, {told.get('cpu_model')}, {told.get('usable_cpus')} "
        f"usable CPUs, load {told.get('load_1min')} before; {told.get('python')}, "
        f"Scrapy {told.get('scrapy')}."
    )


def _targets(results: Results) -> str:
    verdicts = judge(results)
    known = [verdict for verdict in verdicts if verdict.verdict != "not measured"]
    said = [f"{_count(known)}{_left(len(verdicts) - len(known))}."]
    if loud := _noisy(results):
        said.append(loud)
    if not known:
        return "\n\n".join(said)
    rows = [
        (
            *(verdict.workload, verdict.what, verdict.target, verdict.measured),
            *(verdict.interval, _verdict(verdict)),
        )
        for verdict in known
    ]
    head = ("workload", "figure", "target", "measured", "95 % interval", "verdict")
    return "\n\n".join((*said, _grid(head, rows, right=(2, 3, 4))))


def _count(verdicts: Sequence[Verdict]) -> str:
    counts = Counter(verdict.verdict for verdict in verdicts)
    others = [
        f"{counts[word]} {word}"
        for word in ("not met", "unclear", "noisy")
        if counts[word]
    ]
    said = f"{counts['met']} of {len(verdicts)} targets are met"
    return said + (f" ({', '.join(others)})" if others else "")


def _left(count: int) -> str:
    return f"; {count} were not measured" if count else ""


def _verdict(verdict: Verdict) -> str:
    if verdict.verdict == "noisy" and verdict.noise_share is not None:
        return f"noisy: others had {_percent(verdict.noise_share)}"
    return "met" if verdict.verdict == "met" else f"**{verdict.verdict}**"


def _noisy(results: Results) -> str:
    """Say which workloads others disturbed; empty if none."""
    loud = {}
    for table in results.tables:
        shares = [s.noise_share for s in table.summaries if is_noisy(s.noise_share)]
        if shares:
            loud[table.workload] = max(share for share in shares if share)
    if not loud:
        return ""
    named = ", ".join(f"{name} ({_percent(share)})" for name, share in loud.items())
    return (
        f"**Noisy:** others used more than {_percent(NOISY)} of the machine, or its "
        f"hypervisor gave as much away, during {named}. Nothing counts as met there."
    )


def _workload(table: Table) -> str:
    plain = _reference(table)
    ran = [s for s in table.summaries if s.status in ("ok", "lost")]
    others = [s for s in table.summaries if s.status not in ("ok", "lost")]
    ran.sort(key=lambda summary: summary.steady_s or 0.0)
    head = (
        *(
            "contender",
            "steady s",
            "pages/s",
            f"{TIMES} Scrapy (95 %)",
            "wall s",
            "start-up s",
        ),
        *("CPU ms/page", "steady", "memory MB", "in flight", "lost", "server"),
        "others",
    )
    rows = [_row(summary, table, plain) for summary in ran]
    title = f"**{table.workload}** ({table.about}; {table.pages} pages; {table.server})"
    lines = [title, "", _grid(head, rows, right=range(1, len(head)))]
    for summary in others:
        reason = " ".join(summary.reason.split()).replace("|", "/")[:300]
        lines += ["", f"- `{summary.contender}`: {summary.status}: {reason}"]
    return "\n".join(lines)


def _reference(table: Table) -> Series | None:
    """Return the seconds of plain Scrapy, by round."""
    names = [summary.contender for summary in table.summaries]
    known = [name for name in contenders.PLAIN if name in names]
    return _steady(table, known[0]) if known else None


def _steady(table: Table, contender: str) -> Series:
    runs = [run for run in table.runs if run.contender == contender]
    return series(runs, lambda run: run.steady_s)


def _ratio(table: Table, contender: str, plain: Series | None) -> str:
    figure = None if plain is None else quotient(plain, _steady(table, contender))
    if figure is None:
        return DASH
    value = f"{figure.interval.value:.2f}"
    low, high = figure.interval.low, figure.interval.high
    if low is None or high is None or low == high:
        return value
    return f"{value} ({low:.2f}{DASH}{high:.2f})"


def _row(summary: Summary, table: Table, plain: Series | None) -> tuple[str, ...]:
    about = contenders.BY_NAME[summary.contender]
    name = f"**{summary.contender}**" if about.is_ours else summary.contender
    steady = summary.steady_s
    span = ""
    if summary.rounds > 1:
        shortest, longest = _number(summary.min_s, 2), _number(summary.max_s, 2)
        span = f" ({shortest}{DASH}{longest})"
    return (
        f"{name}, {about.about}",
        DASH if steady is None else f"{steady:.3f}{span}",
        f"{table.pages / steady:.0f}" if steady else DASH,
        _ratio(table, summary.contender, plain),
        _number(summary.wall_s, 2),
        _number(summary.startup_s, 2),
        _number(summary.cpu_ms_a_page, 2),
        _number(summary.steady_cpu_ms_a_page, 2),
        f"{summary.peak_bytes / 1e6:.0f}",
        DASH if summary.peak_in_flight is None else str(summary.peak_in_flight),
        f"**{summary.lost}**" if summary.lost else "0",
        DASH if summary.server_share is None else _percent(summary.server_share),
        _others(summary),
    )


def _others(summary: Summary) -> str:
    share = summary.noise_share
    if share is None:
        return DASH
    return f"**noisy: {_percent(share)}**" if is_noisy(share) else _percent(share)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _frontier(found: Sequence[FrontierResult]) -> str:
    steps = ("push µs", "take µs", "complete µs")
    head = ("frontier", "groups", "requests", *steps, "bytes per group")
    rows = [
        (
            result.where,
            str(result.groups),
            str(result.requests),
            _number(result.push_us, 1),
            _number(result.take_us, 1),
            _number(result.complete_us, 1),
            _number(result.bytes_a_group, 0),
        )
        for result in found
        if result.status == "ok"
    ]
    lines = [
        f"**{workloads.FRONTIER}** (alone; a request, wall time)",
        "",
        _grid(head, rows, right=range(1, len(head))),
    ]
    for result in found:
        if result.status != "ok":
            lines += ["", f"- {result.where}: {result.status}: {result.reason}"]
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f"{value:.{digits}f}"


def _grid(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int]
) -> str:
    columns = set(right)
    marks = ["---:" if index in columns else ":---" for index in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))
