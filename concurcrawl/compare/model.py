"""What each mode should take, from what a page costs in the serial runs. Pure.

A page is waiting, which any number can do at once, and CPU, which takes a core. The
slowest of the places that all pages must pass decides: that is Amdahl's law where the
part that cannot be shared is the CPU of one process, and the bounds of queueing theory.

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
from math import inf
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from concurcrawl.compare.runs import Run
    from concurcrawl.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a page costs when one is done after the other; medians of serial runs.

    Attributes:
        pages: Requests that could have company.
        waiting_s: Of one of them: waiting for the site, the mirror's work included.
        cpu_s: Of one of them: CPU of the crawl.
        alone_s: Of all others together: before their answer nothing else was known.
        server_cpu_s: CPU of the mirror for one request; 0 if the site is not ours.
    """

    pages: int
    waiting_s: float
    cpu_s: float
    alone_s: float
    server_cpu_s: float

    @property
    def waiting_share(self) -> float:
        """The share of a page's time that is waiting, 0 to 1."""
        whole_s = self.waiting_s + self.cpu_s
        return self.waiting_s / whole_s if whole_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the model says of one mode.

    Attributes:
        wall_s: Predicted wall time; start and end of the process are as measured.
        limit: What decides: ``in flight``, ``CPU of a process``, ``cores`` or
            ``the mirror``.
        error: Predicted divided by measured, minus 1.
    """

    wall_s: float
    limit: str
    error: float


def alone(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the requests of a serial run that had to be done alone, last first.

    A request is alone if every later one became known only after it was asked for.
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
    """Return what a page costs, from the serial runs that succeeded.

    Args:
        serial: The runs.
        records: Of each run, by its folder.

    Returns:
        None if no run tells.
    """
    found = [
        cost
        for run in serial
        if (cost := _cost_of_run(run, records.get(run.folder, ()))) is not None
    ]
    if not found:
        return None
    return Cost(
        pages=round(median(cost.pages for cost in found)),
        waiting_s=median(cost.waiting_s for cost in found),
        cpu_s=median(cost.cpu_s for cost in found),
        alone_s=median(cost.alone_s for cost in found),
        server_cpu_s=median(cost.server_cpu_s for cost in found),
    )


def _cost_of_run(run: Run, records: Sequence[Record]) -> Cost | None:
    if run.status != "ok" or not run.steady_s or not records:
        return None
    by_itself = alone(records)
    asked_s = sorted(record.asked_s for record in records)
    alone_s = sum(
        # Its answer may count as done only when the next has been asked for.
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
        server_cpu_s=(run.mirror_cpu_s or 0.0) / len(records),
    )


def _page_cpu_s(
    cpu_s: float, records: Sequence[Record], by_itself: Sequence[Record]
) -> float:
    """Return the CPU of a page that was not alone, from *cpu_s* of all.

    To download one costs the same for each; what a callback costs is known of each.
    """
    of_all_s = sum(record.callback_cpu_s for record in records)
    of_alone_s = sum(record.callback_cpu_s for record in by_itself)
    pages = len(records) - len(by_itself)
    download_s = max(0.0, cpu_s - of_all_s) / len(records)
    return download_s + (of_all_s - of_alone_s) / pages


def steady_cpu_s(run: Run, records: Sequence[Record]) -> float:
    """Return the CPU time of *run* between its first request and its last callback.

    Where it was not measured apart: what is left of all when start and end, which are
    imports and closing, count as CPU.
    """
    if run.steady_cpu_s is not None:
        return run.steady_cpu_s
    callbacks_s = sum(record.callback_cpu_s for record in records)
    return max(callbacks_s, run.cpu_s - (run.wall_s - (run.steady_s or 0.0)))


def predict(cost: Cost, *, slots: int, processes: int, cores: int) -> tuple[float, str]:
    """Return the time from the first request to the last callback, and what decides.

    Args:
        cost: Of a page.
        slots: Requests in flight over all processes; 0 means no limit.
        processes: That download and run callbacks; each has one interpreter lock.
        cores: That crawl and mirror may use together.
    """
    n, page_s = cost.pages, cost.waiting_s + cost.cpu_s
    at_once = min(slots or n, n)
    # Who is busy without a pause still waits for its first page.
    bounds = {  # of equals the first is named
        "cores": cost.waiting_s + n * (cost.cpu_s + cost.server_cpu_s) / cores,
        "CPU of a process": cost.waiting_s + n * cost.cpu_s / min(processes, at_once),
        "the mirror": cost.waiting_s + n * cost.server_cpu_s,
        "in flight": n * page_s / at_once,
    }
    if at_once == 1:  # nothing runs beside anything
        bounds = {"in flight": n * page_s}
    limit = max(bounds, key=bounds.__getitem__)
    return cost.alone_s + bounds[limit], limit


def prediction(
    cost: Cost, runs: Sequence[Run], *, slots: int, processes: int, cores: int
) -> Prediction | None:
    """Lay the model beside the successful *runs* of one mode; see :func:`predict`."""
    timed = [(run.wall_s, run.steady_s) for run in runs if run.steady_s is not None]
    if not timed:
        return None
    ends_s = median(wall_s - steady_s for wall_s, steady_s in timed)
    steady_s, limit = predict(cost, slots=slots, processes=processes, cores=cores)
    wall_s = ends_s + steady_s
    measured_s = median(wall_s for wall_s, _ in timed)
    return Prediction(wall_s=wall_s, limit=limit, error=wall_s / measured_s - 1)


def amdahl(serial_share: float, times: float) -> float:
    """Return the speed-up if all but *serial_share* is done *times* at once."""
    return 1 / (serial_share + (1 - serial_share) / times)


def karp_flatt(speedup: float, processes: int) -> float | None:
    """Return the share that was done one after the other, by what was measured.

    It counts what Amdahl leaves out (start-up, messages) as serial. Below 0: more was
    gained than processes were added. None for one process.
    """
    if processes < 2 or speedup <= 0:
        return None
    return (1 / speedup - 1 / processes) / (1 - 1 / processes)
