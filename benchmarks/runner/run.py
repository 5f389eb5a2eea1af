"""Run the workloads: contenders in turn, rounds interleaved."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runner import contenders, frontier, plan
from benchmarks.runner.measure import Job, missing, run
from benchmarks.runner.noise import is_noisy
from benchmarks.runner.pages import site_of
from benchmarks.runner.results import Results, Run, Table, summarise
from benchmarks.runner.samples import is_precise_enough
from benchmarks.runner.servers import (
    NginxServer,
    needs_nginx,
    nginx_path,
    server_for,
)
from concurcrawl.tools.compare.environment import environment
from concurcrawl.tools.compare.words import DASH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.runner.options import Options
    from benchmarks.runner.pages import Site
    from benchmarks.runner.servers import Server
    from benchmarks.runner.workloads import Workload

_WARM_UP_PAGES = 5
_ROOM_BYTES = 4 << 30
_FRONTIER_REQUESTS = 50_000
_FRONTIER_ROUNDS = 3
_IMPORT_ROUNDS = 9
_IMPORT_TIMEOUT_S = 60.0
_LIBRARIES = ("aiohttp", "crawlee", "isal", "requests", "scrapy-redis", "uvloop")


class Bench:
    """One command's measurements.

    Args:
        options: What to measure.
        say: Takes a line of news.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._warm: set[tuple[str, str]] = set()
        self.results = Results(environment=_environment())

    def run(self, measured: Callable[[Results], None]) -> None:
        """Measure everything.

        Args:
            measured: Called with all results so far after each workload.
        """
        for line in plan.lines(self._options):
            self._say(line)
        with tempfile.TemporaryDirectory(
            prefix="concurcrawl-bench-", dir=self._options.scratch or _in_memory()
        ) as folder:
            for together in plan.in_turns(self._options.workloads):
                anew = self._measure(together, Path(folder))
                tables = (*self.results.tables, *anew)
                self.results = replace(self.results, tables=tables)
                measured(self.results)
        if self._options.imports:
            self.results = replace(self.results, imports_s=_imports(self._say))
            measured(self.results)
        if self._options.frontier:
            self._say("frontier")
            rounds = 1 if self._options.is_quick else _FRONTIER_ROUNDS
            alone = tuple(frontier.measure_all(_FRONTIER_REQUESTS, rounds))
            self.results = replace(self.results, frontier=alone)
            measured(self.results)

    def _measure(self, workloads: Sequence[Workload], folder: Path) -> list[Table]:
        """Measure *workloads*, which take turns."""
        if lack := self._lacking(workloads[0]):
            return [_not_run(workload, lack) for workload in workloads]
        with ExitStack() as stack:
            jobs = [self._job(workload, stack, folder) for workload in workloads]
            runs: list[list[Run]] = [[] for _ in jobs]
            clock = _Clock(sum(workload.budget_s for workload in workloads))
            while not _is_enough(jobs, runs, clock):
                clock.tick()
                for index, job in enumerate(jobs):
                    runs[index] += self._round(replace(job, round=clock.rounds))
            return [
                _table(job, tuple(_agreed(done)))
                for job, done in zip(jobs, runs, strict=True)
            ]

    def _job(self, workload: Workload, stack: ExitStack, folder: Path) -> Job:
        """Start the server of *workload* and have its contenders warmed up."""
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        site = site_of(workload.kind, scratch / "site", workload.pages)
        server = stack.enter_context(self._server(workload, site, scratch))
        self._warm_up(workload, scratch)
        return Job(
            contender=contenders.CONTENDERS[0],
            workload=workload,
            round=0,
            site=site,
            server=server,
            scratch=scratch / "run",
            certificate=_certificate(server, workload),
            logs=self._options.out / "logs",
        )

    def _round(self, job: Job) -> Iterable[Run]:
        workload = job.workload
        names = workload.contenders
        if job.round == 1:
            names += workload.once
        for name in names:
            done = run(replace(job, contender=contenders.BY_NAME[name]))
            self._say(_line(workload, done))
            yield done

    def _warm_up(self, workload: Workload, scratch: Path) -> None:
        """Run new contenders once with a few pages, so that their files are loaded."""
        cold = [
            contenders.BY_NAME[name]
            for name in (*workload.contenders, *workload.once)
            if (name, workload.work) not in self._warm
            and not missing(contenders.BY_NAME[name])
        ]
        if not cold:
            return
        self._say(f"{workload.name}: warm-up")
        few = replace(
            workload, pages=_WARM_UP_PAGES, latency_s=0.0, is_https=False, waiting=0
        )
        site = site_of(few.kind, scratch / "warm-up", few.pages)
        with self._server(few, site, scratch / "warm-up") as server:
            for contender in cold:
                job = Job(
                    contender=contender,
                    workload=few,
                    round=0,
                    site=site,
                    server=server,
                    scratch=scratch / "run",
                    logs=self._options.out / "logs" / "warm-up",
                )
                run(job)
                self._warm.add((contender.name, workload.work))

    def _lacking(self, workload: Workload) -> str:
        """Say what the server of *workload* lacks; empty if nothing."""
        if needs_nginx(workload) and nginx_path() is None:
            return "nginx, which serves its pages, is not installed"
        return ""

    def _server(self, workload: Workload, site: Site, folder: Path) -> Server:
        has_nginx = self._options.server != "python" and nginx_path() is not None
        return server_for(workload, site, folder, has_nginx=has_nginx)


class _Clock:
    """Counts rounds and their time.

    Args:
        budget_s: When it is used up no further round begins.
    """

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self._began_s = time.monotonic()
        self.rounds = 0

    def tick(self) -> None:
        """Begin a round."""
        self.rounds += 1

    @property
    def is_up(self) -> bool:
        """Whether another round like the last would end behind the budget."""
        took_s = time.monotonic() - self._began_s
        return took_s * (self.rounds + 1) / max(self.rounds, 1) > self._budget_s


def _is_enough(jobs: Sequence[Job], runs: Sequence[list[Run]], clock: _Clock) -> bool:
    """Return whether more rounds would hardly say more, or would take too long."""
    workloads = [job.workload for job in jobs]
    if clock.rounds < max(workload.rounds for workload in workloads):
        return False
    if any(workload.is_fixed for workload in workloads) or clock.is_up:
        return True
    return all(
        is_precise_enough(workload.contenders, done)
        for workload, done in zip(workloads, runs, strict=True)
    )


def _table(job: Job, runs: tuple[Run, ...]) -> Table:
    workload = job.workload
    return Table(
        workload=workload.name,
        about=workload.about,
        pages=workload.pages,
        server=f"{job.site.body_bytes / 1e6:.0f} MB from {job.server.name}",
        summaries=tuple(
            summarise(name, runs, workload.pages)
            for name in (*workload.contenders, *workload.once)
        ),
        runs=runs,
    )


def _certificate(server: Server, workload: Workload) -> Path | None:
    if workload.is_https and isinstance(server, NginxServer):
        return server.certificate
    return None


def _not_run(workload: Workload, reason: str) -> Table:
    runs = tuple(
        Run(contender=name, round=1, status="not run", reason=reason)
        for name in (*workload.contenders, *workload.once)
    )
    return Table(
        workload=workload.name,
        about=workload.about,
        pages=workload.pages,
        server="none",
        summaries=tuple(summarise(run.contender, [run], 1) for run in runs),
        runs=runs,
    )


def _agreed(runs: list[Run]) -> Iterable[Run]:
    """Yield *runs*; one that read something else from the pages than most has lost."""
    digests = [run.digest for run in runs if run.digest]
    usual = statistics.mode(digests) if digests else ""
    for one in runs:
        differs = one.status == "ok" and one.digest != usual
        why = "it read something else from the pages than the others"
        yield replace(one, status="failed", reason=why) if differs else one


def _line(workload: Workload, done: Run) -> str:
    what = f"{workload.name} round {done.round}: {done.contender}"
    if done.status not in ("ok", "lost"):
        return f"{what}: {done.status}: {done.reason}"
    steady = DASH if done.steady_s is None else f"{done.steady_s:.3f}"
    lost = f", {done.lost} pages lost" if done.lost else ""
    share = done.noise_share
    loud = f", noisy: others had {share:.0%}" if share and is_noisy(share) else ""
    return f"{what}: steady {steady} s, wall {done.wall_s:.2f} s{lost}{loud}"


def _imports(say: Callable[[str], None]) -> dict[str, list[float]]:
    """Return the seconds of importing Scrapy, and our package as well, in turn."""
    code = (
        "import time; t = time.perf_counter(); import {}; "
        "print(time.perf_counter() - t)"
    )
    times: dict[str, list[float]] = {"scrapy": [], "scrapy, concurcrawl": []}
    say("imports")
    for _ in range(1 + _IMPORT_ROUNDS):
        for name, found in times.items():
            done = subprocess.run(
                [sys.executable, "-c", code.format(name)],
                capture_output=True,
                text=True,
                timeout=_IMPORT_TIMEOUT_S,
                check=True,
            )
            found.append(float(done.stdout))
    return {name: found[1:] for name, found in times.items()}


def _in_memory() -> str | None:
    """Return a folder that is in memory, if there is one with room."""
    shared = "/dev/shm"
    try:
        room = shutil.disk_usage(shared).free
    except OSError:
        return None
    return shared if room >= _ROOM_BYTES and os.access(shared, os.W_OK) else None


def _environment() -> dict[str, str | int | float | None]:
    told = environment()
    for name in _LIBRARIES:
        try:
            told[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            told[name] = None
    for name, option in (("curl", "-V"), ("nginx", "-v"), ("redis-server", "-v")):
        told[name] = _first_line(name, option)
    return told


def _first_line(program: str, option: str) -> str | None:
    path = nginx_path() if program == "nginx" else shutil.which(program)
    if path is None:
        return None
    done = subprocess.run(
        [path, option], capture_output=True, text=True, timeout=10, check=False
    )
    return (done.stdout or done.stderr).partition("\n")[0]
