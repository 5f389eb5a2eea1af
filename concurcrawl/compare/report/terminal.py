"""The comparison in a terminal: live rows while it runs, then a table and a verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from concurcrawl.compare import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from rich.console import Console, JustifyMethod, RenderableType

    from concurcrawl.compare.analyse import Outcome
    from concurcrawl.compare.figures import ModeFigures
    from concurcrawl.compare.options import Experiment
    from concurcrawl.compare.runs import Run

#: Narrower than this, the table is broken into two.
_WIDE_COLUMNS = 134
_BAR_CELLS = 10


def progress_for(console: Console) -> LiveProgress | PlainProgress:
    """Return rows that are redrawn in a terminal, else one line a run."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


@dataclass(slots=True)
class _Row:
    """What is shown of one mode while it runs."""

    runs: list[Run] = field(default_factory=list)
    round: int = 0
    running: bool = False
    started_s: float = 0.0
    done: int = 0
    failed: int = 0


class LiveProgress:
    """A row for each mode, redrawn a few times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._rows: dict[str, _Row] = {}
        self._title = ""
        self._rounds = 1
        self._total: int | None = None
        self._warming_up = True
        self._current = _Row()

    def __enter__(self) -> Self:
        """Begin to draw."""
        # It is redrawn when there is news: a thread of its own would draw while the
        # crawls are measured.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the rows; the table takes their place."""
        if self._live is not None:
            self._live.stop()

    def experiment_started(
        self, experiment: Experiment, modes: Sequence[str], rounds: int
    ) -> None:
        """See :class:`Progress`."""
        self._rows = {mode: _Row() for mode in modes}
        self._title = words.title(experiment)
        self._rounds = rounds
        self._total = experiment.pages
        self._draw()

    def run_started(self, mode: str, round_number: int) -> None:
        """See :class:`Progress`."""
        self._warming_up = round_number == 0
        self._current = self._rows[mode] if round_number else _Row()
        self._current.round = round_number
        self._current.running = True
        self._current.started_s = time.monotonic()
        self._current.done = self._current.failed = 0
        self._draw()

    def run_advanced(self, done: int, failed: int) -> None:
        """See :class:`Progress`."""
        self._current.done, self._current.failed = done, failed
        self._draw()

    def run_ended(self, run: Run) -> None:
        """See :class:`Progress`."""
        row = self._rows[run.mode]
        row.running = False
        row.runs.append(run)
        if self._total is None and run.status == "ok":
            self._total = len(run.pages)
        self._draw()

    def _draw(self) -> None:
        assert self._live is not None
        table = Table(box=None, padding=(0, 1), pad_edge=False)
        table.add_column("", min_width=10)
        table.add_column("", width=24)
        for name in ("pages", "pages/s", "failed", "time"):
            table.add_column(name, justify="right", min_width=7, style="dim")
        for mode, row in self._rows.items():
            table.add_row(*self._cells(mode, row))
        note = "warming up…" if self._warming_up else ""
        head = Text.assemble((self._title, "bold"), "  ", (note, "dim"))
        self._live.update(Group(head, table), refresh=True)

    def _cells(self, mode: str, row: _Row) -> list[RenderableType]:
        if row.running:
            elapsed_s = time.monotonic() - row.started_s
            done, failed = row.done, row.failed
        elif row.runs:
            last = row.runs[-1]
            elapsed_s, done, failed = last.wall_s, len(last.pages), last.failures
        else:
            return [Text(mode, "dim")]
        total = self._total
        done = min(done, total) if total else done
        bar: RenderableType = ProgressBar(
            total=total, completed=done, width=24, pulse=total is None and row.running
        )
        if row.runs and row.runs[-1].status == "failed" and not row.running:
            bar = Text("failed", "bold red")
        name = Text(mode, "bold cyan" if row.running else "")
        if self._rounds > 1:
            name.append(f" {row.round}/{self._rounds}", "dim")
        return [
            name,
            bar,
            f"{done}/{total}" if total else str(done),
            f"{done / elapsed_s:.1f}" if elapsed_s > 0 else "",
            Text(str(failed), "bold red" if failed else ""),
            f"{elapsed_s:.1f} s",
        ]


class PlainProgress:
    """A line for each run, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rounds = 1

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to end."""

    def experiment_started(
        self, experiment: Experiment, modes: Sequence[str], rounds: int
    ) -> None:
        """See :class:`Progress`."""
        self._rounds = rounds
        self._say(f"{words.title(experiment)}: {', '.join(modes)}")

    def run_started(self, mode: str, round_number: int) -> None:
        """See :class:`Progress`."""
        if round_number == 0:
            self._say(f"  warm-up (a few pages in {mode}, not counted)")

    def run_advanced(self, done: int, failed: int) -> None:
        """See :class:`Progress`; a line for each page would be no use."""

    def run_ended(self, run: Run) -> None:
        """See :class:`Progress`."""
        level = "" if run.level is None else f"at {run.level}  "
        turn = f"  {run.mode:<10} {run.round}/{self._rounds}  {level}"
        if run.status == "failed":
            self._say(f"{turn}failed: {run.reason}")
            return
        pages = len(run.pages)
        failures = f", {run.failures} failed requests" if run.failures else ""
        self._say(
            f"{turn}{pages} pages in {run.wall_s:.2f} s, "
            f"{pages / run.wall_s:.1f} pages/s{failures}"
        )

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def show(outcome: Outcome, console: Console) -> None:
    """Print the table of *outcome*, what it means and what to doubt."""
    speed = (*_SPEED, _bar_column(outcome.rows))
    layout = [speed, _COST] if console.width < _WIDE_COLUMNS else [(*speed, *_COST)]
    parts: list[RenderableType] = [
        Text(words.title(outcome.experiment), "bold"),
        *(Group("", _table(outcome.rows, columns)) for columns in layout),
        "",
        *(
            Text(f"✗ {row.mode} failed: {row.reason}", "red")
            for row in outcome.rows
            if row.status == "failed"
        ),
        Text(" ".join(outcome.verdict)),
        *(Text(f"! {sentence}", "yellow") for sentence in outcome.warnings),
        Text(_caption(outcome), "dim"),
    ]
    console.print("", *parts, "", sep="\n", highlight=False)


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
    _Column("CPU ms\na page", lambda row: words.milliseconds(row.cpu_s_per_page)),
    _Column("memory\npeak", words.memory),
    _Column("start-up\ns", lambda row: words.number(row.startup_s, ".2f")),
    _Column("in flight\npeak/limit", words.in_flight),
    _Column("lost\npages", _lost),
    _Column("pages,\nitems", _same),
)


def _table(rows: Sequence[ModeFigures], columns: Sequence[_Column]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
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


def _caption(outcome: Outcome) -> str:
    seen = {run.peak_in_flight_seen_by for run in outcome.runs}
    shared = any(row.peak_pss_bytes for row in outcome.rows)
    memory = "what processes share counts once" if shared else "the sum of their RSS"
    seers = " and the ".join(sorted(seen)) or "mirror"
    rounds = max((row.rounds for row in outcome.rows), default=0)
    median = f"median of {rounds} runs, " if rounds > 1 else ""
    return (
        f"wall: {median}from the start of the process to its end. efficiency: speed-up "
        "divided by the requests that may be in flight (parallel: one a process). CPU, "
        f"memory: the whole process tree; {memory}. start-up: until the first page is "
        f"asked for. in flight: as the {seers} saw it."
    )
