"""A Dask scheduler and its workers, on free ports of loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import psutil

from tests.support.crawls import DEADLINE_S, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.servers.relay import Relays

_MARK = "CONCURCRAWL_TESTS_CLUSTER"

#: Has a Dask worker reach the crawl through another port, as a router would.
_PRELOAD = """
import socket

def create_connection(address, *args, connect=socket.create_connection, **options):
    host, port = address
    return connect((host, {near} if port == {far} else port), *args, **options)

socket.create_connection = create_connection
"""


#: Answers each line with the number of its workers.
_ADAPTIVE = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=0, threads_per_worker=2, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        cluster.adapt(minimum=0, maximum=3, interval="300ms")
        print(cluster.scheduler_address, flush=True)
        for _ in sys.stdin:
            print(len(cluster.scheduler.workers), flush=True)
"""


@dataclass(frozen=True, slots=True)
class AdaptiveCluster:
    """A cluster that Dask scales, from nothing to three workers of two threads."""

    process: subprocess.Popen[str]
    address: str

    def count(self) -> int:
        """Return how many workers it has."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def adaptive_cluster(folder: Path) -> Iterator[AdaptiveCluster]:
    """Run one."""
    script = folder / "adaptive.py"
    script.write_text(_ADAPTIVE, encoding="utf-8")
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(
            [sys.executable, str(script)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield AdaptiveCluster(process, process.stdout.readline().strip())
        finally:
            started = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for one in started:
                with suppress(psutil.NoSuchProcess):
                    one.kill()


@dataclass(slots=True)
class DaskServers:
    """A scheduler and the commands that run its workers.

    Attributes:
        commands: The ``dask worker`` commands that were started.
        registrations: How often workers of theirs have registered once all is up.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid4().hex)
    scheduler: subprocess.Popen[bytes] | None = None
    commands: list[subprocess.Popen[bytes]] = field(default_factory=list)
    registrations: int = 0

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text(encoding="utf-8"))["address"])

    def start(self, workers: int, *options: str) -> None:
        protocol = ("--protocol", "tls") if self.variables else ()
        self.scheduler = self._run("scheduler", "--port", "0", *protocol)
        for _ in range(workers):
            self.start_worker(*options)
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until all workers have registered."""
        wait_for(lambda: self.said("Registered to") >= self.registrations, self.log)

    def start_worker(self, *options: str, threads: int = 1) -> subprocess.Popen[bytes]:
        command = self._run("worker", "--nthreads", str(threads), *options)
        self.commands.append(command)
        self.registrations += 1
        return command

    def restart_scheduler(self) -> None:
        """Kill the scheduler and start one at the same address."""
        port = str(urlsplit(self.address).port)
        if self.scheduler is not None:
            self.scheduler.kill()
            self.scheduler.wait(DEADLINE_S)
        self.scheduler = self._run("scheduler", "--port", port)

    def start_worker_behind(self, relays: Relays, crawl: int) -> None:
        """Start a worker all of whose connections go through *relays*.

        Args:
            relays: Which can cut it off.
            crawl: The port that the crawl listens at for its workers.
        """
        scheduler = relays.to(urlsplit(self.address).port or 0)
        near, preload = self.folder / "near.json", self.folder / "preload.py"
        address = f"tcp://127.0.0.1:{scheduler}"
        near.write_text(json.dumps({"address": address}), encoding="utf-8")
        preload.write_text(
            _PRELOAD.format(far=crawl, near=relays.to(crawl)), encoding="utf-8"
        )
        self.start_worker(
            *("--no-nanny", "--scheduler-file", str(near), "--preload", str(preload))
        )

    def _run(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "dask", what, "--no-dashboard"),
                    *("--host", "127.0.0.1", "--scheduler-file", str(self.file)),
                    *options,  # of one that is there twice the last counts
                ],
                cwd=self.folder,
                # Of the project nothing: its code has to travel.
                env={
                    **os.environ,
                    **self.variables,
                    "PYTHONPATH": str(ROOT),
                    _MARK: self.mark,
                },
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def said(self, words: str) -> int:
        return self.log().count(words)

    def processes(self, words: str) -> list[psutil.Process]:
        """Return those of the cluster whose command has *words* in it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get(_MARK) == self.mark
                if is_ours and words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def crawlers(self) -> list[psutil.Process]:
        """Return the crawler processes on all machines."""
        return self.processes("cluster.boot")

    def workers(self) -> list[psutil.Process]:
        """Return the Dask workers, which nannies have started."""
        return self.processes("multiprocessing.spawn")

    def close(self) -> None:
        for command in [*self.commands, self.scheduler]:
            if command is not None:
                command.kill()
                command.wait(DEADLINE_S)
        for process in self.processes(""):
            with suppress(psutil.Error):
                process.kill()


def wait_for(is_so: Callable[[], bool], log: Callable[[], str]) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, log()
        time.sleep(0.02)


@contextmanager
def dask_servers(
    folder: Path,
    workers: int = 2,
    options: Sequence[str] = ("--no-nanny",),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[DaskServers]:
    """Run a scheduler and workers of one thread each.

    Args:
        folder: For what they write.
        workers: How many.
        options: More of the command ``dask worker``.
        variables: Of the environment, with the certificates for TLS, if it has that.
    """
    servers = DaskServers(folder, variables)
    try:
        servers.start(workers, *options)
        yield servers
    finally:
        servers.close()
