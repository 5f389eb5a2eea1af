from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console

from concurcrawl.tools.compare.analyse import conclude
from concurcrawl.tools.compare.options import WAITING
from concurcrawl.tools.compare.report.terminal import show
from concurcrawl.tools.compare.setup import Setup
from tests.support.compare.crawls_made_up import crawl
from tests.support.compare.made_up import SLOTS, failed, run

if TYPE_CHECKING:
    from concurcrawl.tools.compare.runs import Run

RUNS = [
    run("serial", 25.0, cpu_s=2.5),
    run("concurrent", 2.5, peak_in_flight=16),
    run("async", 2.6, peak_in_flight=16),
    run("parallel", 13.0, peak_in_flight=2, items_digest="other"),
    failed("hybrid", "exit code 1: no more memory"),
]

WIDE = """
Where pages wait  (10 pages, 0.2 s latency, work=save)

                                                                               CPU ms   memory   start-up    in flight    lost        pages,
mode         wall s   min–max   pages/s   speed-up   efficiency                / page     peak          s   peak/limit   pages         items
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
serial        25.00         –       0.4       1.0×         100%   █               250    80 MB       0.80          1/1       0          same
concurrent     2.50         –       4.0      10.0×          62%   ██████████      200    80 MB       0.80        16/16       0          same
async          2.60         –       3.8       9.6×          60%   █████████▋      200    80 MB       0.80        16/16       0          same
parallel      13.00         –       0.8       1.9×          96%   █▉              200    80 MB       0.80          2/2       0   other items
hybrid       failed

✗ hybrid failed: exit code 1: no more memory
Fastest: concurrent, 10.0 times as fast as serial (2.5 s against 25.0 s); async is level with it (within 10%). In serial the CPU works 10%
of the time, the rest is waiting; many can wait at once: 16 at a time in one process are 10.0 times as fast, 2 processes with one each 1.9
times as fast.
! parallel gave other items than the reference, so it may not have done the same work: either the site changed meanwhile or the spider
depends on the order of pages. Compare its items.jsonl with the reference's.
wall: from the start of the process to its end. efficiency: speed-up divided by the requests that may be in flight (parallel: one per
process). CPU, memory: the whole process tree; what processes share counts once. start-up: until the first page is requested. in flight: as
the test site saw it.

"""  # noqa: E501, RUF001 - as it is printed

NARROW = """
Where pages wait  (10 pages, 0.2 s latency, work=save)

mode       wall s       min–max   pages/s   speed-up   efficiency
──────────────────────────────────────────────────────────────────────────────
serial      26.00   25.00–27.00       0.4       1.0×         100%   █████
parallel    13.00   13.00–13.00       0.8       2.0×         100%   ██████████

           CPU ms   memory   start-up    in flight    lost   pages,
mode       / page     peak          s   peak/limit   pages    items
───────────────────────────────────────────────────────────────────
serial        200    80 MB       0.80          1/1       0     same
parallel      200    80 MB       0.80          1/2       0     same
"""  # noqa: RUF001 - as it is printed


PHASES = """
ms per                         first                     callback
request      queue   connect    byte   body   callback        CPU   pipelines
─────────────────────────────────────────────────────────────────────────────
serial        6384         –     180     20         20         20           –
concurrent     469         –     180     20        131         20           –
"""  # noqa: RUF001 - as it is printed


def shown(runs: list[Run], slots: dict[str, int], width: int) -> str:
    console = Console(file=StringIO(), width=width)
    show(conclude(replace(WAITING, pages=10), runs, Setup(slots=slots)), console)
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().split("\n")
    return "\n".join(line.rstrip() for line in lines)


def test_a_wide_terminal_has_one_table() -> None:
    assert shown(RUNS, SLOTS, 140) == WIDE


def test_80_columns_have_two_tables() -> None:
    slots = {"serial": 1, "parallel": 2}
    runs = [run(mode, 25.0 if mode == "serial" else 13.0) for mode in slots]
    again = [run(mode, 27.0 if mode == "serial" else 13.0, round=2) for mode in slots]
    text = shown(runs + again, slots, 80)
    assert text.startswith(NARROW)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_where_the_time_goes_fits_into_80_columns() -> None:
    made = [
        crawl(mode, waiting_s=0.2, cpu_s=0.02, slots=slots)
        for mode, slots in (("serial", 1), ("concurrent", 16))
    ]
    console = Console(file=StringIO(), width=80)
    outcome = conclude(
        replace(WAITING, pages=60),
        [run for run, _ in made],
        Setup(slots={"serial": 1, "concurrent": 16}),
        {run.folder: records for run, records in made},
    )
    show(outcome, console)
    assert isinstance(console.file, StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    begin = next(n for n, line in enumerate(lines) if line.startswith("ms per"))
    assert lines[begin : begin + 5] == PHASES.strip().splitlines()
    text = " ".join(lines)
    assert "Connect –: part of waiting" in text  # noqa: RUF001 - as it is printed
