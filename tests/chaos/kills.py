"""Crawls that are killed, told to stop and served badly, and must lose nothing.

Each run is decided by the seed and its number alone: ``--only`` does one again. What it
does to the crawl it does after so many seconds, so the moment, to the millisecond, is
the machine's own.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import psutil

from concurcrawl.durable.jobdir import FINISHED, FRONTIER
from concurcrawl.tools.testsite.countries import countries
from concurcrawl.tools.testsite.process import SiteProcess
from concurcrawl.tools.testsite.site import LIST_PATH
from tests.support.crawls import (
    MODES,
    PROJECT,
    environment,
    start_processes_with_default_signals,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAGES = 25
EXTRAS = 5
LATENCY_S = 0.05

#: A page has two at most. One stall costs a download timeout. There is no "badzip":
#: Scrapy does not try such a page again, in any mode.
FAULTS = "429:0.005,500:0.08,503:0.005,cut:0.05,short:0.04,slow:0.02,stall:0.005"
FAULTS += ",garbage:0.02"

#: A crawl takes some seconds. On a busy machine it may take minutes, but it always has
#: something to say; one that hangs has not.
SILENCE_S = 60.0

#: How long processes may live after the one that started them.
ORPHAN_S = 10.0

#: In the environment of each process of a run, so that none is overlooked.
_MARK = "CONCURCRAWL_CHAOS_RUN"

#: What a finished crawl may leave in its JOBDIR.
_KEPT = {
    "concurcrawl.sqlite",
    "concurcrawl.sqlite-wal",
    "concurcrawl.sqlite-shm",
    "concurcrawl.lock",
    "spider.state",
}

#: What can be done to a crawl; True where it ends.
DEEDS = {
    "kill a worker": False,
    "kill two workers": False,
    "kill the supervisor": True,
    "kill supervisor and worker": True,
    "kill all": True,
    "SIGINT": True,
    "SIGTERM": True,
    "SIGINT twice": True,
    "SIGTERM twice": True,
    "SIGHUP": True,
}


class ChaosError(Exception):
    """A run did not end as it must."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is done to a crawl.

    Attributes:
        what: One of :data:`DEEDS`, or of those of a cluster.
        after_s: When, after its start.
        ends: Whether the crawl ends there.
    """

    what: str
    after_s: float
    ends: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process of a run: how it crawls and what is done to it.

    Attributes:
        mode: Its mode.
        workers: Its worker processes, where the mode has several.
        deeds: In the order of their times.
    """

    mode: str
    workers: int
    deeds: tuple[Deed, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        is_durable: Whether there is a JOBDIR, so that it may be resumed.
        is_faulty: Whether the test site misbehaves.
        overwrites: Whether the feeds are given with ``-O``, else ``-o``.
        attempts: The crawls, each of which resumes the one before; the last is left
            alone. Without a JOBDIR there is one.
    """

    is_durable: bool
    is_faulty: bool
    overwrites: bool
    attempts: tuple[Attempt, ...]

    def __str__(self) -> str:
        parts = [
            "JOBDIR" if self.is_durable else "no JOBDIR",
            "faults" if self.is_faulty else "no faults",
            "-O" if self.overwrites else "-o",
        ]
        for attempt in self.attempts:
            deeds = [f"{deed.what} at {deed.after_s:.2f}" for deed in attempt.deeds]
            does = ", ".join(deeds) or "left alone"
            parts.append(f"{attempt.mode} {attempt.workers}: {does}")
        return "; ".join(parts)


class Item(NamedTuple):
    """What the spider found."""

    kind: str
    name: str


def make_plan(seed: int, number: int) -> Plan:
    """Return run *number* of *seed*."""
    rng = random.Random(f"{seed} {number}")
    is_durable = rng.random() < 0.75
    deaths = rng.choice((1, 1, 1, 2, 3)) if is_durable else 0
    attempts = [_attempt(rng, ends=True) for _ in range(deaths)]
    attempts.append(_attempt(rng, ends=False, may_stop=not is_durable))
    return Plan(
        is_durable=is_durable,
        is_faulty=rng.random() < 0.4,
        overwrites=rng.random() < 0.5,
        attempts=tuple(attempts),
    )


def _attempt(rng: random.Random, *, ends: bool, may_stop: bool = False) -> Attempt:
    # Twice as often where there is more to go wrong.
    mode = rng.choice((*MODES, "parallel", "hybrid"))
    ending = [what for what, is_end in DEEDS.items() if is_end]
    milder = [what for what, is_end in DEEDS.items() if not is_end]
    chosen = [rng.choice(milder) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
    if ends or (may_stop and rng.random() < 0.3):
        chosen.append(rng.choice(ending))
    # From before it is awake until about when it closes.
    times = sorted(rng.uniform(0.1, 4.5) for _ in chosen)
    deeds = tuple(
        Deed(what, after_s, DEEDS[what])
        for what, after_s in zip(chosen, times, strict=True)
    )
    return Attempt(mode, rng.randint(1, 3), deeds)


def expected() -> Counter[Item]:
    """Return the items of a crawl that lost nothing."""
    names = [
        unquote(country.path).rsplit("/", 1)[-1] for country in countries()[:PAGES]
    ]
    found = [Item(kind, str(n)) for kind in ("start", "extra") for n in range(EXTRAS)]
    kinds = ("page", "page too", "again")
    return Counter(found + [Item(kind, name) for kind in kinds for name in names])


class Run:
    """One run of a plan, in a folder of its own."""

    def __init__(self, plan: Plan, testsite: SiteProcess, folder: Path) -> None:
        self._plan = plan
        self._testsite = testsite
        self._folder = folder
        self._mark = str(folder)
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._jobdir = folder / "job"
        names = ["items.jsonl", "items.csv"]
        if plan.is_durable:  # else it has no end when its crawl is killed
            names.append("items.json")
        self._feeds = [folder / name for name in names]

    @property
    def log(self) -> Path:
        """Where all attempts write what they say."""
        return self._folder / "log"

    def perform(self) -> None:
        """Do it.

        Raises:
            ChaosError: If something was lost, doubled or left.
        """
        self._testsite.reset()
        try:
            for attempt in self._plan.attempts:
                self._crawl(attempt)
                if self._has_finished():
                    break  # the next would begin anew
                self._expect_nobody()
        finally:
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._expect_all()
        self._expect_clean()

    def _crawl(self, attempt: Attempt) -> None:
        with self.log.open("ab") as log:
            log.write(f"===== {attempt}\n".encode())
            log.flush()
            process = subprocess.Popen(
                self.command(attempt),
                cwd=PROJECT,
                env={
                    **environment(),
                    _MARK: self._mark,
                    "TMPDIR": str(self._temporary),
                },
                stdout=log,
                stderr=log,
            )
        started_s = time.monotonic()
        for deed in attempt.deeds:
            left_s = max(0.0, started_s + deed.after_s - time.monotonic())
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(left_s)
                break  # it was quicker than the deed
            self.do(deed.what, process)
        said = -1
        while process.poll() is None:
            if said == self.log.stat().st_size:
                raise ChaosError(f"hangs: {attempt}")
            said = self.log.stat().st_size
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SILENCE_S)
        if not any(deed.ends for deed in attempt.deeds) and process.returncode:
            raise ChaosError(f"exit code {process.returncode}: {attempt}")

    def _has_finished(self) -> bool:
        """Return whether the JOBDIR has a crawl that came to its end."""
        file = self._jobdir / FRONTIER
        if not file.exists():
            return False
        select = "SELECT 1 FROM note WHERE name = ?"
        with closing(sqlite3.connect(file)) as db:
            try:
                return db.execute(select, (FINISHED,)).fetchone() is not None
            except sqlite3.OperationalError:  # killed before there was a table
                return False

    def command(self, attempt: Attempt) -> list[str]:
        """Return the command of one crawl."""
        settings = {
            "MODE": attempt.mode,
            "CONCURCRAWL_WORKERS": attempt.workers,
            "CONCURCRAWL_MAX_RESTARTS": 100,
            "CONCURCRAWL_MAX_ATTEMPTS": 10,
            "LOG_LEVEL": "DEBUG",
        }
        if self._plan.is_durable:
            settings["JOBDIR"] = self._jobdir
        command = [sys.executable, "-m", "scrapy", "crawl", "whole"]
        command += ["-a", f"site={self._testsite.url}{LIST_PATH[1:]}"]
        command += ["-a", f"extras={EXTRAS}"]
        for feed in self._feeds:
            command += ["-O" if self._plan.overwrites else "-o", str(feed)]
        for name, value in settings.items():
            command += ["-s", f"{name}={value}"]
        return command

    def do(self, what: str, process: subprocess.Popen[bytes]) -> None:
        """Do one deed to the crawl in *process*."""
        match what.split():
            case ["kill", "a" | "two" as many, _] | ["kill", "two" as many, _]:
                self._kill_workers(process, 1 if many == "a" else 2)
            case ["kill", "the", "supervisor"]:
                process.kill()
            case ["kill", "supervisor", "and", "worker"]:
                self._kill_workers(process, 1)
                process.kill()
            case ["kill", "all"]:
                for one in self.processes():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
            case [name, *times]:
                for _ in range(2 if times else 1):
                    process.send_signal(signal.Signals[name])
                    time.sleep(0.1 * bool(times))

    def _kill_workers(self, process: subprocess.Popen[bytes], count: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            tree = psutil.Process(process.pid).children(recursive=True)
            parents = {one.ppid() for one in tree}
            # The nursery is a parent, unless all its workers are dead.
            workers = [
                one
                for one in tree
                if one.pid not in parents and one.ppid() != process.pid
            ]
            for one in workers[:count]:
                one.kill()

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this run that live."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get(_MARK) == self._mark:
                    found.append(process)
        return found

    def _expect_nobody(self) -> None:
        _, left = psutil.wait_procs(self.processes(), timeout=ORPHAN_S)
        if left:
            raise ChaosError(f"left behind: {left}")

    def _expect_all(self) -> None:
        (last,) = self._plan.attempts[-1:]
        was_stopped = any(deed.ends for deed in last.deeds)
        if was_stopped and not self._plan.is_durable:
            self._expect_no_more()
            return
        for feed, found in self._items():
            if found != expected():
                lost, doubled = expected() - found, found - expected()
                raise ChaosError(f"{feed}: lost {dict(lost)}, too many {dict(doubled)}")

    def _expect_no_more(self) -> None:
        """A crawl that was killed may lose items, but no item is there twice."""
        for feed, found in self._items():
            if too_many := found - expected():
                raise ChaosError(f"{feed}: too many {dict(too_many)}")

    def _items(self) -> Iterator[tuple[str, Counter[Item]]]:
        for feed in self._feeds:
            text = feed.read_text(encoding="utf-8") if feed.exists() else ""
            if not self._plan.is_durable:
                text = text[: text.rfind("\n") + 1]  # the last line may be torn
            lines = text.splitlines()
            if feed.suffix == ".csv":
                rows = list(csv.reader(lines))
                if rows and rows[0] != ["kind", "name"]:
                    raise ChaosError(f"{feed}: begins with {rows[0]}")
                yield feed.name, Counter(Item(*row) for row in rows[1:])
            elif feed.suffix == ".json":
                yield feed.name, Counter(Item(**item) for item in json.loads(text))
            else:
                yield feed.name, Counter(Item(**json.loads(line)) for line in lines)

    def _expect_clean(self) -> None:
        left = [str(path) for path in self._temporary.rglob("*")]
        left += [str(path) for path in self._folder.glob(".*")]  # locks of feeds
        if self._jobdir.exists():
            left += [
                str(path) for path in self._jobdir.iterdir() if path.name not in _KEPT
            ]
        if left:
            raise ChaosError(f"files left behind: {left}")
        log = self.log.read_text(encoding="utf-8", errors="replace")
        traces = re.findall(r"^Traceback .*\n(?:[ \t].*\n|\n)+(.*)$", log, re.MULTILINE)
        # Before a crawl has read its settings, Ctrl-C is Python's; amid an import it
        # may come out as another error.
        pythons = re.compile("KeyboardInterrupt|importlib._bootstrap")
        traces = [trace for trace in traces if not pythons.search(trace)]
        if traces and not self._plan.is_faulty:
            raise ChaosError(f"tracebacks in the log: {traces}")


def perform(seed: int, numbers: Sequence[int], keep: Path | None = None) -> int:
    """Do the runs *numbers* of *seed*, print a line on each, return how many failed.

    Args:
        seed: Of all runs.
        numbers: Which runs.
        keep: Where the folders of runs that fail are moved; None for nowhere.
    """
    failed = 0
    with (
        SiteProcess(pages=PAGES, latency_s=LATENCY_S) as good,
        SiteProcess(
            pages=PAGES, latency_s=LATENCY_S, fault=FAULTS, seed=seed
        ) as faulty,
    ):
        for number in numbers:
            plan = make_plan(seed, number)
            testsite = faulty if plan.is_faulty else good
            failed += not is_ok(
                plan, testsite, Run, (number, again(seed, number)), keep
            )
    return failed


def is_ok(
    plan: Plan,
    testsite: SiteProcess,
    make: Callable[[Plan, SiteProcess, Path], Run],
    names: tuple[int, str],
    keep: Path | None,
) -> bool:
    """Do one run, print a line on it, return whether it went well.

    Args:
        plan: Of the run.
        testsite: That is crawled.
        make: Makes the run, in a folder.
        names: Its number, and the command that does it again.
        keep: Where its folder is moved if it fails; None for nowhere.
    """
    number, command = names
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        started_s = time.monotonic()
        verdict = "ok"
        try:
            make(plan, testsite, Path(name)).perform()
        except ChaosError as error:
            verdict = f"FAILED: {error}\n  again: {command}"
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copytree(name, keep / f"{number}-{time.time():.0f}")
        took_s = time.monotonic() - started_s
    say(f"{number:4} {took_s:5.1f} s  {plan}  {verdict}")
    return verdict == "ok"


def say(line: str) -> None:
    """Print *line* at once: a run takes a while."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def again(seed: int, number: int) -> str:
    """Return the command that does one run again."""
    return f"python -m tests.chaos.kills --seed {seed} --only {number}"


def run_command(
    module: str, description: str | None, perform: Callable[..., int]
) -> int:
    """Do as the command line says; return the exit code.

    Args:
        module: Which is run.
        description: For its help.
        perform: Gets the seed, the numbers of the runs and where failed ones are kept,
            and returns how many have failed.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description
    )
    parser.add_argument("--runs", type=int, default=20, help="how many, 20 by default")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--only", type=int, help="do only the run of this number")
    parser.add_argument("--keep", type=Path, help="folder for what failed runs left")
    args = parser.parse_args()
    start_processes_with_default_signals()
    numbers = range(args.first, args.first + args.runs)
    if args.only is not None:
        numbers = range(args.only, args.only + 1)
    failed = perform(args.seed, numbers, args.keep)
    say(f"{len(numbers) - failed} of {len(numbers)} runs lost nothing")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command("tests.chaos.kills", __doc__, perform))
