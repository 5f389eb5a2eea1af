"""From the raw runs to the figures of each mode, and what they say. Pure.

Numbers in, frozen records out: no file, no clock and no process is touched here, so
that a comparison can be computed again from what it kept.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate
from signal import Signals
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from concurcrawl.compare.options import Experiment
    from concurcrawl.records import Record

Status = Literal["ok", "failed", "not run"]

#: Modes nearer to each other than this are called level: single runs vary that much.
LEVEL_RATIO = 1.1
#: Above this share of one core the mirror is part of what was measured.
MIRROR_BUSY_SHARE = 0.7
#: Above this many cores the work of other programs is.
OTHERS_BUSY_CORES = 0.3


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
        startup_s: From the start of its process to the first page asked for.
        steady_s: From the first page asked for to the end of the last callback.
        requests: Requests that reached the downloader.
        failures: Requests that ended without a response or with status 400 or more.
        peak_in_flight: Most requests at one time.
        peak_in_flight_seen_by: ``mirror`` or ``records``.
        mirror_cpu_s: CPU time of the mirror meanwhile, or None without a mirror.
        pages: What it got: name and digest of each page, sorted.
        items: Number of its items.
        items_digest: Equal exactly when two runs gave the same items in any order.
        folder: Where its records, items and log are, below the output folder.
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
    peak_in_flight_seen_by: Literal["mirror", "records"]
    mirror_cpu_s: float | None
    pages: tuple[tuple[str, str], ...]
    items: int
    items_digest: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the records of one run say about it; see :class:`Run`."""

    startup_s: float | None
    steady_s: float | None
    requests: int
    failures: int
    peak_in_flight: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFigures:
    """One row of the comparison. None where a figure cannot be had.

    Attributes:
        mode: The value of ``MODE``.
        status: ``failed`` if any of its runs failed.
        reason: Why, in one sentence.
        rounds: Runs that count.
        slots: Requests that the mode may have in flight, over all its processes.
        wall_s: Median wall time.
        wall_min_s: Shortest wall time.
        wall_max_s: Longest wall time.
        pages_per_s: Pages of a run divided by ``wall_s``.
        speedup: Median wall time of ``serial`` divided by ``wall_s``.
        efficiency: ``speedup`` divided by ``slots``: 1 if each request that may be
            in flight (in ``parallel``: each process) gives a whole serial crawl's
            speed. 1 for ``serial``; None if the mode has no limit.
        cpu_s_per_page: CPU time of the process tree divided by pages.
        peak_rss_bytes: Largest of its runs.
        peak_pss_bytes: Largest of its runs.
        startup_s: Median.
        steady_s: Median.
        peak_in_flight: Largest of its runs.
        pages: Fewest pages of a run.
        items: Fewest items of a run.
        lost_pages: Most pages that a run did not get.
        failures: Most failed requests of a run.
        same_pages: Whether each run gave the same pages, byte for byte, as the
            reference: the first run of ``serial``, or of the first mode that ran.
        same_items: The same of items, whatever their order.
    """

    mode: str
    status: Status
    reason: str | None = None
    rounds: int = 0
    slots: int
    wall_s: float | None = None
    wall_min_s: float | None = None
    wall_max_s: float | None = None
    pages_per_s: float | None = None
    speedup: float | None = None
    efficiency: float | None = None
    cpu_s_per_page: float | None = None
    peak_rss_bytes: int | None = None
    peak_pss_bytes: int | None = None
    startup_s: float | None = None
    steady_s: float | None = None
    peak_in_flight: int | None = None
    pages: int = 0
    items: int = 0
    lost_pages: int | None = None
    failures: int = 0
    same_pages: bool | None = None
    same_items: bool | None = None


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
        peak_in_flight=_peak_overlap(
            (record.asked_s, record.downloaded_s or record.done_s) for record in found
        ),
    )


def is_good(record: Record) -> bool:
    """Tell whether a response came that is not an error."""
    return record.error is None and record.status is not None and record.status < 400


def pages_of_records(records: Iterable[Record]) -> tuple[tuple[str, str], ...]:
    """Return the pages of a spider that saves none: address and status of each."""
    counted = Counter(
        (record.url, str(record.status))
        for record in records
        if record.status is not None and 200 <= record.status < 300
    )
    # A page that was asked for three times is three pages with names of their own.
    return tuple(
        sorted(
            (url if n == 0 else f"{url} #{n + 1}", status)
            for (url, status), times in counted.items()
            for n in range(times)
        )
    )


def figures(
    runs: Sequence[Run],
    slots: Mapping[str, int],
    expected_pages: int | None = None,
) -> tuple[ModeFigures, ...]:
    """Compute one row a mode.

    Args:
        runs: All runs that count, warm-up left out, in the order they were made.
        slots: The modes to report, in order, and how many requests each may have in
            flight; 0 means no limit.
        expected_pages: How many pages each run should get, or None if nobody knows:
            then every page that any run got is expected of all.
    """
    good = {
        mode: [run for run in runs if run.mode == mode and run.status == "ok"]
        for mode in slots
    }
    serial = [run.wall_s for run in good.get("serial", [])]
    known = {name for run in runs for name, _ in run.pages}
    setting = _Setting(
        reference=next(
            (some[0] for some in (good.get("serial", []), *good.values()) if some), None
        ),
        serial_wall_s=median(serial) if serial else None,
        expected=max(expected_pages or 0, len(known)),
    )
    return tuple(
        _row(mode, [run for run in runs if run.mode == mode], slots[mode], setting)
        for mode in slots
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What one row is measured against."""

    reference: Run | None
    serial_wall_s: float | None
    expected: int


def _row(mode: str, runs: Sequence[Run], slots: int, setting: _Setting) -> ModeFigures:
    if not runs:
        return ModeFigures(mode=mode, status="not run", slots=slots)
    failed = next((run for run in runs if run.status == "failed"), None)
    fewest = min(len(run.pages) for run in runs)
    row = ModeFigures(
        mode=mode,
        status="failed" if failed else "ok",
        reason=failed.reason if failed else None,
        slots=slots,
        pages=fewest,
        items=min(run.items for run in runs),
        lost_pages=setting.expected - fewest,
        failures=max(run.failures for run in runs),
    )
    if failed:
        return row
    wall_s = median(run.wall_s for run in runs)
    speedup = setting.serial_wall_s / wall_s if setting.serial_wall_s else None
    reference = setting.reference or runs[0]
    return replace(
        row,
        rounds=len(runs),
        wall_s=wall_s,
        wall_min_s=min(run.wall_s for run in runs),
        wall_max_s=max(run.wall_s for run in runs),
        pages_per_s=median(len(run.pages) / run.wall_s for run in runs),
        speedup=speedup,
        efficiency=speedup / slots if speedup and slots else None,
        cpu_s_per_page=_middle(
            runs, lambda run: run.cpu_s / len(run.pages) if run.pages else None
        ),
        peak_rss_bytes=max(run.peak_rss_bytes for run in runs),
        peak_pss_bytes=_largest(runs, lambda run: run.peak_pss_bytes),
        startup_s=_middle(runs, lambda run: run.startup_s),
        steady_s=_middle(runs, lambda run: run.steady_s),
        peak_in_flight=_largest(runs, lambda run: run.peak_in_flight),
        same_pages=all(run.pages == reference.pages for run in runs),
        same_items=all(run.items_digest == reference.items_digest for run in runs),
    )


def _middle(runs: Sequence[Run], figure: Callable[[Run], float | None]) -> float | None:
    values = [value for run in runs if (value := figure(run)) is not None]
    return median(values) if values else None


def _largest(runs: Sequence[Run], figure: Callable[[Run], int | None]) -> int | None:
    return max(
        (value for run in runs if (value := figure(run)) is not None), default=None
    )


def _peak_overlap(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of *spans* (begin, end) overlap at most."""
    changes = [change for begin, end in spans for change in ((begin, 1), (end, -1))]
    # At one instant the end counts first: a slot that is handed over is one slot.
    changes.sort()
    return max(accumulate(step for _, step in changes), default=0)


def verdict(rows: Sequence[ModeFigures], runs: Sequence[Run]) -> tuple[str, ...]:
    """Say who won, by how much, and what that shows, in one or two sentences.

    Args:
        rows: The figures of the modes.
        runs: The runs they were computed from.
    """
    ranked = sorted(
        ((row.wall_s, row) for row in rows if row.wall_s is not None),
        key=lambda pair: pair[0],
    )
    if not ranked:
        return ("No mode finished, so there is nothing to compare.",)
    if len(ranked) == 1:
        wall_s, row = ranked[0]
        return (f"Only {row.mode} finished: {wall_s:.1f} s.",)
    return _winner(ranked), *_lesson({row.mode: row for _, row in ranked}, runs)


def _winner(ranked: Sequence[tuple[float, ModeFigures]]) -> str:
    best_s, best = ranked[0]
    level = [row.mode for wall_s, row in ranked[1:] if wall_s < best_s * LEVEL_RATIO]
    serial_s = next((wall for wall, row in ranked if row.mode == "serial"), None)
    if best.mode == "serial":
        sentence = f"Fastest: serial at {best_s:.1f} s. No other mode pays here"
    elif serial_s is None:
        last_s, last = ranked[-1]
        sentence = (
            f"Fastest: {best.mode}, {last_s / best_s:.1f} times as fast as {last.mode} "
            f"({best_s:.1f} s against {last_s:.1f} s)"
        )
    elif "serial" in level:
        level.remove("serial")
        sentence = (
            f"No clear winner: {best.mode} is the fastest at {best_s:.1f} s, "
            f"but serial took only {serial_s:.1f} s"
        )
    else:
        sentence = (
            f"Fastest: {best.mode}, {serial_s / best_s:.1f} times as fast as serial "
            f"({best_s:.1f} s against {serial_s:.1f} s)"
        )
    if level:
        verb = "is" if len(level) == 1 else "are"
        sentence += (
            f"; {_listed(level)} {verb} level with it (within {LEVEL_RATIO - 1:.0%})"
        )
    return sentence + "."


def _lesson(rows: Mapping[str, ModeFigures], runs: Sequence[Run]) -> tuple[str, ...]:
    """Say what the speed-ups have to do with what serial spends its time on."""
    serial = [run for run in runs if run.mode == "serial" and run.status == "ok"]
    in_one = [rows[mode] for mode in ("concurrent", "async") if mode in rows]
    parallel = rows.get("parallel")
    if not serial or not in_one or parallel is None or parallel.speedup is None:
        return ()
    busy = min(1.0, median(run.cpu_s / run.wall_s for run in serial))
    best = max(in_one, key=lambda row: row.speedup or 0)
    gain = best.speedup or 0
    at_once = f"{best.slots or 'many'} at a time in one process"
    cores = f"{parallel.slots} processes with one each"
    spent = f"In serial the CPU works {busy:.0%} of the time"
    if gain > max(parallel.speedup, 1) * LEVEL_RATIO:
        sentence = (
            f"{spent}; the rest is waiting, and many can wait at once: {at_once} "
            f"are {gain:.1f} times as fast, {cores} {parallel.speedup:.1f} times."
        )
    elif parallel.speedup > max(gain, 1) * LEVEL_RATIO:
        sentence = (
            f"{spent}, and that takes more cores, not more at a time: {cores} are "
            f"{parallel.speedup:.1f} times as fast, {at_once} {gain:.1f} times."
        )
    else:
        sentence = (
            f"{spent}: {at_once} are {gain:.1f} times as fast, {cores} "
            f"{parallel.speedup:.1f} times."
        )
    return (sentence,)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def warnings(rows: Sequence[ModeFigures], runs: Sequence[Run]) -> tuple[str, ...]:
    """Say what makes the figures doubtful: what happened, why it matters, what to do.

    Args:
        rows: The figures of the modes.
        runs: The runs they were computed from.
    """
    return tuple(
        sentence
        for sentence in (
            _mirror_busy(runs),
            _machine_busy(runs),
            *(_row_warning(row) for row in rows if row.status == "ok"),
            _failures(rows),
            _strays(runs),
        )
        if sentence
    )


def _mirror_busy(runs: Sequence[Run]) -> str | None:
    busy = {
        run.mode: run.mirror_cpu_s / (run.steady_s or run.wall_s)
        for run in runs
        if run.mirror_cpu_s is not None and run.wall_s > 0
    }
    over = [mode for mode, share in busy.items() if share >= MIRROR_BUSY_SHARE]
    if not over:
        return None
    return (
        f"The mirror used {max(busy.values()):.0%} of a core in {_listed(over)}: there "
        "it limits the speed, not the mode. Use --latency or --work parse, or more "
        "cores."
    )


def _machine_busy(runs: Sequence[Run]) -> str | None:
    busy: dict[str, float] = {}
    for run in runs:
        if run.machine_cpu_s is not None and run.status == "ok":
            ours_s = run.cpu_s + run.sampling_cpu_s + (run.mirror_cpu_s or 0)
            cores = (run.machine_cpu_s - ours_s) / run.wall_s
            busy[run.mode] = max(cores, busy.get(run.mode, 0))
    over = [mode for mode, cores in busy.items() if cores >= OTHERS_BUSY_CORES]
    if not over:
        return None
    return (
        f"Other programs kept up to {max(busy.values()):.1f} cores busy during "
        f"{_listed(over)}: these times are too long, most of all where more than one "
        "core is wanted. Compare again on a quiet machine."
    )


def _row_warning(row: ModeFigures) -> str | None:
    if row.lost_pages:
        return (
            f"{row.mode} lost {row.lost_pages} of {row.pages + row.lost_pages} pages, "
            "so its time is not that of the whole crawl. See its log."
        )
    differs = [
        what
        for what, same in (("pages", row.same_pages), ("items", row.same_items))
        if same is False
    ]
    if not differs:
        return None
    return (
        f"{row.mode} gave other {_listed(differs)} than the reference: either the site "
        "changed meanwhile or the spider depends on the order of pages."
    )


def _failures(rows: Sequence[ModeFigures]) -> str | None:
    failing = [f"{row.mode} {row.failures}" for row in rows if row.failures]
    if not failing:
        return None
    return (
        f"Requests that failed or were answered with an error: {_listed(failing)}. "
        "They cost time but give no page; see records.jsonl."
    )


def _strays(runs: Sequence[Run]) -> str | None:
    left = {run.mode for run in runs if run.strays and run.status == "ok"}
    if not left:
        return None
    return f"{_listed(sorted(left))} left processes behind; they were killed."


def why_failed(
    *, exit_code: int, answered: bool, timeout_s: float | None, log: str
) -> str | None:
    """Return why a run does not count, in one sentence, or None if it does.

    Args:
        exit_code: Of the crawl; minus the signal if one ended it.
        answered: Whether it gave anything to compare.
        timeout_s: The time it was stopped after, or None if it ended by itself.
        log: The end of its log.
    """
    if timeout_s is not None:
        return f"did not end within {timeout_s:g} s (--timeout)"
    if exit_code < 0:
        what = f"was ended by {_signal_name(-exit_code)}"
    elif exit_code:
        what = f"exit code {exit_code}"
    elif not answered:
        what = "gave nothing"
    else:
        return None
    told = reason_in_log(log)
    return f"{what}: {told}" if told else what


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


_TROUBLE = re.compile(r"Error|Exception|\berror\b|CRITICAL|Killed|Traceback")
_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] [A-Z]+: ")


def reason_in_log(log: str, *, lines: int = 2) -> str:
    """Pick the lines of a crawl's log that say why it failed.

    Args:
        log: The end of the log.
        lines: How many lines to keep.

    Returns:
        The last lines that name an error, else the last line; joined, without time
        stamps, at most 300 characters. Empty if the log is.
    """
    # Indented lines are the frames of a traceback: where, not what.
    whole = [
        _LOG_PREFIX.sub("", line).strip()
        for line in log.splitlines()
        if line.strip() and not line[0].isspace()
    ]
    named = [
        line
        for line in whole
        if _TROUBLE.search(line) and not line.startswith("Traceback")
    ]
    if named:  # twisted's line of an unhandled error quotes the error that follows
        quoted = named[-1].rpartition(": ")[2]
        kept = [line for line in named[-lines:-1] if quoted not in line]
        return " | ".join([*kept, named[-1]])[-300:]
    return "".join(whole[-1:])[-300:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that is known of one experiment, so far.

    Attributes:
        experiment: What was done.
        runs: The runs that count, in the order they were made.
        rows: One for each mode, in the order asked for.
        verdict: Who won and why, in sentences.
        warnings: What makes the figures doubtful, in sentences.
    """

    experiment: Experiment
    runs: tuple[Run, ...]
    rows: tuple[ModeFigures, ...]
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]


def conclude(
    experiment: Experiment, runs: Sequence[Run], slots: Mapping[str, int]
) -> Outcome:
    """Compute everything that *runs* tell; see :func:`figures` for *slots*."""
    rows = figures(runs, slots, experiment.pages)
    return Outcome(
        experiment=experiment,
        runs=tuple(runs),
        rows=rows,
        verdict=verdict(rows, runs),
        warnings=warnings(rows, runs),
    )
