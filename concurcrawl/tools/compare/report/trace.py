"""The comparison as a trace for Perfetto and chrome://tracing. Pure.

References:
    "Trace Event Format", the Chromium project, 2016: complete events (``X``) with
    times in microseconds, counters (``C``) and names (``M``).
"""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from concurcrawl.tools.compare.phases import (
    beginning,
    end_of_transfer,
    in_flight,
    lanes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tools.compare.runs import Run
    from concurcrawl.tracing.record import Record

#: Requests over all runs; a browser cannot open more.
MOST_REQUESTS = 60_000


def trace(
    outcomes: Sequence[ComparisonResult], records: Mapping[str, Sequence[Record]]
) -> str:
    """Return all runs side by side: one process a run, one thread a lane.

    Of very long runs it has the begin, and says so in the name of their process.

    Args:
        outcomes: One for each experiment.
        records: Of each run, by its folder.
    """
    runs = [run for outcome in outcomes for run in outcome.runs]
    most = MOST_REQUESTS // max(1, len(runs))
    events = [
        event
        for number, run in enumerate(runs, 1)
        for event in _run(number, run, records.get(run.folder, ()), most)
    ]
    values = {"displayTimeUnit": "ms", "traceEvents": events}
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def _run(
    number: int, run: Run, records: Sequence[Record], most: int
) -> Iterator[dict[str, Any]]:
    shown = beginning(records, most)
    cut = "" if shown is records else f" (the first {most} of {len(records)} requests)"
    yield _name("process_name", number, 0, run.folder + cut)
    for thread, lane in enumerate(lanes(shown), 1):
        yield _name("thread_name", number, thread, lane.name)
        following = [record.asked_s for record in lane.records[1:]]
        for record, end_s in zip(lane.records, [*following, inf], strict=True):
            # Events of one thread have to lie in or beside each other.
            whole = replace(record, done_s=min(record.done_s, end_s))
            for event in _request(whole, run.started_s):
                yield {**event, "pid": number, "tid": thread}
    for when_s, count in in_flight(records):
        yield {
            "name": "in flight",
            "ph": "C",
            "pid": number,
            "ts": _microseconds(when_s - run.started_s),
            "args": {"requests": count},
        }


def _request(record: Record, started_s: float) -> Iterator[dict[str, Any]]:
    """Yield the request, and within it waiting, body and work."""
    transferred_s = min(end_of_transfer(record), record.done_s)
    first_s = transferred_s if record.first_byte_s is None else record.first_byte_s
    about = {
        "status": record.status,
        "bytes": record.size_bytes,
        "pid": record.pid,
        "thread": record.thread,
        "callback CPU ms": round(record.callback_cpu_s * 1000, 3),
        "error": record.error,
    }
    for name, begin_s, end_s, args in (
        (record.url, record.asked_s, record.done_s, about),
        ("waiting", record.asked_s, first_s, {}),
        ("body", first_s, transferred_s, {}),
        ("work", transferred_s, record.done_s, {}),
    ):
        yield {
            "name": name,
            "cat": "request" if args else "phase",
            "ph": "X",
            "ts": _microseconds(begin_s - started_s),
            "dur": max(0, _microseconds(end_s - begin_s)),
            "args": args,
        }


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {
        "name": kind,
        "ph": "M",
        "pid": process,
        "tid": thread,
        "args": {"name": name},
    }


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
