"""Run the workloads: contenders in turn, rounds interleaved."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runner import contenders, frontier
from benchmarks.runner.measure import Job, missing, run
from benchmarks.runner.pages import big_site, country_site, small_site
from benchmarks.runner.results import Results, Run, Table, summarise
from benchmarks.runner.servers import NginxServer, SiteServer, nginx_path
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
        with tempfile.TemporaryDirectory(
            prefix="concurcrawl-bench-", dir=self._options.scratch or _in_memory()
        ) as folder:
            for together in in_turns(self._options.workloads):
                anew = self._measure(together, Path(folder))
                tables = (*self.results.tables, *anew)
                self.results = replace(self.results, tables=tables)
                measured(self.results)
        if self._options.imports:
            self.results = replace(self.results, imports_s=_imports(self._say))
            measured(self.results)
        if self._options.frontier:
            self._say("frontier")
            alone = tuple(frontier.measure_all(_FRONTIER_REQUESTS))
            self.results = replace(self.results, frontier=alone)
            measured(self.results)

    def _measure(self, workloads: Sequence[Workload], folder: Path) -> list[Table]:
        """Measure *workloads*, which take turns."""
        if lack := self._lacking(workloads[0]):
            return [_not_run(workload, lack) for workload in workloads]
        with ExitStack() as stack:
            jobs = [self._job(workload, stack, folder) for workload in workloads]
            runs: list[list[Run]] = [[] for _ in jobs]
            for which, number in turns([workload.rounds for workload in workloads]):
                runs[which] += self._round(replace(jobs[which], round=number))
            return [
                _table(job, tuple(_agreed(done)))
                for job, done in zip(jobs, runs, strict=True)
            ]

    def _job(self, workload: Workload, stack: ExitStack, folder: Path) -> Job:
        """Start the server of *workload* and have its contenders warmed up."""
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        site = _site(workload.kind, scratch / "site", workload.pages)
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
        for name in workload.contenders:
            if job.round > 1 and name in workload.slow:
                continue
            done = run(replace(job, contender=contenders.BY_NAME[name]))
            self._say(_line(workload, done))
            yield done

    def _warm_up(self, workload: Workload, scratch: Path) -> None:
        """Run new contenders once with a few pages, so that their files are loaded."""
        cold = [
            contenders.BY_NAME[name]
            for name in workload.contenders
            if (name, workload.work) not in self._warm
            and not missing(contenders.BY_NAME[name])
        ]
        if not cold:
            return
        self._say(f"{workload.name}: warm-up")
        few = replace(
            workload, pages=_WARM_UP_PAGES, latency_s=0.0, is_https=False, waiting=0
        )
        site = _site(few.kind, scratch / "warm-up", few.pages)
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
        only_nginx = workload.kind != "country" or workload.is_https
        if only_nginx and nginx_path() is None:
            return "nginx, which serves its pages, is not installed"
        return ""

    def _server(self, workload: Workload, site: Site, folder: Path) -> Server:
        wanted = self._options.server
        can_be_test_site = workload.kind == "country" and not workload.is_https
        if can_be_test_site and (
            workload.latency_s or wanted == "testsite" or nginx_path() is None
        ):
            return SiteServer(workload.pages, latency_s=workload.latency_s)
        return NginxServer(
            site, folder / "nginx", tls=workload.is_https, hosts=workload.hosts
        )


def in_turns(workloads: Iterable[Workload]) -> list[list[Workload]]:
    """Return *workloads* in their order, but each with those it takes turns with."""
    groups: dict[str, list[Workload]] = {}
    for workload in workloads:
        groups.setdefault(workload.turns or workload.name, []).append(workload)
    return list(groups.values())


def turns(rounds: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Yield who has which round, those who have few of them spread over the others'.

    Args:
        rounds: How many each has.
    """
    most = max(rounds)
    for step in range(most):
        for which, own in enumerate(rounds):
            first, last = step * own // most, (step + 1) * own // most
            yield from ((which, number) for number in range(first + 1, last + 1))


def _table(job: Job, runs: tuple[Run, ...]) -> Table:
    workload = job.workload
    return Table(
        workload=workload.name,
        about=workload.about,
        pages=workload.pages,
        server=f"{job.site.body_bytes / 1e6:.0f} MB from {job.server.name}",
        summaries=tuple(
            summarise(name, runs, workload.pages) for name in workload.contenders
        ),
        runs=runs,
    )


def _site(kind: str, folder: Path, pages: int) -> Site:
    sites = {"country": country_site, "small": small_site, "big": big_site}
    return sites[kind](folder, pages)


def _certificate(server: Server, workload: Workload) -> Path | None:
    if workload.is_https and isinstance(server, NginxServer):
        return server.certificate
    return None


def _not_run(workload: Workload, reason: str) -> Table:
    runs = tuple(
        Run(contender=name, round=1, status="not run", reason=reason)
        for name in workload.contenders
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
    return f"{what}: steady {steady} s, wall {done.wall_s:.2f} s{lost}"


def _imports(say: Callable[[str], None]) -> dict[str, float]:
    """Return the median seconds of importing Scrapy, and our package as well."""
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
    return {name: statistics.median(found[1:]) for name, found in times.items()}


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
