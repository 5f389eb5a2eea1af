"""Crawls of a page cost that is known, in any mode, with their records."""

from __future__ import annotations

from dataclasses import replace
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.runs import Run, timing
from concurcrawl.tracing.record import Record
from tests.support.compare.made_up import RUN

if TYPE_CHECKING:
    from collections.abc import Callable

START_UP_S = 0.8
END_S = 0.1
LIST_S = 0.2


def crawl(
    mode: str,
    *,
    waiting_s: float,
    cpu_s: float,
    slots: int = 1,
    processes: int = 1,
    pages: int = 60,
    number: int = 1,
    slower: float = 1.0,
    url: str = "http://127.0.0.1:1/wiki/",
    unlike: Callable[[], float] = lambda: 1.0,
) -> tuple[Run, list[Record]]:
    """Simulate: a slot waits, then has the CPU of its process to itself.

    Args:
        mode: Of the run.
        waiting_s: Of a page.
        cpu_s: Of a page.
        slots: Over all processes.
        processes: That have a CPU each.
        pages: Besides the list page.
        number: Of the round.
        slower: Factor of the run's times, and not of the CPU time that it counts.
        url: What the addresses of pages begin with.
        unlike: Gives the factor of each page's waiting, then of its CPU.
    """
    started_s = 1000.0 * number
    first_s = started_s + START_UP_S
    found_s = first_s + LIST_S
    records = [_record("main", url + "List", first_s - 0.01, first_s, LIST_S, 0.0)]
    free = [(found_s, slot) for slot in range(slots)]
    heapify(free)
    cpu_free = [found_s] * processes
    for n in range(pages):
        asked_s, slot = free[0]
        process = slot % processes
        waits_s, works_s = waiting_s * unlike(), cpu_s * unlike()
        came_s = asked_s + waits_s * slower
        done_s = max(came_s, cpu_free[process]) + works_s * slower
        cpu_free[process] = done_s
        heapreplace(free, (done_s, slot))
        worker = "main" if processes == 1 else f"worker-{process + 1}"
        record = _record(worker, f"{url}{n}", found_s, asked_s, waits_s, works_s)
        records.append(
            replace(
                record,
                first_byte_s=asked_s + waits_s * slower * 0.9,
                downloaded_s=came_s,
                done_s=done_s,
                thread=f"thread-{slot}" if processes == 1 and slots > 1 else "reactor",
            )
        )
    seen = timing(records, started_s)
    assert seen.steady_s is not None
    cpu_of_pages_s = sum(record.callback_cpu_s for record in records)
    run = replace(
        RUN,
        mode=mode,
        round=number,
        started_s=started_s,
        wall_s=START_UP_S + seen.steady_s + END_S,
        cpu_s=START_UP_S + END_S + cpu_of_pages_s,
        steady_cpu_s=cpu_of_pages_s,
        site_cpu_s=0.0,
        startup_s=START_UP_S,
        steady_s=seen.steady_s,
        requests=pages + 1,
        peak_in_flight=slots,
        pages=tuple((f"{n}.html", "x") for n in range(pages)),
        items=pages,
        folder=f"made-up/{mode}-{number}",
    )
    return run, records


def _record(
    worker: str, url: str, queued_s: float, asked_s: float, wait_s: float, cpu_s: float
) -> Record:
    return Record(
        url=url,
        status=200,
        size_bytes=200_000,
        worker=worker,
        pid=1,
        thread="reactor",
        queued_s=queued_s,
        asked_s=asked_s,
        first_byte_s=asked_s + wait_s,
        downloaded_s=asked_s + wait_s,
        done_s=asked_s + wait_s + cpu_s,
        callback_cpu_s=cpu_s,
        error=None,
    )
