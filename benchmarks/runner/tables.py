"""The results as JSON and as Markdown. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks.runner import contenders, workloads
from benchmarks.runner.results import (
    FrontierResult,
    Results,
    Run,
    Summary,
    Table,
)
from benchmarks.runner.targets import judge
from concurcrawl.tools.compare.words import DASH, TIMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Of the JSON: raised when a key changes its meaning.
VERSION = 1
_BEGIN, _END = "<!-- bench:begin -->", "<!-- bench:end -->"

_LEGEND = (
    "steady: from the arrival of the first request for a page at the server until the "
    f"last byte of the results is in its file, median (shortest{DASH}longest); "
    "start-up: from the start of the process until its first request arrives; CPU and "
    "memory: whole process tree, what processes share counted for each; in flight: as "
    "the server saw it; server: its CPU, of one core, in steady state."
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
            frontier=tuple(FrontierResult(**raw) for raw in whole["frontier"]),
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
    known = [verdict for verdict in verdicts if verdict.met is not None]
    rows = [
        (
            *(verdict.workload, verdict.what, verdict.target, verdict.measured),
            "yes" if verdict.met else "**no**",
        )
        for verdict in known
    ]
    head = ("workload", "figure", "target", "measured", "met")
    met = sum(verdict.met is True for verdict in known)
    said = f"{met} of {len(known)} targets are met"
    if left := len(verdicts) - len(known):
        said += f"; {left} were not measured"
    return f"{said}.\n\n{_grid(head, rows, right=(2, 3))}" if known else f"{said}."


def _workload(table: Table) -> str:
    plain = table[contenders.REFERENCE] or table["scrapy-64"]
    ran = [s for s in table.summaries if s.status in ("ok", "lost")]
    others = [s for s in table.summaries if s.status not in ("ok", "lost")]
    ran.sort(key=lambda summary: summary.steady_s or 0.0)
    head = (
        *(
            "contender",
            "steady s",
            "pages/s",
            f"{TIMES} Scrapy",
            "wall s",
            "start-up s",
        ),
        *("CPU ms/page", "steady", "memory MB", "in flight", "lost", "server"),
    )
    rows = [_row(summary, table.pages, plain) for summary in ran]
    title = f"**{table.workload}** ({table.about}; {table.pages} pages; {table.server})"
    lines = [title, "", _grid(head, rows, right=range(1, len(head)))]
    for summary in others:
        reason = " ".join(summary.reason.split()).replace("|", "/")[:300]
        lines += ["", f"- `{summary.contender}`: {summary.status}: {reason}"]
    return "\n".join(lines)


def _row(summary: Summary, pages: int, plain: Summary | None) -> tuple[str, ...]:
    about = contenders.BY_NAME[summary.contender]
    name = f"**{summary.contender}**" if about.is_ours else summary.contender
    steady = summary.steady_s
    ratio = None
    if plain and plain.steady_s and steady:
        ratio = plain.steady_s / steady
    span = ""
    if summary.rounds > 1:
        shortest, longest = _number(summary.min_s, 2), _number(summary.max_s, 2)
        span = f" ({shortest}{DASH}{longest})"
    return (
        f"{name}, {about.about}",
        DASH if steady is None else f"{steady:.3f}{span}",
        f"{pages / steady:.0f}" if steady else DASH,
        _number(ratio, 2),
        _number(summary.wall_s, 2),
        _number(summary.startup_s, 2),
        _number(summary.cpu_ms_a_page, 2),
        _number(summary.steady_cpu_ms_a_page, 2),
        f"{summary.peak_rss_bytes / 1e6:.0f}",
        DASH if summary.peak_in_flight is None else str(summary.peak_in_flight),
        f"**{summary.lost}**" if summary.lost else "0",
        DASH if summary.server_share is None else f"{summary.server_share:.0%}",
    )


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
