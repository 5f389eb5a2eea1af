from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from concurcrawl.tools.compare import process_tree
from concurcrawl.tools.compare.process_tree import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BURN = """
import os, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""


@contextmanager
def measuring(script: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", process_tree.__file__, str(log)]
    process = subprocess.Popen(
        [*command, sys.executable, "-c", BURN + script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def measured(script: str, log: Path) -> Measurement:
    with measuring(script, log) as process:
        assert process.stdout is not None
        return Measurement(**json.loads(process.stdout.read()))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)
    return path.read_text()


def test_the_exit_code_and_the_output_are_kept(log: Path) -> None:
    found = measured("print('out'); sys.stderr.write('err'); sys.exit(3)", log)
    assert (found.exit_code, found.strays) == (3, 0)
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_the_signal_that_ended_it_is_kept(log: Path) -> None:
    assert measured("os.kill(os.getpid(), 9)", log).exit_code == -9


def test_wall_time_is_that_of_the_command(log: Path) -> None:
    started = time.monotonic()
    found = measured("time.sleep(0.5)", log)
    assert 0.5 <= found.wall_s <= time.monotonic() - started


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_CHILD_SUBREAPER")
def test_cpu_of_a_process_that_nobody_waited_for_counts(log: Path) -> None:
    # The grandchild outlives its parent and the command, as a forkserver's may.
    found = measured(
        """
if os.fork() == 0:
    if os.fork() == 0:
        burn(0.4)
    os._exit(0)
os.wait()
burn(0.2)
os._exit(0)
""",
        log,
    )
    assert 0.6 <= found.cpu_s < 1.2
    assert found.strays == 0


def test_memory_is_that_of_the_tree(log: Path) -> None:
    found = measured(
        """
block = b"x" * (40 << 20)
if os.fork() == 0:
    more = b"y" * (40 << 20)
    time.sleep(0.8)
    os._exit(0)
time.sleep(0.8)
os.wait()
""",
        log,
    )
    assert found.peak_processes == 2
    assert found.peak_rss_bytes >= 120 << 20
    # What the fork shares is counted once.
    if found.peak_pss_bytes is not None:
        assert 80 << 20 <= found.peak_pss_bytes < found.peak_rss_bytes


def test_sampling_is_cheap(log: Path) -> None:
    found = measured("time.sleep(2)", log)
    assert found.sampling_cpu_s < 0.02 * 2 + 0.05  # the first look costs more


def test_a_process_that_stays_behind_is_killed(log: Path) -> None:
    found = measured(
        """
child = os.fork()
if child == 0:
    os.setsid()
    time.sleep(60)
print(child, flush=True)
os._exit(0)
""",
        log,
    )
    assert found.strays == 1
    assert not psutil.pid_exists(int(log.read_text()))


def test_the_end_of_the_pipe_interrupts_it(log: Path) -> None:
    script = """
print("up", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("clean", flush=True)
    sys.exit(7)
"""
    with measuring(script, log) as process:
        wait_for(log)
        out, _ = process.communicate(timeout=60)  # closes its standard input
    assert json.loads(out)["exit_code"] == 7
    assert log.read_text() == "up\nclean\n"


def test_second_news_on_the_pipe_kill_it(log: Path) -> None:
    script = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(60)
"""
    with measuring(script, log) as process:
        pid = int(wait_for(log))
        assert process.stdin is not None
        process.stdin.write(b".")
        process.stdin.flush()
        time.sleep(0.3)
        assert psutil.pid_exists(pid)
        out, _ = process.communicate(timeout=30)
    assert json.loads(out)["exit_code"] == -9


def test_it_ends_when_whoever_started_it_is_killed(log: Path) -> None:
    starter = f"""
import subprocess, sys, time
script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen(
    [sys.executable, "-P", {process_tree.__file__!r}, {str(log)!r},
     sys.executable, "-c", script],
    stdin=subprocess.PIPE, start_new_session=True,
)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", starter]) as process:
        pid = int(wait_for(log))
        os.kill(process.pid, 9)
    _, alive = psutil.wait_procs(
        [psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=30
    )
    assert not alive


def test_the_cpu_of_the_first_process_is_told_by_itself(log: Path) -> None:
    script = """
burn(0.3)
if not (child := os.fork()):
    burn(0.5)
    os._exit(0)
os.waitpid(child, 0)
time.sleep(0.2)
"""
    found = measured(script, log)
    _, main_cpu_s = found.main_cpu_steps[-1]
    assert 0.25 <= main_cpu_s <= found.cpu_s - 0.4
