"""Run one command and measure its whole process tree.

``python process_tree.py LOG COMMAND…`` runs as a process between the comparison and the
crawl, for three reasons:

- On Linux it adopts every process that the crawl leaves behind, so that each one is
  waited for and its CPU time is the kernel's exact figure. Workers of a forkserver are
  grandchildren that the crawl itself never waits for.
- When the comparison ends in any way, the pipe at standard input closes, and the crawl
  is stopped with everything that it started. The first event on that pipe, a byte or
  its end, interrupts the crawl and leaves it a few seconds; the second kills it.
- Sampling the tree does not slow down the process that draws progress.

It prints a :class:`Measurement` as JSON when no process of the crawl is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

import psutil

#: Share of one core that sampling the tree may cost.
_SAMPLING_SHARE = 0.015
_SAMPLING_MIN_INTERVAL_S = 0.05
#: A worker notices that its supervisor has ended and ends too within this time.
_STRAGGLERS_GRACE_S = 2.0
#: Seconds in which an interrupted crawl finishes its requests in flight.
_STOP_GRACE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The cost of one command.

    Attributes:
        started_s: When it was started, in seconds since the epoch.
        wall_s: From its start until the command itself had ended.
        exit_code: As a shell reports it; minus the signal if one ended it.
        cpu_s: User and system time of the whole tree. The larger of two figures
            that can only be too small: what the kernel adds up for processes that
            are waited for, and the last sample of each process.
        peak_rss_bytes: Largest sum of resident memory over the tree. Pages that
            processes share count once for each.
        peak_pss_bytes: The same with shared pages divided among those who share
            them, or None where the system does not tell.
        peak_processes: Most processes at one time.
        strays: Processes that had to be killed after the command had ended.
        sampling_cpu_s: CPU time that this measurement cost.
        machine_cpu_s: CPU time that the whole machine spent meanwhile, or None where
            this process may not use all of the machine's CPUs.
        cpu_steps: CPU time of the tree so far and when it was looked at, in seconds
            since the epoch, from time to time.
        main_cpu_steps: The same of the command's own process.
        peaks_bytes: Largest resident memory of the command's own process, and then of
            each other, the largest first. Empty where the system does not tell.
    """

    started_s: float
    wall_s: float
    exit_code: int
    cpu_s: float
    peak_rss_bytes: int
    peak_pss_bytes: int | None
    peak_processes: int
    strays: int
    sampling_cpu_s: float
    machine_cpu_s: float | None
    cpu_steps: list[tuple[float, float]] = field(default_factory=list)
    main_cpu_steps: list[tuple[float, float]] = field(default_factory=list)
    peaks_bytes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Samples:
    """Samples of the tree, whose first process is *main*."""

    main: int
    processes: list[psutil.Process] = field(default_factory=list)
    peaks_bytes: dict[int, int] = field(default_factory=dict)
    cpu_s: dict[tuple[int, float], float] = field(default_factory=dict)
    peak_rss_bytes: int = 0
    peak_pss_bytes: int | None = None
    peak_processes: int = 0
    due_s: float = 0.0
    cpu_steps: list[tuple[float, float]] = field(default_factory=list)
    main_cpu_steps: list[tuple[float, float]] = field(default_factory=list)

    def take_if_due(self) -> float:
        """Take a sample if one is due; return the seconds until the next."""
        if (now := time.monotonic()) >= self.due_s:
            before = time.thread_time()
            self._take()
            cost_s = time.thread_time() - before
            self.due_s = now + max(_SAMPLING_MIN_INTERVAL_S, cost_s / _SAMPLING_SHARE)
        else:
            self._glance()
        return min(max(0.0, self.due_s - now), _SAMPLING_MIN_INTERVAL_S)

    def peaks(self) -> list[int]:
        """Return the peak of the first process, then those of the others."""
        if not any(self.peaks_bytes.values()):
            return []
        others = [peak for pid, peak in self.peaks_bytes.items() if pid != self.main]
        return [self.peaks_bytes.get(self.main, 0), *sorted(others, reverse=True)]

    def _see(self, process: psutil.Process) -> None:
        times = process.cpu_times()
        key = (process.pid, process.create_time())
        self.cpu_s[key] = times.user + times.system
        if process.pid == self.main:
            self.main_cpu_steps.append((time.time(), self.cpu_s[key]))
        # What waiting for a process tells is mixed with its children's peaks.
        peak = max(self.peaks_bytes.get(process.pid, 0), _high_water_bytes(process.pid))
        self.peaks_bytes[process.pid] = peak

    def _glance(self) -> None:
        """Read the figures that are cheap to read, of known processes."""
        for process in self.processes:
            with contextlib.suppress(psutil.Error, OSError):
                self._see(process)
        self.cpu_steps.append((time.time(), sum(self.cpu_s.values())))

    def _take(self) -> None:
        rss = pss = count = 0
        self.processes = psutil.Process().children(recursive=True)
        for process in self.processes:
            # Any of them may end between two lines.
            with contextlib.suppress(psutil.Error, OSError):
                self._see(process)
                rss += process.memory_info().rss
                pss += getattr(process.memory_full_info(), "pss", 0)
                count += 1
        self.cpu_steps.append((time.time(), sum(self.cpu_s.values())))
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss)
        self.peak_processes = max(self.peak_processes, count)
        if pss:
            self.peak_pss_bytes = max(self.peak_pss_bytes or 0, pss)


class _Tree:
    """The command and everything it starts, as children of this process.

    Invariant: a process is counted in ``cpu_s`` exactly when it has been waited for.
    """

    def __init__(self, command: list[str], log: str) -> None:
        self.cpu_s = 0.0
        self.largest_rss_bytes = 0
        self.exit_code: int | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self.started_s, self._start = time.time(), time.monotonic()
        self.pid = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            setsid=True,  # so that a Ctrl-C at the terminal reaches it once, from here
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        self.wall_s = 0.0

    def reap(self) -> bool:
        """Wait for all processes that have ended; return whether any is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.cpu_s += usage.ru_utime + usage.ru_stime
            unit = 1 if sys.platform == "darwin" else 1024
            self.largest_rss_bytes = max(self.largest_rss_bytes, usage.ru_maxrss * unit)
            if pid == self.pid:
                self.wall_s = time.monotonic() - self._start
                self.exit_code = os.waitstatus_to_exitcode(status)

    def interrupt(self) -> None:
        """Ask the command to stop, as Ctrl-C does."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGINT)

    def kill(self) -> int:
        """End whatever is left, and return how many processes that were."""
        left = psutil.Process().children(recursive=True)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return len(left)


def measure(command: list[str], log: str) -> Measurement:
    """Run *command* to its end and measure it.

    Args:
        command: Program and arguments.
        log: File for what it writes to standard output and standard error.
    """
    _adopt_orphans()
    # Without this an exit would be noticed one sampling interval late.
    bell, ringer = socket.socketpair()
    for end in (bell, ringer):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
    own_cpu_s, machine_cpu_s = time.process_time(), _machine_cpu_s()
    tree = _Tree(command, log)
    samples = _Samples(tree.pid)
    strays = _follow(tree, samples, bell)
    cpu_s = max(tree.cpu_s, sum(samples.cpu_s.values()))
    return Measurement(
        started_s=tree.started_s,
        wall_s=tree.wall_s,
        exit_code=tree.exit_code if tree.exit_code is not None else -signal.SIGKILL,
        cpu_s=cpu_s,
        peak_rss_bytes=max(samples.peak_rss_bytes, tree.largest_rss_bytes),
        peak_pss_bytes=samples.peak_pss_bytes,
        peak_processes=samples.peak_processes,
        strays=strays,
        sampling_cpu_s=time.process_time() - own_cpu_s,
        machine_cpu_s=_machine_cpu_s() - machine_cpu_s if _is_ours() else None,
        cpu_steps=[
            (tree.started_s, 0.0),
            *samples.cpu_steps,
            (tree.started_s + tree.wall_s, cpu_s),
        ],
        main_cpu_steps=samples.main_cpu_steps,
        peaks_bytes=samples.peaks(),
    )


def _follow(tree: _Tree, samples: _Samples, bell: socket.socket) -> int:
    """Wait until nothing of *tree* is left; return how many had to be killed."""
    parent_pipe = [sys.stdin.fileno()]
    stopping = False
    never = float("inf")
    kill_at = never
    strays = 0
    while tree.reap():
        now = time.monotonic()
        if tree.exit_code is not None and kill_at == never:
            kill_at = now + _STRAGGLERS_GRACE_S
        if now >= kill_at:
            strays += tree.kill()
            kill_at = now + _STRAGGLERS_GRACE_S
        wait_s = samples.take_if_due()
        ready, _, _ = select.select([bell, *parent_pipe], [], [], wait_s)
        if bell in ready:
            bell.recv(4096)
        if parent_pipe and parent_pipe[0] in ready:
            if not os.read(parent_pipe[0], 1):
                parent_pipe = []
            tree.interrupt()
            grace_s = 0.0 if stopping else _STOP_GRACE_S
            kill_at = min(kill_at, time.monotonic() + grace_s)
            stopping = True
    return strays


def _machine_cpu_s() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0)


def _high_water_bytes(pid: int) -> int:
    """Return the largest resident memory of a process so far; 0 if it is unknown."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - often, so quick
            text = file.read()
    except OSError:  # it has ended, or this is no Linux
        return 0
    words = text.partition(b"VmHWM:")[2].split(maxsplit=1)
    return int(words[0]) * 1024 if words else 0


def _is_ours() -> bool:
    """Return whether this process may use every CPU of the machine."""
    if not hasattr(os, "sched_getaffinity"):
        return True
    return len(os.sched_getaffinity(0)) == psutil.cpu_count()


def _adopt_orphans() -> None:
    """Become the parent of every process below whose own parent ends.

    References:
        https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html
    """
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def main() -> None:
    """Measure the command that the arguments name."""
    log, *command = sys.argv[1:]
    # Only the pipe decides when the crawl stops: a terminal's Ctrl-C or a closed
    # window reach this process too, and it must live on to clean up.
    # A handler that does nothing, because the crawl would inherit SIG_IGN.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    sys.stdout.write(json.dumps(asdict(measure(command, log))))


if __name__ == "__main__":
    main()
