"""Lay the model beside real runs: ``python -m tests.support.compare.grid [FOLDER]``.

Saving and parsing, at three latencies, in all modes: what the serial runs predict, what
was measured (the median), and the difference. It takes about ten minutes and means
something on a quiet machine only. The exit code tells whether all are near enough.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

#: Pages: enough that they and not the start-up are most of what is measured.
PAGES = {"save": 100, "parse": 20}
LATENCIES_S = (0.0, 0.05, 0.2)
ROUNDS = 3
#: Of the measured median.
NEAR_SHARE = 0.2


def main() -> int:
    """Run the grid into a folder, print its table and return the exit code."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/model")
    far = 0
    _say(f"{'':22}  {'whole run':>24}  {'without start-up':>24}")
    titles = f"{'predicted':>9} {'measured':>8} {'error':>5}"
    _say(f"{'work':5} {'latency':>7} {'mode':10} {titles}   {titles}   what decides")
    for work, pages in PAGES.items():
        for latency_s in LATENCIES_S:
            far += _show(_compared(folder, work, pages, latency_s), work, latency_s)
    _say(f"{far} differ by more than {NEAR_SHARE:.0%}" if far else "all are near")
    return int(far > 0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # a run takes a minute


def _compared(folder: Path, work: str, pages: int, latency_s: float) -> Path:
    out = folder / f"{work}-{latency_s:g}"
    options = {
        "--work": work,
        "--latency": f"{latency_s:g}",
        "--pages": f"{pages}",
        "--rounds": f"{ROUNDS}",
        "--out": f"{out}",
    }
    words = [word for pair in options.items() for word in pair]
    subprocess.run(
        [sys.executable, "-m", "concurcrawl", "compare", *words],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return out


def _show(out: Path, work: str, latency_s: float) -> int:
    found = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    (experiment,) = found["experiments"]
    far = 0
    for row in experiment["modes"]:
        told = experiment["predictions"][row["mode"]]
        far += abs(told["error"]) > NEAR_SHARE
        _say(
            f"{work:5} {latency_s:5.2f} s {row['mode']:10} "
            f"{told['wall_s']:7.2f} s {row['wall_s']:6.2f} s {told['error']:+5.0%}   "
            f"{told['steady_s']:7.2f} s {row['steady_s']:6.2f} s "
            f"{told['steady_error']:+5.0%}   {told['limit']}"
        )
    busy = [one for one in experiment["warnings"] if one.startswith("Other programs")]
    if busy:
        _say(f"      {busy[0]}")
    return far


if __name__ == "__main__":
    sys.exit(main())
