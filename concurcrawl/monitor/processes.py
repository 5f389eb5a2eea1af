"""Memory and CPU of the processes of a crawl."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from concurcrawl.monitor.snapshot import Process

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds for which memory is not measured again: it takes 1 to 10 ms for each process,
#: since the kernel walks its pages.
_FRESH_S = 5.0
#: Shortest time over which CPU is measured: clocks tick in hundredths of a second.
_SPAN_S = 0.5


class Processes:
    """Measures processes whenever it is asked, in any thread."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._memory: dict[int, tuple[float, int]] = {}  # when, and how much
        self._cpu: dict[int, tuple[float, float, float | None]] = {}  # when, s, CPUs

    def measure(self, names: Mapping[int, str]) -> tuple[Process, ...]:
        """Return what the processes take.

        Args:
            names: Their names by their ids. The fork server, which is the parent of
                forked workers, is added. Those that have ended are left out.
        """
        names = dict(names)
        found = []
        for pid in [*names]:
            server = self._fork_server(pid, names)
            if server is not None:
                names[server] = "fork server"
        for pid, name in names.items():
            with suppress(psutil.Error, OSError):
                found.append(self._measured(pid, name))
        for old in self._known.keys() - names.keys():
            for of_old in (self._known, self._memory, self._cpu):
                of_old.pop(old, None)
        return tuple(found)

    def _fork_server(self, pid: int, names: Mapping[int, str]) -> int | None:
        if not names[pid].startswith("worker"):
            return None
        with suppress(psutil.Error, OSError):
            parent = self._process(pid).ppid()
            return None if parent in names else parent
        return None

    def _process(self, pid: int) -> psutil.Process:
        if pid not in self._known:
            self._known[pid] = psutil.Process(pid)
        return self._known[pid]

    def _measured(self, pid: int, name: str) -> Process:
        process, now_s = self._process(pid), time.monotonic()
        measured_s, memory_bytes = self._memory.get(pid, (-_FRESH_S, 0))
        if now_s - measured_s >= _FRESH_S:
            info = process.memory_full_info()
            memory_bytes = int(getattr(info, "pss", 0) or info.uss)
            self._memory[pid] = now_s, memory_bytes
        times = process.cpu_times()
        cpu_s = times.user + times.system
        return Process(
            name=name,
            pid=pid,
            memory_bytes=memory_bytes,
            cpu=self._cpus(pid, now_s, cpu_s),
            cpu_s=cpu_s,
        )

    def _cpus(self, pid: int, now_s: float, cpu_s: float) -> float | None:
        """Return how many CPUs *pid*, which has used *cpu_s* seconds, uses now."""
        if pid not in self._cpu:
            self._cpu[pid] = now_s, cpu_s, None
        since_s, used_s, cpus = self._cpu[pid]
        if now_s - since_s >= _SPAN_S:
            cpus = (cpu_s - used_s) / (now_s - since_s)
            self._cpu[pid] = now_s, cpu_s, cpus
        return cpus
