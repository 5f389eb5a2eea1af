"""The tutorial's own table, read as any other: a worked example. Pure.

References:
    https://github.com/oxylabs/concurrency-vs-parallelism (233 pages, ``executor.map``
    with 16 threads, ``Pool(cpu_count())``; the number of CPUs is not stated).
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGES = 233
SERIAL_S = 137.37
THREADS = 16
THREADS_S = 11.23
POOL_S = 18.10

#: Name of the experiment that makes the table again, and what it asks of the modes:
#: a page took the tutorial about 0.59 s, nearly all of it waiting.
NAME = "tutorial"
LATENCY_S = 0.58
PROCESSES = 8

#: What the tutorial measured, by the mode that does the same.
MEASURED = {
    "serial": ("one by one", SERIAL_S),
    "concurrent": (f"{THREADS} threads", THREADS_S),
    "parallel": (f"processes (one for each CPU there, {PROCESSES} here)", POOL_S),
}


def beside(
    here_s: Mapping[str, float | None],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the tutorial's table beside the same made here: heads, and rows.

    Args:
        here_s: Median seconds of each mode; None if it failed.
    """
    rows = tuple(
        (name, f"{there_s:.2f} s", f"{here:.1f} s" if here else "failed", mode)
        for mode, (name, there_s) in MEASURED.items()
        if (here := here_s.get(mode)) or mode in here_s
    )
    return ("", "tutorial", "here", "mode"), rows


def reading() -> tuple[str, ...]:
    """Return what the three numbers say, and what they cannot say."""
    page_s = SERIAL_S / PAGES
    threads = SERIAL_S / THREADS_S
    pool = SERIAL_S / POOL_S
    ideal_s = SERIAL_S / THREADS
    # Amdahl solved for the share: what 16 threads left to be done one by one.
    left = (THREADS / threads - 1) / (THREADS - 1)
    return (
        (
            f"The tutorial saved {PAGES} pages in {SERIAL_S} s one by one "
            f"({page_s:.2f} s per page), in {THREADS_S} s with {THREADS} threads and "
            f"in {POOL_S:.2f} s with one process for each CPU."
        ),
        (
            f"{THREADS} threads are {threads:.1f} times as fast, "
            f"{ideal_s / THREADS_S:.0%} of the ideal {ideal_s:.2f} s: a page was "
            f"nearly all waiting, and only {left:.1%} of it could not be done beside "
            "another."
        ),
        (
            f"The processes are {pool:.1f} times as fast. How many there were is not "
            "said, so what each gave is unknown; if they only waited, there were at "
            f"least {ceil(pool)}. So the table does not show that threads beat "
            f"processes: it shows that {THREADS} waiting at once beat fewer."
        ),
        (
            "Each number is of one run, so its spread is unknown, and the "
            "live site was part of it."
        ),
    )
