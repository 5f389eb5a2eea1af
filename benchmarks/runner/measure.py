"""One contender, once: start it, wait for it, look at what it left."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import select
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from benchmarks.runner import contenders, noise
from benchmarks.runner.pages import is_page
from benchmarks.runner.results import Run
from benchmarks.runner.servers import peak_in_flight
from concurcrawl.tools.compare import process_tree
from concurcrawl.tools.compare.process_tree import Measurement
from concurcrawl.tools.compare.runs import cpu_between

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.runner.contenders import Contender
    from benchmarks.runner.pages import Site
    from benchmarks.runner.servers import Server, Visit
    from benchmarks.runner.workloads import Workload

#: Longer than the measuring process leaves the contender after an interrupt.
_STOP_S = 20.0
_BEGIN = re.compile(r"^first page at ([\d.]+)$", re.MULTILINE)
_LAST_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to make.

    Attributes:
        contender: Who.
        workload: What.
        round: Which turn, from 1.
        site: The pages.
        server: Who serves them; it runs.
        scratch: A folder that is emptied.
        certificate: To be trusted, if there is one.
        logs: Where what a run that went wrong had to say is kept; None for nowhere.
    """

    contender: Contender
    workload: Workload
    round: int
    site: Site
    server: Server
    scratch: Path
    certificate: Path | None = None
    logs: Path | None = None


class Needy(Protocol):
    """What needs something that may not be installed."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Return the Python modules."""

    @property
    def programs(self) -> tuple[str, ...]:
        """Return the programs."""


def missing(needy: Needy) -> str:
    """Return what *needy* needs and is not here, in words; empty if nothing."""
    for module in needy.modules:
        if importlib.util.find_spec(module) is None:
            return f"the Python module {module} is not installed"
    for program in needy.programs:
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    return ""


def run(job: Job) -> Run:
    """Make one run and verify every byte of what it left."""
    if lack := missing(job.contender):
        return _without_result(job, "not run", lack)
    out = job.scratch / "out"
    shutil.rmtree(job.scratch, ignore_errors=True)
    out.mkdir(parents=True)
    job.server.reset()
    server_cpu_s = job.server.cpu_s()
    is_good = False
    before = noise.look()
    measured, is_late = _measured(job, out)
    after = noise.look()
    server_cpu_s = job.server.cpu_s() - server_cpu_s
    try:
        if is_late:
            why = f"it took longer than {job.workload.timeout_s:g} s"
            return _without_result(job, "failed", why)
        if measured is None:
            return _without_result(job, "failed", "the measuring process was killed")
        done = _judged(job, out, measured, server_cpu_s)
        is_good = done.status == "ok"
        known_s = measured.cpu_s + measured.sampling_cpu_s + server_cpu_s
        heard = noise.between(before, after, known_s=known_s, load=os.getloadavg()[0])
        return done if heard is None else replace(done, **asdict(heard))
    finally:
        if not is_good:
            _keep_log(job)
        shutil.rmtree(job.scratch, ignore_errors=True)


def _keep_log(job: Job) -> None:
    if job.logs is None:
        return
    job.logs.mkdir(parents=True, exist_ok=True)
    name = f"{job.workload.name}-{job.contender.name}-{job.round}.txt"
    with contextlib.suppress(OSError):  # it never came to writing one
        shutil.copyfile(job.scratch / "log.txt", job.logs / name)


def _without_result(job: Job, status: str, reason: str) -> Run:
    assert status in ("failed", "not run")
    return Run(
        contender=job.contender.name,
        round=job.round,
        status="failed" if status == "failed" else "not run",
        reason=reason,
    )


def _measured(job: Job, out: Path) -> tuple[Measurement | None, bool]:
    """Run the command; return what it cost, and whether it had to be stopped."""
    command = contenders.command(
        job.contender,
        job.server.list_url,
        job.site.list_file,
        out,
        job.workload,
    )
    log = str(job.scratch / "log.txt")
    # -P: beside process_tree.py lie modules that are not meant to be top-level.
    process = subprocess.Popen(
        [sys.executable, "-P", process_tree.__file__, log, *command],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=job.scratch,
        env=_environment(job.certificate),
        start_new_session=True,  # Ctrl-C reaches us alone; the pipe tells the others
    )
    assert process.stdin is not None
    assert process.stdout is not None
    # Not communicate(), which begins with closing the pipe: that is the order to stop.
    try:
        timeout_s = job.workload.timeout_s
        is_late = not select.select([process.stdout], [], [], timeout_s)[0]
        if is_late:
            with contextlib.suppress(OSError):  # it ended meanwhile
                process.stdin.write(b".")
        output = process.stdout.read()
    finally:  # an interrupt comes here: the end of the pipe stops all
        process.stdin.close()
        process.wait(_STOP_S)
        process.stdout.close()
    return (Measurement(**json.loads(output)) if output else None), is_late


def _environment(certificate: Path | None) -> dict[str, str]:
    root = str(contenders.FOLDER.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # No proxy of the user's, and no other Scrapy project beside what we measure.
    environment |= {"NO_PROXY": "*", "no_proxy": "*"}
    environment.pop("SCRAPY_SETTINGS_MODULE", None)
    if certificate is not None:
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        environment |= dict.fromkeys(names, str(certificate))
    return environment


def _judged(job: Job, out: Path, measured: Measurement, server_cpu_s: float) -> Run:
    log = (job.scratch / "log.txt").read_text(encoding="utf-8", errors="replace")
    if measured.exit_code != 0:
        lines = " / ".join(log.strip().splitlines()[-_LAST_LINES:])
        why = f"exit code {measured.exit_code}: {lines}"
        return _without_result(job, "failed", why)
    lost, digest, end_s = _verified(out, job.site.expected, job.workload.work)
    if lost == len(job.site.expected):
        lines = " / ".join(log.strip().splitlines()[-_LAST_LINES:])
        return _without_result(job, "failed", f"it left no page: {lines}")
    visits = job.server.visits()
    arrived_s, begin_s = _begins(job.contender, visits, log)
    steps = [(when_s, cpu_s) for when_s, cpu_s in measured.cpu_steps]
    main_steps = [(when_s, cpu_s) for when_s, cpu_s in measured.main_cpu_steps]
    others = measured.peaks_bytes[1:]
    return Run(
        contender=job.contender.name,
        round=job.round,
        status="lost" if lost else "ok",
        lost=lost,
        wall_s=measured.wall_s,
        startup_s=None if arrived_s is None else arrived_s - measured.started_s,
        steady_s=None if begin_s is None else end_s - begin_s,
        cpu_s=measured.cpu_s,
        steady_cpu_s=None if begin_s is None else cpu_between(steps, begin_s, end_s),
        steady_main_cpu_s=None
        if begin_s is None
        else cpu_between(main_steps, begin_s, end_s),
        peak_bytes=measured.peak_pss_bytes or measured.peak_rss_bytes,
        main_rss_bytes=measured.peaks_bytes[0] if measured.peaks_bytes else 0,
        worker_rss_bytes=others[0] if others else 0,
        server_cpu_s=server_cpu_s,
        peak_in_flight=_in_flight(job.server, visits),
        digest=digest,
    )


def _in_flight(server: Server, visits: list[Visit]) -> int | None:
    if not server.sees_in_flight:
        return None
    return peak_in_flight([visit for visit in visits if is_page(visit.path)])


def _begins(
    contender: Contender, visits: list[Visit], log: str
) -> tuple[float | None, float | None]:
    """Return when the first request of all and the first for a page arrived."""
    if not contender.has_network:
        said = _BEGIN.search(log)
        return None, float(said[1]) if said else None
    pages = [visit.begin_s for visit in visits if is_page(visit.path)]
    first = min((visit.begin_s for visit in visits), default=None)
    return first, min(pages, default=None)


def _verified(
    out: Path, expected: Mapping[str, str], work: str
) -> tuple[int, str, float]:
    """Return pages lost, a digest of what was read, and when the last byte came."""
    files = [path for path in out.rglob("*") if path.is_file()]
    end_s = max((path.stat().st_mtime for path in files), default=0.0)
    found: dict[str, str] = {}
    digest = hashlib.sha256()
    if work not in contenders.FEEDING:
        for path in files:
            body = hashlib.sha256(path.read_bytes()).hexdigest()
            found[unquote(path.name)] = body
    else:
        items = [item for path in files for item in _items(path)]
        for item in sorted(items, key=_order):
            found[unquote(str(item["file"]))] = str(item["sha256"])
            digest.update(json.dumps(item, sort_keys=True).encode() + b"\n")
    lost = sum(found.get(name) != body for name, body in expected.items())
    return lost, digest.hexdigest() if work in contenders.FEEDING else "", end_s


def _order(item: dict[str, object]) -> tuple[str, str]:
    return str(item["file"]), str(item.get("number"))


def _items(path: Path) -> list[dict[str, object]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]
