"""The comparison in a terminal: a table and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from concurcrawl.terminal.console import plain_table
from concurcrawl.tools.compare import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console, JustifyMethod, RenderableType
    from rich.table import Table

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tools.compare.figures import ModeFigures

#: Narrower than this, the table is broken into two.
_WIDE_COLUMNS = 134
_BAR_CELLS = 10
#: Phases of a request that fit into 80 columns.
_PHASES = 7


def show(outcome: ComparisonResult, console: Console) -> None:
    """Print the table of *outcome*, what it means and what to doubt."""
    speed = (*_SPEED, _bar_column(outcome.rows))
    layout = [speed, _COST] if console.width < _WIDE_COLUMNS else [(*speed, *_COST)]
    parts: list[RenderableType] = [
        Text(words.title(outcome.experiment), "bold"),
        *(Group("", _table(outcome.rows, columns)) for columns in layout),
        *_phases(outcome),
        *_tutorial(outcome),
        "",
        *(
            Text(f"✗ {row.mode} failed: {row.reason}", "red")
            for row in outcome.rows
            if row.status == "failed"
        ),
        Text(" ".join(outcome.verdict)),
        *(Text(f"! {sentence}", "yellow") for sentence in outcome.warnings),
        Text(_caption(outcome), "dim"),
        *([Text(words.phases_note(outcome.phases), "dim")] if outcome.phases else []),
    ]
    console.print("", *parts, "", sep="\n", highlight=False)


def _tutorial(outcome: ComparisonResult) -> list[RenderableType]:
    """Return the tutorial's table beside this one, if it was made again."""
    headings, rows = words.tutorial_table([outcome])
    if not rows:
        return []
    table = plain_table()
    for number, head in enumerate(headings):
        table.add_column(head, justify="right" if number in (1, 2) else "left")
    for cells in rows:
        table.add_row(*cells)
    return ["", table]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its head, and what it shows of a mode that did not fail."""

    head: str
    cell: Callable[[ModeFigures], str | Text]
    justify: JustifyMethod = "right"


def _bar_column(rows: Sequence[ModeFigures]) -> _Column:
    """Return a column that draws each speed-up as a bar beside the largest one."""
    most = max((row.speedup for row in rows if row.speedup), default=1.0)

    def bar(row: ModeFigures) -> Text:
        eighths = round((row.speedup or 0) / most * _BAR_CELLS * 8)
        whole, part = divmod(eighths, 8)
        text = "█" * whole + ("▏▎▍▌▋▊▉"[part - 1] if part else "")
        return Text(text, "cyan")

    return _Column(" " * _BAR_CELLS, bar, "left")


def _same(row: ModeFigures) -> Text:
    marks = (("pages", row.same_pages), ("items", row.same_items))
    if all(same for _, same in marks):
        return Text("same")
    return Text("other " + "+".join(what for what, same in marks if not same), "red")


def _lost(row: ModeFigures) -> Text:
    return Text(str(row.lost_pages), "bold red" if row.lost_pages else "")


def _range(row: ModeFigures) -> str:
    if row.rounds < 2 or row.wall_min_s is None or row.wall_max_s is None:
        return words.DASH
    return f"{row.wall_min_s:.2f}{words.DASH}{row.wall_max_s:.2f}"


_SPEED = (
    _Column("wall s", lambda row: words.number(row.wall_s, ".2f")),
    _Column(f"min{words.DASH}max", _range),
    _Column("pages/s", lambda row: words.number(row.pages_per_s, ".1f")),
    _Column("speed-up", words.speedup),
    _Column("efficiency", lambda row: words.number(row.efficiency, ".0%")),
)
_COST = (
    _Column("CPU ms\n/ page", lambda row: words.milliseconds(row.cpu_s_per_page)),
    _Column("memory\npeak", words.memory),
    _Column("start-up\ns", lambda row: words.number(row.startup_s, ".2f")),
    _Column("in flight\npeak/limit", words.in_flight),
    _Column("lost\npages", _lost),
    _Column("pages,\nitems", _same),
)


def _table(rows: Sequence[ModeFigures], columns: Sequence[_Column]) -> Table:
    table = plain_table()
    table.add_column("mode", vertical="bottom")
    for column in columns:
        table.add_column(
            column.head, justify=column.justify, vertical="bottom", no_wrap=True
        )
    fastest_s = min((row.wall_s for row in rows if row.wall_s), default=None)
    for row in rows:
        if row.status != "ok":
            table.add_row(row.mode, Text(row.status, "red"))
            continue
        table.add_row(
            row.mode,
            *(column.cell(row) for column in columns),
            style="bold green" if row.wall_s == fastest_s else "",
        )
    return table


def _phases(outcome: ComparisonResult) -> list[RenderableType]:
    """Return the table of phases, if they are known."""
    if not outcome.phases:
        return []
    table = plain_table()
    table.add_column("ms per\nrequest", vertical="bottom", no_wrap=True)
    shown = words.PHASES[:_PHASES]
    for head, _ in shown:
        table.add_column(
            head.replace(" ", "\n"), justify="right", vertical="bottom", no_wrap=True
        )
    for mode, found in outcome.phases.items():
        table.add_row(mode, *(words.phase(of(found)) for _, of in shown))
    return ["", table]


def _caption(outcome: ComparisonResult) -> str:
    seen = {run.peak_in_flight_seen_by for run in outcome.runs}
    shared = any(row.peak_pss_bytes for row in outcome.rows)
    memory = "what processes share counts once" if shared else "the sum of their RSS"
    seers = " and the ".join(sorted(seen)) or "test site"
    rounds = max((row.rounds for row in outcome.rows), default=0)
    median = f"median of {rounds} runs, " if rounds > 1 else ""
    return (
        f"wall: {median}from the start of the process to its end. efficiency: speed-up "
        "divided by the requests that may be in flight (parallel: one per process). "
        "CPU, "
        f"memory: the whole process tree; {memory}. start-up: until the first page is "
        f"requested. in flight: as the {seers} saw it."
    )
