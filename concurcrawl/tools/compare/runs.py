"""One run as it was measured, and what its records say of it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from concurcrawl.tracing.record import Record

Status = Literal["ok", "failed", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One crawl from start to end, as it was measured.

    Attributes:
        mode: The value of ``MODE``.
        round: Which turn it was, from 1.
        status: ``ok`` or ``failed``.
        reason: Why it failed, in one sentence, or None.
        exit_code: Of the crawl; minus the signal if one ended it.
        started_s: When its process was started, in seconds since the epoch.
        wall_s: From the start of its process to its end.
        cpu_s: CPU time of its whole process tree.
        peak_rss_bytes: Largest sum of resident memory over the tree.
        peak_pss_bytes: The same with shared pages counted once, if known.
        peak_processes: Most processes at one time.
        strays: Processes that it left behind and that had to be killed.
        sampling_cpu_s: CPU time that measuring it cost, not part of ``cpu_s``.
        machine_cpu_s: CPU time that the whole machine spent meanwhile, if known.
        startup_s: From the start of its process to the first request.
        steady_s: From the first request to the end of the last callback.
        requests: Requests that reached the downloader.
        failures: Requests that ended without a response or with status 400 or more.
        peak_in_flight: Most requests at one time.
        peak_in_flight_seen_by: ``test site`` or ``records``.
        site_cpu_s: CPU time of the test site meanwhile, or None without a test site.
        pages: What it got: name and digest of each page, sorted.
        items: Number of its items.
        items_digest: Equal exactly when two runs gave the same items in any order.
        folder: Where its records, items and log are, below the output folder.
        steady_cpu_s: CPU time of the tree during ``steady_s``, or None if it was too
            short to tell.
        held_back: What of the settings held the mode back, as its log says, or None.
        level: What a sweep set the threads, slots or workers to, else None.
    """

    mode: str
    round: int
    status: Status
    reason: str | None
    exit_code: int
    started_s: float
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    peak_pss_bytes: int | None
    peak_processes: int
    strays: int
    sampling_cpu_s: float
    machine_cpu_s: float | None
    startup_s: float | None
    steady_s: float | None
    requests: int
    failures: int
    peak_in_flight: int | None
    peak_in_flight_seen_by: Literal["test site", "records"]
    site_cpu_s: float | None
    pages: tuple[tuple[str, str], ...]
    items: int
    items_digest: str
    folder: str
    steady_cpu_s: float | None = None
    held_back: str | None = None
    level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the records of one run say about it; see :class:`Run`."""

    startup_s: float | None
    steady_s: float | None
    requests: int
    failures: int
    peak_in_flight: int | None


def timing(records: Iterable[Record], started_s: float) -> Timing:
    """Read from *records* when the run began, ended and how much it did at a time.

    Args:
        records: All records of one run, in any order.
        started_s: When its process was started, in seconds since the epoch.
    """
    found = list(records)
    if not found:
        return Timing(
            startup_s=None, steady_s=None, requests=0, failures=0, peak_in_flight=None
        )
    first_s = min(record.asked_s for record in found)
    return Timing(
        startup_s=first_s - started_s,
        steady_s=max(record.done_s for record in found) - first_s,
        requests=len(found),
        failures=sum(not is_good(record) for record in found),
        peak_in_flight=peak_overlap(
            (record.asked_s, record.downloaded_s or record.done_s) for record in found
        ),
    )


def is_good(record: Record) -> bool:
    """Return whether a response came that is not an error."""
    return record.error is None and record.status is not None and record.status < 400


def pages_of_records(records: Iterable[Record]) -> tuple[tuple[str, str], ...]:
    """Return the pages of a spider that saves none: address and status of each."""
    counted = Counter(
        (record.url, str(record.status))
        for record in records
        if record.status is not None and 200 <= record.status < 300
    )
    # A page that was requested three times counts as three pages, with names of their
    # own.
    return tuple(
        sorted(
            (url if n == 0 else f"{url} #{n + 1}", status)
            for (url, status), times in counted.items()
            for n in range(times)
        )
    )


def peak_overlap(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of *spans* (begin, end) overlap at most."""
    changes = [change for begin, end in spans for change in ((begin, 1), (end, -1))]
    # At one instant the end counts first: a slot that is handed over is one slot.
    changes.sort()
    return max(accumulate(step for _, step in changes), default=0)


def cpu_between(
    steps: Sequence[tuple[float, float]], begin_s: float, end_s: float
) -> float | None:
    """Return the CPU time between two moments, linear between *steps* (when, total).

    None if there is no step in between: then it would be a guess.
    """
    if not any(begin_s <= when_s <= end_s for when_s, _ in steps):
        return None
    return _at(steps, end_s) - _at(steps, begin_s)


def _at(steps: Sequence[tuple[float, float]], moment_s: float) -> float:
    after = bisect_left(steps, moment_s, key=lambda step: step[0])
    if after == 0 or after == len(steps):
        return steps[min(after, len(steps) - 1)][1]
    (early_s, before), (late_s, then) = steps[after - 1], steps[after]
    return before + (then - before) * (moment_s - early_s) / (late_s - early_s)
