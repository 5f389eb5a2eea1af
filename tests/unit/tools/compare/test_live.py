"""How a comparison shows how far it is, and what it tells that from."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from concurcrawl.tools.compare.options import WAITING
from concurcrawl.tools.compare.progress import (
    Counted,
    ExperimentStarted,
    RunAdvanced,
    RunEnded,
    RunStarted,
)
from concurcrawl.tools.compare.report.live import progress_for
from tests.support.compare.crawls_made_up import crawl
from tests.support.compare.made_up import RECORD, failed, run
from tests.support.terminal import Screen

STARTED = ExperimentStarted(WAITING, ("serial", "hybrid"), 2)


def test_without_a_terminal_each_run_is_a_line() -> None:
    console = Console(file=StringIO(), width=200)
    with progress_for(console) as progress:
        progress.on_event(replace(STARTED, rounds=1))
        progress.on_event(RunStarted("hybrid", 0))
        progress.on_event(RunStarted("serial", 1))
        progress.on_event(RunAdvanced(3, 0))
        progress.on_event(RunEnded(run("serial", 25.0, failures=2)))
        progress.on_event(RunEnded(failed("hybrid", "exit code 1: no more memory")))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == (
        "Where pages wait  (60 pages, 0.2 s latency, work=save): serial, hybrid\n"
        "  warm-up (a few pages in hybrid, not counted)\n"
        "  serial     1/1  10 pages in 25.00 s, 0.4 pages/s, 2 failed requests\n"
        "  hybrid     1/1  failed: exit code 1: no more memory\n"
    )


def shown(console: Console) -> str:
    """Return what the last drawing of the rows was."""
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    screen = Screen(console.width)
    last = text[text.rindex("Where pages wait") :]
    screen.feed(last.partition("\x1b[?25h")[0].replace("\n", "\r\n"))
    return screen.text


@pytest.mark.parametrize("width", [80, 140])
def test_a_terminal_has_a_row_for_each_mode(width: int) -> None:
    console = Console(
        file=StringIO(), width=width, height=30, force_terminal=True, no_color=True
    )
    with progress_for(console) as progress:
        progress.on_event(STARTED)
        progress.on_event(RunStarted("serial", 1))
        progress.on_event(RunAdvanced(40, 3, in_flight=0.96, pages_per_s=2.0))
        progress.on_event(RunStarted("hybrid", 0))
        rows = shown(console).splitlines()
    assert [len(row) <= width for row in rows] == [True] * len(rows)
    assert rows[0].startswith("Where pages wait")
    assert " ".join(rows[1].split()) == "pages pages/s in flight failed time left"
    name, turn, _, pages, _, in_flight, failures, _, _, left = rows[2].split()
    assert (name, turn, pages, in_flight) == ("serial", "1/2", "40/60", "1.0")
    assert (failures, left) == ("3", "0:10")
    assert rows[3] == "hybrid"


def test_the_time_left_in_all_is_told_once_each_mode_has_run() -> None:
    console = Console(file=StringIO(), width=140, height=30, force_terminal=True)
    with progress_for(console) as progress:
        progress.on_event(STARTED)
        progress.on_event(RunStarted("serial", 1))
        progress.on_event(RunEnded(run("serial", 25.0)))
        assert "about" not in shown(console)
        progress.on_event(RunStarted("hybrid", 1))
        progress.on_event(RunEnded(run("hybrid", 5.0)))
        assert "about 0:30 left" in shown(console)
        progress.on_event(RunStarted("serial", 2, level=4))
        assert "about" not in shown(console)
        assert "serial at 4" in shown(console)


@pytest.mark.parametrize(
    ("mode", "slots", "in_flight"), [("serial", 1, 0.91), ("async", 8, 7.3)]
)
def test_what_has_come_back_tells_how_many_are_on_their_way(
    mode: str, slots: int, in_flight: float
) -> None:
    _, records = crawl(mode, waiting_s=0.2, cpu_s=0.02, slots=slots, pages=300)
    now_s = sorted(record.done_s for record in records)[len(records) * 3 // 4]
    counted = Counted()
    for record in records:
        if record.done_s <= now_s:
            counted.add(record, is_good=True)
    told = counted.at(now_s)
    assert told.in_flight == pytest.approx(in_flight, rel=0.15)


def test_too_early_nothing_is_guessed() -> None:
    counted = Counted()
    assert counted.at(1000.0) == RunAdvanced(0, 0)
    counted.add(RECORD, is_good=False)
    assert counted.at(RECORD.done_s + 1) == RunAdvanced(0, 1)
    assert counted.at(RECORD.done_s + 60).in_flight == 0.0
