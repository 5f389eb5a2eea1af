"""Predict the time of each mode from the cost of a page in the serial runs. Pure.

A page consists of waiting, which many pages can do at once, and of CPU, which takes a
core. The prediction has four steps:

1. *Measure the cost of a page* in the serial runs, where nothing runs in parallel: the
   time from the first request to the last callback, divided by the pages. The CPU time
   of the process tree is CPU, the rest is waiting. Requests that had to be made alone
   (the list page) count separately. With several runs the median counts.
2. *Simulate the pages* in the slots of the mode (:func:`played_s`): each page takes the
   next free slot, waits there, and then has the CPU of its slot's process to itself.
   That includes Amdahl's law, where the serial part is the CPU of one process, and the
   last pages, which leave slots empty.
3. *Apply the bounds* (:func:`bounds`): requests in flight, the CPU of each process, all
   cores (which the test site uses too) and the test site itself each allow a limited
   rate. The tightest of them decides; with many pages it is the predicted time.
4. *Add start and end* of the process as they were measured for the mode. Nothing else
   that was measured for a mode is used.

The model leaves out messages between processes, threads that compete, and other
programs. They show as the difference between predicted and measured time.

References:
    G. M. Amdahl, "Validity of the single processor approach…", AFIPS 1967.
    P. J. Denning, J. P. Buzen, "The Operational Analysis of Queueing Network Models",
    ACM Computing Surveys 10(3), 1978 (the bounds of a closed network).
    A. H. Karp, H. P. Flatt, "Measuring Parallel Processor Performance", CACM 33(5),
    1990.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from heapq import heapreplace
from math import inf
from statistics import median
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.intervals import middle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from concurcrawl.tools.compare.runs import Run
    from concurcrawl.tracing.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of a page in serial runs; medians.

    Attributes:
        pages: Requests that could run beside others.
        waiting_s: Time that one of them waits for the site.
        cpu_s: CPU time of the crawl for one of them.
        alone_s: Time of all requests that had to be made alone.
        alone: How many those are.
        server_cpu_s: CPU of the test site for one request; 0 if the site is not ours.
        waiting_low_s: Lower end of the 95 % interval of ``waiting_s``; None for few
            runs.
        waiting_high_s: Upper end likewise.
        cpu_low_s: Lower end of that of ``cpu_s``.
        cpu_high_s: Upper end likewise.
    """

    pages: int
    waiting_s: float
    cpu_s: float
    alone_s: float
    server_cpu_s: float
    alone: int = 0
    waiting_low_s: float | None = None
    waiting_high_s: float | None = None
    cpu_low_s: float | None = None
    cpu_high_s: float | None = None

    @property
    def waiting_share(self) -> float:
        """The share of a page's time that is waiting, 0 to 1."""
        whole_s = self.waiting_s + self.cpu_s
        return self.waiting_s / whole_s if whole_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The prediction for one mode.

    Attributes:
        wall_s: Predicted wall time: ``steady_s``, and start and end of the process,
            which are as measured.
        limit: What decides: ``in flight``, ``CPU of a process``, ``cores`` or
            ``the test site``.
        error: Predicted wall time divided by the measured median, minus 1.
        steady_s: Predicted from the first request to the last callback.
        steady_error: The same of ``steady_s`` alone.
    """

    wall_s: float
    limit: str
    error: float
    steady_s: float
    steady_error: float


def alone(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the requests of a serial run that had to be made alone, last first.

    A request is alone if no other request was known when it was sent.
    """
    ordered = sorted(records, key=lambda record: record.asked_s)
    found, next_known_s = [], inf
    for record in reversed(ordered):
        if record.asked_s < next_known_s < inf:
            found.append(record)
        next_known_s = min(next_known_s, record.queued_s)
    return tuple(found)


def cost_of(
    serial: Sequence[Run], records: Mapping[str, Sequence[Record]]
) -> Cost | None:
    """Return the cost of a page, from the serial runs that succeeded.

    Args:
        serial: The runs.
        records: Of each run, by its folder.

    Returns:
        None if no run has enough records.
    """
    found = [
        cost
        for run in serial
        if (cost := _cost_of_run(run, records.get(run.folder, ()))) is not None
    ]
    if not found:
        return None
    waiting = middle([cost.waiting_s for cost in found])
    cpu = middle([cost.cpu_s for cost in found])
    return Cost(
        pages=round(median(cost.pages for cost in found)),
        waiting_s=waiting.value,
        waiting_low_s=waiting.low,
        waiting_high_s=waiting.high,
        cpu_s=cpu.value,
        cpu_low_s=cpu.low,
        cpu_high_s=cpu.high,
        alone_s=median(cost.alone_s for cost in found),
        alone=round(median(cost.alone for cost in found)),
        server_cpu_s=median(cost.server_cpu_s for cost in found),
    )


def _cost_of_run(run: Run, records: Sequence[Record]) -> Cost | None:
    if run.status != "ok" or not run.steady_s or not records:
        return None
    if 2 * run.failures > run.requests:  # an error page costs less than a page
        return None
    by_itself = alone(records)
    asked_s = sorted(record.asked_s for record in records)
    alone_s = sum(
        # Its response may count as done only after the next request was sent.
        min(record.done_s, asked_s[bisect_right(asked_s, record.asked_s)])
        - record.asked_s
        for record in by_itself
    )
    pages = len(records) - len(by_itself)
    if pages < 1:
        return None
    page_cpu_s = _page_cpu_s(steady_cpu_s(run, records), records, by_itself)
    page_s = max(0.0, run.steady_s - alone_s) / pages
    return Cost(
        pages=pages,
        waiting_s=max(0.0, page_s - page_cpu_s),
        cpu_s=min(page_s, page_cpu_s),
        alone_s=alone_s,
        alone=len(by_itself),
        server_cpu_s=(run.site_cpu_s or 0.0) / len(records),
    )


def _page_cpu_s(
    cpu_s: float, records: Sequence[Record], by_itself: Sequence[Record]
) -> float:
    """Return the CPU time of a page that was not alone, from *cpu_s* of all.

    Downloads are assumed to cost the same; the cost of each callback is recorded.
    """
    of_all_s = sum(record.callback_cpu_s for record in records)
    of_alone_s = sum(record.callback_cpu_s for record in by_itself)
    pages = len(records) - len(by_itself)
    download_s = max(0.0, cpu_s - of_all_s) / len(records)
    return download_s + (of_all_s - of_alone_s) / pages


def steady_cpu_s(run: Run, records: Sequence[Record]) -> float:
    """Return the CPU time of *run* between its first request and its last callback.

    If it was not measured separately, start and end count as CPU time and the rest is
    returned.
    """
    if run.steady_cpu_s is not None:
        return run.steady_cpu_s
    callbacks_s = sum(record.callback_cpu_s for record in records)
    return max(callbacks_s, run.cpu_s - (run.wall_s - (run.steady_s or 0.0)))


def bounds(cost: Cost, *, slots: int, processes: int, cores: int) -> dict[str, float]:
    """Return the lower bounds of a run's time, by the resource that sets them.

    From the first request that could run beside others to the last callback.

    Args:
        cost: Cost of a page.
        slots: Requests in flight over all processes; 0 means no limit.
        processes: How many download and run callbacks; each has an interpreter lock.
        cores: CPUs for crawl and test site together.
    """
    n, page_s = cost.pages, cost.waiting_s + cost.cpu_s
    at_once = min(slots or n, n)
    if at_once == 1:  # nothing runs beside anything
        return {"in flight": n * page_s}
    # A process that is always busy still waits for its first page.
    return {  # of equals the first is named
        "cores": cost.waiting_s + n * (cost.cpu_s + cost.server_cpu_s) / cores,
        "CPU of a process": cost.waiting_s + n * cost.cpu_s / min(processes, at_once),
        "the test site": cost.waiting_s + n * cost.server_cpu_s,
        "in flight": n * page_s / at_once,
    }


def played_s(cost: Cost, *, slots: int, processes: int) -> float:
    """Return the time of all pages if each takes the next free slot.

    Slots are distributed over the processes in turn. A process uses its CPU for one
    page at a time.
    """
    at_once = min(slots or cost.pages, cost.pages)
    free = [(0.0, slot) for slot in range(at_once)]  # in order: a heap
    cpu_free_s = [0.0] * processes
    for _ in range(cost.pages):
        asked_s, slot = free[0]
        process = slot % processes
        done_s = max(asked_s + cost.waiting_s, cpu_free_s[process]) + cost.cpu_s
        cpu_free_s[process] = done_s
        heapreplace(free, (done_s, slot))
    return max(when_s for when_s, _ in free)


def prediction(
    cost: Cost, runs: Sequence[Run], *, slots: int, processes: int, cores: int
) -> Prediction | None:
    """Compare the model with the successful *runs* of one mode."""
    timed = [(run.wall_s, run.steady_s) for run in runs if run.steady_s]
    if not timed:
        return None
    found = bounds(cost, slots=slots, processes=processes, cores=cores)
    limit = max(found, key=found.__getitem__)
    steady_s = cost.alone_s + max(
        found[limit], played_s(cost, slots=slots, processes=processes)
    )
    wall_s = steady_s + median(whole_s - pages_s for whole_s, pages_s in timed)
    return Prediction(
        wall_s=wall_s,
        limit=limit,
        error=wall_s / median(whole_s for whole_s, _ in timed) - 1,
        steady_s=steady_s,
        steady_error=steady_s / median(pages_s for _, pages_s in timed) - 1,
    )


def karp_flatt(speedup: float, processes: int) -> float | None:
    """Return the serial share of the work, computed from the measured speed-up.

    It counts what Amdahl's law leaves out (start-up, messages) as serial. It is below 0
    if the speed-up exceeds the number of processes, and None for one process.
    """
    if processes < 2 or speedup <= 0:
        return None
    return (1 / speedup - 1 / processes) / (1 - 1 / processes)
