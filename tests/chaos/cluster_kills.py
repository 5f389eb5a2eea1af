"""Crawls on a Dask cluster any part of which is killed, and which must lose nothing.

Each run is decided by the seed and its number alone, as in :mod:`tests.chaos.kills`.
All runs share one cluster: what is killed of it is started again.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from typing_extensions import override

from concurcrawl.tools.testsite.process import SiteProcess
from tests.chaos.kills import (
    PAGES,
    Attempt,
    Deed,
    Plan,
    Run,
    is_ok,
    run_command,
)
from tests.support.crawls import DEADLINE_S
from tests.support.servers.dask import dask_servers

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from tests.support.servers.dask import DaskServers

LATENCY_S = 0.15
MACHINES = 2

#: What can be done to a crawl, or to the machines that it is on; True where it ends.
DEEDS = {
    "kill a crawler": False,
    "kill a Dask worker": False,
    "kill a nanny": False,
    "restart the scheduler": False,
    "kill the supervisor": True,
}


def make_plan(seed: int, number: int) -> Plan:
    """Return run *number* of *seed*."""
    rng = random.Random(f"cluster {seed} {number}")
    deaths = rng.choice((0, 0, 1, 1, 2))
    attempts = [_attempt(rng, ends=True) for _ in range(deaths)]
    attempts.append(_attempt(rng, ends=False))
    return Plan(
        is_durable=True,
        is_faulty=False,
        overwrites=rng.random() < 0.5,
        attempts=tuple(attempts),
    )


def _attempt(rng: random.Random, *, ends: bool) -> Attempt:
    milder = [what for what, is_end in DEEDS.items() if not is_end]
    chosen = [rng.choice(milder) for _ in range(rng.choice((1, 1, 2, 3)))]
    times = sorted(rng.uniform(1.0, 8.0) for _ in chosen)
    deeds = [
        Deed(what, after_s, ends=False)
        for what, after_s in zip(chosen, times, strict=True)
    ]
    if ends:
        last_s = times[-1] + rng.uniform(0.0, 2.0)
        deeds.append(Deed("kill the supervisor", last_s, ends=True))
    return Attempt(rng.choice(("parallel", "hybrid")), 0, tuple(deeds))


class ClusterRun(Run):
    """One run whose workers are on a cluster."""

    def __init__(
        self, servers: DaskServers, plan: Plan, testsite: SiteProcess, folder: Path
    ) -> None:
        super().__init__(plan, testsite, folder)
        self._servers = servers

    @override
    def command(self, attempt: Attempt) -> list[str]:
        return [
            *super().command(attempt),
            *("-s", f"CONCURCRAWL_CLUSTER={self._servers.file}"),
            *("-s", "CONCURRENT_REQUESTS=4", "-s", "CONCURCRAWL_CLUSTER_TIMEOUT_S=5"),
        ]

    @override
    def processes(self) -> list[psutil.Process]:
        return super().processes() + self._servers.crawlers()

    @override
    def do(self, what: str, process: subprocess.Popen[bytes]) -> None:
        servers = self._servers
        match what:
            case "kill a crawler":
                _kill(servers.crawlers()[:1])
            case "kill a Dask worker":  # its nanny starts another one
                # A nanny whose worker dies before it has registered gives up.
                servers.wait_until_up()
                _kill(servers.workers()[:1])
                servers.registrations += 1
            case "kill a nanny":
                servers.wait_until_up()
                nanny = servers.commands.pop(0)
                _kill([*_children(nanny.pid), psutil.Process(nanny.pid)])
                nanny.wait(DEADLINE_S)
                servers.start_worker("--nanny")
            case "restart the scheduler":
                restart(servers)
            case _:
                super().do(what, process)


def restart(servers: DaskServers) -> None:
    """Kill the scheduler and start it at the same address, and its workers too."""
    old = [*servers.commands]
    for command in old:
        _kill([*_children(command.pid), psutil.Process(command.pid)])
        command.wait(DEADLINE_S)
    servers.commands.clear()
    servers.registrations = servers.said("Registered to")
    servers.restart_scheduler()
    for _ in old:
        servers.start_worker("--nanny")


def _children(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children()
    return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def perform(seed: int, numbers: Sequence[int], keep: Path | None = None) -> int:
    """Do the runs *numbers* of *seed*, print a line on each, return how many failed.

    Args:
        seed: Of all runs.
        numbers: Which runs.
        keep: Where the folders of runs that fail are moved; None for nowhere.
    """
    failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="chaos-dask-") as name,
        SiteProcess(pages=PAGES, latency_s=LATENCY_S) as testsite,
        dask_servers(Path(name), MACHINES, options=("--nanny",)) as servers,
    ):
        for number in numbers:
            again = f"python -m {MODULE} --seed {seed} --only {number}"

            def make(plan: Plan, site: SiteProcess, folder: Path) -> Run:
                return ClusterRun(servers, plan, site, folder)

            plan = make_plan(seed, number)
            failed += not is_ok(plan, testsite, make, (number, again), keep)
    return failed


MODULE = "tests.chaos.cluster_kills"

if __name__ == "__main__":
    sys.exit(run_command(MODULE, __doc__, perform))
