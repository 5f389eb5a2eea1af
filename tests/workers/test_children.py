"""What a worker has started ends with it, unless it was meant to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from concurcrawl.workers import children

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEPS = "import time; time.sleep(600)"

#: Starts what its argument says, tells its number, and waits.
STARTS = """
import subprocess, sys, time
started = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session={})
print(started.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def started() -> Iterator[list[psutil.Process]]:
    found: list[psutil.Process] = []
    yield found
    for process in found:
        if process.is_running():
            process.kill()


def start(code: str, started: list[psutil.Process]) -> tuple[int, int]:
    """Start a worker, and what that starts; return their numbers."""
    worker = subprocess.Popen(
        [sys.executable, "-c", code, SLEEPS], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    with worker.stdout:
        child = int(worker.stdout.readline())
    started += [psutil.Process(worker.pid), psutil.Process(child)]
    return worker.pid, child


def test_children_are_found_and_ended(started: list[psutil.Process]) -> None:
    worker, child = start(STARTS.format(False), started)
    found = children.of(worker)
    assert [one.pid for one in found] == [child]
    children.end(found)
    # Reaping it is its parent's.
    assert started[1].status() == psutil.STATUS_ZOMBIE


def test_what_has_a_session_of_its_own_goes_on(started: list[psutil.Process]) -> None:
    worker, _ = start(STARTS.format(True), started)
    assert children.of(worker) == []


def test_what_does_not_end_by_itself_is_killed(
    started: list[psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_GRACE_S", 0.2)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('ready', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
    started.append(psutil.Process(process.pid))
    children.end([psutil.Process(process.pid)])
    assert process.wait(60) == -signal.SIGKILL


def test_of_a_worker_that_is_gone_nothing_is_found() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(60)
    assert children.of(process.pid) == []
