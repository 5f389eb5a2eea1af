"""Where the time of a mode goes, from the records of its runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from concurcrawl.compare.intervals import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from concurcrawl.records import Record

_TOUCH_S = 0.005
_TOUCH_SHARE = 0.2
#: A rate of fewer pages than this is more noise than rate.
_PAGES_A_BIN = 5
_MOST_BINS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Means over all requests of all runs of a mode, in seconds a request.

    Percentiles are of the raw values of all runs and workers, never means of
    percentiles.

    Attributes:
        requests: How many were counted.
        queue_s: Known, but not asked for yet.
        first_byte_s: Asked for until its headers had come: connecting and waiting.
        body_s: Until its body had come.
        callback_cpu_s: CPU time of its callback.
        work_s: From its body to the end of its callback: CPU, and waiting for it.
        latency_p50_s: From asking to the end of the body; half took less.
        latency_p95_s: 95 % took less.
        latency_p99_s: 99 % took less.
        latency_max_s: The longest.
        mean_in_flight: Over the steady state, mean of all runs.
        straggling_s: From the end of the first slot to the end of the last, mean.
    """

    requests: int
    queue_s: float
    first_byte_s: float
    body_s: float
    callback_cpu_s: float
    work_s: float
    latency_p50_s: float
    latency_p95_s: float
    latency_p99_s: float
    latency_max_s: float
    mean_in_flight: float
    straggling_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What one slot of one thread did, one request after the other.

    Attributes:
        name: Worker, thread, and which slot of a thread that has several.
        records: In order. A callback may end a moment after the next request was
            asked for, no later.
    """

    name: str
    records: tuple[Record, ...]


def phases_of(runs: Iterable[Sequence[Record]]) -> Phases | None:
    """Return where the time goes in *runs*, the records of each; None without any."""
    each = [records for records in runs if records]
    every = [record for records in each for record in records]
    if not every:
        return None
    latencies = sorted(end_of_transfer(record) - record.asked_s for record in every)
    return Phases(
        requests=len(every),
        queue_s=fmean(max(0.0, record.asked_s - record.queued_s) for record in every),
        first_byte_s=fmean(_first_byte_s(record) - record.asked_s for record in every),
        body_s=fmean(
            end_of_transfer(record) - _first_byte_s(record) for record in every
        ),
        callback_cpu_s=fmean(record.callback_cpu_s for record in every),
        work_s=fmean(record.done_s - end_of_transfer(record) for record in every),
        latency_p50_s=percentile(latencies, 0.5),
        latency_p95_s=percentile(latencies, 0.95),
        latency_p99_s=percentile(latencies, 0.99),
        latency_max_s=latencies[-1],
        mean_in_flight=fmean(_mean_in_flight(records) for records in each),
        straggling_s=fmean(straggling_s(records) for records in each),
    )


def end_of_transfer(record: Record) -> float:
    """Return when the downloader was done with *record*."""
    return record.done_s if record.downloaded_s is None else record.downloaded_s


def lanes(records: Iterable[Record]) -> tuple[Lane, ...]:
    """Lay *records* of one run on as few lanes a thread as keep them apart."""
    threads: dict[tuple[str, str], list[list[Record]]] = {}
    for record in sorted(records, key=lambda record: record.asked_s):
        slots = threads.setdefault((record.worker, record.thread), [])
        for slot in slots:
            if slot[-1].done_s - record.asked_s <= _touching_s(slot[-1]):
                slot.append(record)
                break
        else:
            slots.append([record])
    return tuple(
        Lane(
            name=f"{worker} · {thread}" + (f" #{n}" if len(slots) > 1 else ""),
            records=tuple(slot),
        )
        for (worker, thread), slots in sorted(threads.items(), key=_natural)
        for n, slot in enumerate(slots, 1)
    )


def _touching_s(record: Record) -> float:
    """Return how much later than the next begins *record* may end on its lane.

    A request counts as done when its items are, and by then the next is on its way.
    """
    return max(_TOUCH_S, (record.done_s - record.asked_s) * _TOUCH_SHARE)


def straggling_s(records: Sequence[Record]) -> float:
    """Return how long some slots of a run had no more to do while others had."""
    found = lanes(records)
    # A slot that was needed for a moment only was never part of the crowd.
    busy = [lane for lane in found if len(lane.records) > 1] or found
    ends = [lane.records[-1].done_s for lane in busy]
    return max(ends) - min(ends) if ends else 0.0


def in_flight(records: Iterable[Record]) -> list[tuple[float, int]]:
    """Return the steps of requests in flight: when, and how many from then on."""
    changes = [
        change
        for record in records
        for change in ((record.asked_s, 1), (end_of_transfer(record), -1))
    ]
    changes.sort()  # at one instant the end counts first
    steps: list[tuple[float, int]] = []
    count = 0
    for when_s, change in changes:
        count += change
        if steps and steps[-1][0] == when_s:
            steps.pop()
        steps.append((when_s, count))
    return steps


def throughput(
    records: Sequence[Record], *, bins: int | None = None
) -> list[tuple[float, float]]:
    """Return pages a second over time: the begin of each of *bins*, its rate; the end.

    Args:
        records: Of one run.
        bins: Parts of the run, all as long; by default as many as hold five pages
            each on average, at most forty.
    """
    if not records:
        return []
    bins = bins or max(1, min(_MOST_BINS, len(records) // _PAGES_A_BIN))
    begin_s = min(record.asked_s for record in records)
    width_s = (max(record.done_s for record in records) - begin_s) / bins or 1.0
    counts = [0] * bins
    for record in records:
        counts[min(bins - 1, int((record.done_s - begin_s) / width_s))] += 1
    rates = [count / width_s for count in counts]
    return [(begin_s + n * width_s, rate) for n, rate in enumerate([*rates, 0.0])]


def _first_byte_s(record: Record) -> float:
    known_s = end_of_transfer(record)
    return known_s if record.first_byte_s is None else min(record.first_byte_s, known_s)


def _mean_in_flight(records: Sequence[Record]) -> float:
    begin_s = min(record.asked_s for record in records)
    span_s = max(record.done_s for record in records) - begin_s
    spent_s = sum(end_of_transfer(record) - record.asked_s for record in records)
    return spent_s / span_s if span_s > 0 else 0.0


def _natural(item: tuple[tuple[str, str], object]) -> tuple[tuple[int, str], ...]:
    """Sort ``worker-2`` before ``worker-10``."""
    return tuple((len(name), name) for name in item[0])
