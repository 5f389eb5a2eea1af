"""Split the time of a mode into phases, from the records of its runs. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from heapq import heappop, heappush, nsmallest
from statistics import fmean, quantiles
from typing import TYPE_CHECKING

from concurcrawl.tracing.record import REACTOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from concurcrawl.tracing.record import Record

_TOUCH_S = 0.005
_TOUCH_SHARE = 0.2
#: Pages that a rate must be averaged over.
_PAGES_A_BIN = 5
_MOST_BINS = 40


#: Steps of a line; more than that no screen can show.
_MOST_STEPS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Means over all requests of all runs of a mode, in seconds per request.

    Percentiles are of the values of all runs and workers together, never means of
    percentiles.

    Attributes:
        requests: How many were counted.
        queue_s: From being yielded to being sent.
        connect_s: DNS lookup and connecting. None if not all answered requests have
            it recorded: then it is part of ``first_byte_s``.
        first_byte_s: From then to the headers.
        body_s: From the headers to the end of the body.
        work_s: From its body to the end of its callback, without the pipelines: CPU,
            and waiting for it.
        callback_cpu_s: CPU time of its callback.
        pipeline_s: Its items were in the pipelines; None if not all requests have it
            recorded: then it may be part of ``work_s``.
        pipeline_cpu_s: CPU time of that.
        latency_p50_s: From sending to the end of the body; half took less.
        latency_p95_s: 95 % took less.
        latency_p99_s: 99 % took less.
        latency_max_s: The longest.
        mean_in_flight: Over the steady state, mean of all runs.
        straggling_s: From the end of the first slot to the end of the last, mean.
    """

    requests: int
    queue_s: float
    connect_s: float | None
    first_byte_s: float
    body_s: float
    work_s: float
    callback_cpu_s: float
    pipeline_s: float | None
    pipeline_cpu_s: float | None
    latency_p50_s: float
    latency_p95_s: float
    latency_p99_s: float
    latency_max_s: float
    mean_in_flight: float
    straggling_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The requests of one slot of one thread, one after the other.

    Attributes:
        name: Worker, thread, and the number of the slot if the thread has several.
        records: In order. A callback may end shortly after the next request was sent.
    """

    name: str
    records: tuple[Record, ...]


def phases_of(runs: Iterable[Sequence[Record]]) -> Phases | None:
    """Return the phases of *runs*, the records of each; None without any.

    Runs are read one after the other, because together they may not fit into memory.
    """
    sums = _Sums()
    latencies = array("d")
    in_flight_means, straggling = [], []
    for records in runs:
        if not records:
            continue
        for record in records:
            sums.add(record)
        latencies.extend(end_of_transfer(one) - one.asked_s for one in records)
        in_flight_means.append(_mean_in_flight(records))
        straggling.append(straggling_s(records))
    if not sums.requests:
        return None
    n = sums.requests
    connect_s = sums.connect_s / n if sums.has_connect else None
    is_timed = sums.has_pipelines
    # Python 3.12 wants two values.
    sample = latencies if n > 1 else latencies * 2
    percentiles = quantiles(sample, n=100, method="inclusive")
    return Phases(
        requests=n,
        queue_s=sums.queue_s / n,
        connect_s=connect_s,
        first_byte_s=max(0.0, sums.first_byte_s / n - (connect_s or 0.0)),
        body_s=sums.body_s / n,
        work_s=sums.work_s / n,
        callback_cpu_s=sums.callback_cpu_s / n,
        pipeline_s=sums.pipeline_s / n if is_timed else None,
        pipeline_cpu_s=sums.pipeline_cpu_s / n if is_timed else None,
        latency_p50_s=percentiles[49],
        latency_p95_s=percentiles[94],
        latency_p99_s=percentiles[98],
        latency_max_s=max(latencies),
        mean_in_flight=fmean(in_flight_means),
        straggling_s=fmean(straggling),
    )


@dataclass(slots=True)
class _Sums:
    """Sums over all requests, from which :class:`Phases` is computed."""

    requests: int = 0
    queue_s: float = 0.0
    connect_s: float = 0.0
    first_byte_s: float = 0.0
    body_s: float = 0.0
    work_s: float = 0.0
    callback_cpu_s: float = 0.0
    pipeline_s: float = 0.0
    pipeline_cpu_s: float = 0.0
    has_connect: bool = True
    has_pipelines: bool = True

    def add(self, record: Record) -> None:
        """Count one request."""
        first_s, end_s = _first_byte_s(record), end_of_transfer(record)
        self.requests += 1
        self.queue_s += max(0.0, record.asked_s - record.queued_s)
        self.first_byte_s += first_s - record.asked_s
        self.body_s += end_s - first_s
        self.callback_cpu_s += record.callback_cpu_s
        if record.connect_s is not None:
            self.connect_s += record.connect_s
        elif record.status is not None:
            self.has_connect = False
        pipeline_s = record.pipeline_s or 0.0
        # Elsewhere the pipelines run in another process, afterwards.
        within_s = pipeline_s if record.worker == "main" else 0.0
        self.work_s += max(0.0, record.done_s - end_s - within_s)
        self.pipeline_s += pipeline_s
        self.pipeline_cpu_s += record.pipeline_cpu_s or 0.0
        self.has_pipelines &= record.pipeline_s is not None


def end_of_transfer(record: Record) -> float:
    """Return when the downloader was done with *record*."""
    return record.done_s if record.downloaded_s is None else record.downloaded_s


@dataclass(slots=True)
class _Slots:
    """Assigns the requests of one thread to its slots, the first that is free."""

    lanes: list[list[Record]] = field(default_factory=list)
    free: list[int] = field(default_factory=list)  # a heap
    busy: list[tuple[float, int]] = field(default_factory=list)  # a heap: until when

    def take(self, record: Record) -> None:
        """Assign *record* to a slot; records must come in the order of sending."""
        while self.busy and self.busy[0][0] <= record.asked_s:
            heappush(self.free, heappop(self.busy)[1])
        if not self.free:
            heappush(self.free, len(self.lanes))
            self.lanes.append([])
        slot = heappop(self.free)
        self.lanes[slot].append(record)
        heappush(self.busy, (record.done_s - _touching_s(record), slot))


def lanes(records: Iterable[Record]) -> tuple[Lane, ...]:
    """Distribute *records* of one run over as few lanes per thread as possible."""
    threads: dict[tuple[str, str], _Slots] = {}
    for record in sorted(records, key=lambda record: record.asked_s):
        threads.setdefault((record.worker, _kind(record)), _Slots()).take(record)
    return tuple(
        Lane(
            name=f"{worker} · {thread}" + (f" #{n}" if len(slots.lanes) > 1 else ""),
            records=tuple(lane),
        )
        for (worker, thread), slots in sorted(threads.items(), key=_natural)
        for n, lane in enumerate(slots.lanes, 1)
    )


def _kind(record: Record) -> str:
    """Return whether a lane is the reactor's or one of a thread of its pool.

    Threads are not told apart: a thread is free again before the callback ends.
    """
    return REACTOR if record.thread == REACTOR else "thread"


def _touching_s(record: Record) -> float:
    """Return the seconds by which *record* may overlap the next one on its lane.

    A request is done when its items are, and by then the next one has been sent.
    """
    return max(_TOUCH_S, (record.done_s - record.asked_s) * _TOUCH_SHARE)


def straggling_s(records: Sequence[Record]) -> float:
    """Return the seconds at the end of a run during which some slots were idle."""
    found = lanes(records)
    # Ignore slots that were used only for a moment.
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
    return steps if len(steps) <= _MOST_STEPS else _coarser(steps)


def _coarser(steps: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return fewer of *steps*: in each span of time the last of the highest."""
    begin_s, end_s = steps[0][0], steps[-1][0]
    width_s = (end_s - begin_s) / (_MOST_STEPS - 2) or 1.0
    highest: dict[int, tuple[float, int]] = {}
    for when_s, count in steps[:-1]:
        place = int((when_s - begin_s) / width_s)
        if place not in highest or count >= highest[place][1]:
            highest[place] = (when_s, count)
    return [*highest.values(), steps[-1]]


def beginning(records: Sequence[Record], most: int) -> Sequence[Record]:
    """Return the *most* records that were sent first."""
    if len(records) <= most:
        return records
    return nsmallest(most, records, key=lambda record: record.asked_s)


def throughput(
    records: Sequence[Record], *, bins: int | None = None
) -> list[tuple[float, float]]:
    """Return the start and rate of each of *bins* (pages per second), then the end.

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
