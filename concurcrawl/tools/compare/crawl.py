"""Run one crawl in a process of its own and collect its results."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from concurcrawl.durable.atomic_files import write_whole
from concurcrawl.errors import ConcurcrawlError, ConfigError
from concurcrawl.tools.compare import process_tree
from concurcrawl.tools.compare.failure import held_back, why_failed
from concurcrawl.tools.compare.kept import RECORDS, compress_if_large
from concurcrawl.tools.compare.options import is_loopback
from concurcrawl.tools.compare.process_tree import Measurement
from concurcrawl.tools.compare.progress import Counted
from concurcrawl.tools.compare.runs import (
    Run,
    cpu_between,
    is_good,
    pages_of_records,
    timing,
)
from concurcrawl.tools.compare.target import stays_here
from concurcrawl.tracing.record import from_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from concurcrawl.tools.compare.progress import RunAdvanced
    from concurcrawl.tools.compare.target import CrawlTarget
    from concurcrawl.tools.testsite.process import SiteProcess
    from concurcrawl.tracing.record import Record

ITEMS = "items.jsonl"
PAGES = "pages.json"
LOG = "log.txt"

_LOOK_INTERVAL_S = 0.25
#: Longer than the measuring process leaves the crawl after an interrupt.
_STOP_S = 20.0
_LOG_TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCrawl:
    """One crawl to make.

    Attributes:
        target: The spider.
        mode: The value of ``MODE``.
        round: Number of the round, from 1; 0 is the warm-up.
        arguments: For the spider, in addition to those of the target.
        settings: In addition to those of the target.
        out: The folder of all results.
        folder: Where this crawl's files go, below ``out``.
        level: What a sweep sets the mode's number to, or None.
        pages_dir: Where the spider saves pages. The same for every crawl of an
            experiment, so that a path in an item is no difference.
    """

    target: CrawlTarget
    mode: str
    round: int
    arguments: tuple[str, ...]
    settings: tuple[str, ...]
    out: Path
    folder: str
    pages_dir: Path
    level: int | None = None

    @property
    def path(self) -> Path:
        """The absolute path of ``folder``."""
        return self.out.absolute() / self.folder

    def command(self) -> list[str]:
        """Return the command line."""
        settings = (
            f"{self.target.mode_setting}={self.mode}",
            f"CONCURCRAWL_RECORDS={self.path / RECORDS}",
            f"CONCURCRAWL_PAGES_DIR={self.pages_dir}",
            # One log line per page and item would take a tenth of the measured time.
            "LOG_LEVEL=INFO",
            "LOG_FILE=",
            "CONCURCRAWL_PROGRESS=0",
            "JOBDIR=",  # the second run would find everything done
            *self.target.settings,
            *self.settings,
        )
        feed = str(self.path / ITEMS).replace("%", "%%")  # Scrapy fills in %(time)s
        return [
            *(sys.executable, "-m", "scrapy", "crawl", self.target.spider),
            *(word for pair in settings for word in ("-s", pair)),
            *(
                word
                for pair in (*self.target.arguments, *self.arguments)
                for word in ("-a", pair)
            ),
            *("-O", feed),
        ]


def run_crawl(
    crawl: MeasuredCrawl,
    testsite: SiteProcess | None,
    advanced: Callable[[RunAdvanced], None],
) -> Run:
    """Run *crawl* to its end and return its measurements and results.

    Args:
        crawl: The crawl to run.
        testsite: The test site, if it crawls one; its counts are reset.
        advanced: Called with the progress a few times per second.

    Raises:
        ConfigError: If it requested a page of another machine without ``--live``.
    """
    crawl.path.mkdir(parents=True, exist_ok=True)
    for name in (RECORDS, f"{RECORDS}.gz", ITEMS, PAGES, LOG):
        (crawl.path / name).unlink(missing_ok=True)
    if testsite is not None:
        testsite.reset()
    with _Watched(crawl) as watched:
        for event in watched.events():
            advanced(event)
    run = _collected(crawl, watched, testsite)
    compress_if_large(crawl.path, run.requests)
    pages = json.dumps(dict(run.pages), indent=0, ensure_ascii=False)
    write_whole(crawl.path, PAGES, pages.encode())
    return run


class _Watched:
    """A running crawl; leaving the context waits for its end.

    Attributes:
        timed_out: Whether it was stopped because it took too long.
    """

    def __init__(self, crawl: MeasuredCrawl) -> None:
        self._crawl = crawl
        command = [str(crawl.path / LOG), *crawl.command()]
        # -P: beside process_tree.py lie modules that are not meant to be top-level.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-P", process_tree.__file__, *command],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=crawl.target.environment,
            start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._deadline = time.monotonic() + crawl.target.timeout_s
        self._output = b""
        self.timed_out = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._process.poll() is None:
                self._ask_to_stop()
                self._process.wait(_STOP_S)
        finally:  # a second Ctrl-C comes here early: the end of the pipe kills
            self._stdin.close()
            self._process.wait(_STOP_S)
            self._stdout.close()

    def events(self) -> Iterator[RunAdvanced]:
        """Yield the progress of the crawl until it has ended."""
        records = _Tail(self._crawl.path / RECORDS)
        counted = Counted()
        while True:
            ready, _, _ = select.select([self._stdout], [], [], _LOOK_INTERVAL_S)
            for record in records.read():
                self._check_host(record)
                counted.add(record, is_good=is_good(record))
            yield counted.at(time.time())
            if ready and not (chunk := os.read(self._stdout.fileno(), 4096)):
                return
            if ready:
                self._output += chunk
            if not self.timed_out and time.monotonic() > self._deadline:
                self.timed_out = True
                self._ask_to_stop()

    @property
    def measurement(self) -> Measurement:
        """Cost of the crawl, once it has ended.

        Raises:
            ConcurcrawlError: If the process that measures was killed.
        """
        if not self._output:
            raise ConcurcrawlError(
                f"The process that measures {self._crawl.folder} ended with code "
                f"{self._process.returncode}: this run is lost."
            )
        return Measurement(**json.loads(self._output))

    def _ask_to_stop(self) -> None:
        with contextlib.suppress(OSError):  # it ended meanwhile
            self._stdin.write(b".")

    def _check_host(self, record: Record) -> None:
        target = self._crawl.target
        if not target.may_be_live and not is_loopback(record.url):
            raise ConfigError("--spider", target.spider, stays_here(record.url))


class _Tail:
    """Reads the records that were appended to a file since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Record]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:  # the crawl has not got that far
            return []
        whole = text[: text.rfind(b"\n") + 1]  # the last line may be half written
        self._offset += len(whole)
        return list(from_lines(whole.decode().splitlines()))


def _collected(
    crawl: MeasuredCrawl, watched: _Watched, testsite: SiteProcess | None
) -> Run:
    measured = watched.measurement
    records = _Tail(crawl.path / RECORDS).read()
    seen = timing(records, measured.started_s)
    counts = testsite.counts() if testsite is not None else None
    if crawl.target.saves_pages:
        pages = _take_pages(crawl.pages_dir)
    else:
        pages = pages_of_records(records)
    items, digest = _items(crawl.path / ITEMS)
    reason = why_failed(
        exit_code=measured.exit_code,
        answered=bool(items or (seen.requests and not crawl.target.saves_pages)),
        timeout_s=crawl.target.timeout_s if watched.timed_out else None,
        log=_end_of(crawl.path / LOG),
    )
    return Run(
        mode=crawl.mode,
        round=crawl.round,
        status="failed" if reason else "ok",
        reason=reason,
        exit_code=measured.exit_code,
        started_s=measured.started_s,
        wall_s=measured.wall_s,
        cpu_s=measured.cpu_s,
        peak_rss_bytes=measured.peak_rss_bytes,
        peak_pss_bytes=measured.peak_pss_bytes,
        peak_processes=measured.peak_processes,
        strays=measured.strays,
        sampling_cpu_s=measured.sampling_cpu_s,
        machine_cpu_s=measured.machine_cpu_s,
        startup_s=seen.startup_s,
        steady_s=seen.steady_s,
        requests=seen.requests,
        failures=seen.failures,
        peak_in_flight=counts.peak_in_flight if counts else seen.peak_in_flight,
        peak_in_flight_seen_by="test site" if counts else "records",
        site_cpu_s=counts.cpu_s if counts else None,
        pages=pages,
        items=items,
        items_digest=digest,
        folder=crawl.folder,
        steady_cpu_s=_steady_cpu_s(records, measured),
        held_back=held_back(_begin_of(crawl.path / LOG)),
        level=crawl.level,
    )


def _steady_cpu_s(records: Sequence[Record], measured: Measurement) -> float | None:
    if not records:
        return None
    begin_s = min(record.asked_s for record in records)
    end_s = max(record.done_s for record in records)
    steps = [(when_s, cpu_s) for when_s, cpu_s in measured.cpu_steps]
    return cpu_between(steps, begin_s, end_s)


def _take_pages(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return name and SHA-256 of each page in *folder*, and remove them.

    A page is large, and each run brings all of them again.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")  # half written
    ]
    pages = []
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        pages.append((path.relative_to(folder).as_posix(), digest))
    shutil.rmtree(folder, ignore_errors=True)
    return tuple(pages)


def _items(path: Path) -> tuple[int, str]:
    """Return how many items *path* holds and a digest that ignores their order."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    digest = hashlib.sha256()
    for item in sorted(_with_sorted_keys(line) for line in lines):
        digest.update(item.encode() + b"\n")
    return len(lines), digest.hexdigest()


def _with_sorted_keys(line: str) -> str:
    try:
        return json.dumps(json.loads(line), sort_keys=True)
    except ValueError:  # the crawl was killed while it wrote this line
        return line


def _begin_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LOG_TAIL_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
