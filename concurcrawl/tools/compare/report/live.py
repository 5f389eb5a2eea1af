"""How far a comparison is: rows in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from concurcrawl.progress.rates import duration
from concurcrawl.tools.compare import words
from concurcrawl.tools.compare.progress import (
    CompareProgress,
    ExperimentStarted,
    RunAdvanced,
    RunEnded,
    RunStarted,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from concurcrawl.tools.compare.progress import CompareEvent
    from concurcrawl.tools.compare.runs import Run

#: Narrower than this, bars are short.
_WIDE_COLUMNS = 100
#: Drawing takes some milliseconds of CPU, on the machine that is measured.
_DRAW_INTERVAL_S = 1.0
_HEADINGS = ("pages", "pages/s", "in flight", "failed", "time", "left")


def progress_for(console: Console) -> CompareProgress:
    """Return rows that are redrawn in a terminal, else one line a run."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


@dataclass(slots=True)
class _Row:
    """What is shown of one mode while it runs."""

    runs: list[Run] = field(default_factory=list)
    round: int = 0
    level: int | None = None
    running: bool = False
    started_s: float = 0.0
    now: RunAdvanced = field(default_factory=lambda: RunAdvanced(0, 0))

    def left_s(self, total: int | None) -> float | None:
        """Return the seconds until the end of the run; None if they are unknown."""
        if total is None or not self.now.pages_per_s:
            return None
        return max(0, total - self.now.done) / self.now.pages_per_s


class LiveProgress(CompareProgress):
    """A row for each mode, redrawn once a second and when a run begins or ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._rows: dict[str, _Row] = {}
        self._title = ""
        self._rounds = 1
        self._total: int | None = None
        self._warming_up = True
        self._current = _Row()
        self._drawn_s = 0.0

    def begin(self) -> None:
        """Begin to draw."""
        # It is redrawn when there is news: a thread of its own would draw while the
        # crawls are measured.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def end(self) -> None:
        """Remove the rows; the table takes their place."""
        if self._live is not None:
            self._live.stop()

    @override
    def on_event(self, event: CompareEvent) -> None:
        match event:
            case ExperimentStarted(experiment, modes, rounds):
                self._rows = {mode: _Row() for mode in modes}
                self._title = words.title(experiment)
                self._rounds = rounds
                self._total = experiment.pages
            case RunStarted(mode, number, level):
                self._warming_up = number == 0
                row = self._current = self._rows[mode] if number else _Row()
                row.round, row.level, row.running = number, level, True
                row.started_s, row.now = time.monotonic(), RunAdvanced(0, 0)
            case RunAdvanced():
                self._current.now = event
                if time.monotonic() < self._drawn_s + _DRAW_INTERVAL_S:
                    return
            case RunEnded(run):
                self._rows[run.mode].running = False
                self._rows[run.mode].runs.append(run)
                if self._total is None and run.status == "ok":
                    self._total = len(run.pages)
        self._draw()

    def _draw(self) -> None:
        assert self._live is not None
        self._drawn_s = time.monotonic()
        bar_cells = 24 if self._console.width >= _WIDE_COLUMNS else 10
        table = Table(box=None, padding=(0, 1), pad_edge=False)
        table.add_column("", min_width=10, no_wrap=True)
        table.add_column("", width=bar_cells)
        for head in _HEADINGS:
            table.add_column(
                head, justify="right", min_width=6, style="dim", no_wrap=True
            )
        for mode, row in self._rows.items():
            table.add_row(*self._cells(mode, row, bar_cells))
        title = Text.assemble((self._title, "bold"), "  ", (self._note(), "dim"))
        self._live.update(Group(title, table), refresh=True)

    def _note(self) -> str:
        if self._warming_up:
            return "warming up…"
        left_s = self._left_in_all_s()
        return "" if left_s is None else f"about {duration(left_s)} left"

    def _left_in_all_s(self) -> float | None:
        """Return how long all rounds will take, if each mode has shown what it takes.

        A sweep's runs take longer or shorter than others.
        """
        rows = self._rows.values()
        if self._rounds == 1 or self._current.level is not None:
            return None
        if not all(row.runs for row in rows):
            return None
        to_come_s = sum(
            (self._rounds - len(row.runs)) * fmean(run.wall_s for run in row.runs)
            for row in rows
        )
        running_s = time.monotonic() - self._current.started_s
        return max(0.0, to_come_s - running_s * self._current.running)

    def _cells(self, mode: str, row: _Row, bar_cells: int) -> list[RenderableType]:
        if row.running:
            elapsed_s = time.monotonic() - row.started_s
            done, failed = row.now.done, row.now.failed
        elif row.runs:
            last = row.runs[-1]
            elapsed_s, done, failed = last.wall_s, len(last.pages), last.failures
        else:
            return [Text(mode, "dim")]
        total = self._total
        done = min(done, total) if total else done
        bar: RenderableType = ProgressBar(
            total=total,
            completed=done,
            width=bar_cells,
            pulse=total is None and row.running,
        )
        if row.runs and row.runs[-1].status == "failed" and not row.running:
            bar = Text("failed", "bold red")
        name = Text(mode, "bold cyan" if row.running else "")
        if row.level is not None:
            name.append(f" at {row.level}", "dim")
        elif self._rounds > 1:
            name.append(f" {row.round}/{self._rounds}", "dim")
        return [
            name,
            bar,
            f"{done}/{total}" if total else str(done),
            f"{done / elapsed_s:.1f}" if elapsed_s > 0 else "",
            words.number(row.now.in_flight, ".1f") if row.running else "",
            Text(str(failed), "bold red" if failed else ""),
            f"{elapsed_s:.1f} s",
            duration(row.left_s(total)) if row.running else "",
        ]


class PlainProgress(CompareProgress):
    """A line for each run, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rounds = 1

    @override
    def on_event(self, event: CompareEvent) -> None:
        """; a line for each page would be no use."""
        match event:
            case ExperimentStarted(experiment, modes, rounds):
                self._rounds = rounds
                self._print(f"{words.title(experiment)}: {', '.join(modes)}")
            case RunStarted(mode, 0):
                self._print(f"  warm-up (a few pages in {mode}, not counted)")
            case RunEnded(run):
                self._print(self._line(run))

    def _line(self, run: Run) -> str:
        level = "" if run.level is None else f"at {run.level}  "
        turn = f"  {run.mode:<10} {run.round}/{self._rounds}  {level}"
        if run.status == "failed":
            return f"{turn}failed: {run.reason}"
        pages = len(run.pages)
        failures = f", {run.failures} failed requests" if run.failures else ""
        return (
            f"{turn}{pages} pages in {run.wall_s:.2f} s, "
            f"{pages / run.wall_s:.1f} pages/s{failures}"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
