"""What a worker has started ends with it, unless it was meant to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from concurcrawl.workers import children

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

SLEEPS = "import time; time.sleep(600)"

#: Starts what its argument says, tells its number, and waits.
STARTS = """
import subprocess, sys, time
started = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session={})
print(started.pid, flush=True)
time.sleep(600)
"""


@dataclass(slots=True)
class Started:
    """A worker and what it has started."""

    worker: int
    child: psutil.Process


@contextmanager
def starting(code: str) -> Iterator[Started]:
    """Start a worker that runs *code*, and end it."""
    command = [sys.executable, "-c", code, SLEEPS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = psutil.Process(int(worker.stdout.readline()))
        try:
            yield Started(worker.pid, child)
        finally:
            child.kill()
            worker.kill()


def test_children_are_found_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_GRACE_S", 0.2)
    with starting(STARTS.format(False)) as started:
        found = children.of(started.worker)
        assert found == [started.child]
        children.end(found)
        # Its parent does not reap it.
        assert started.child.status() == psutil.STATUS_ZOMBIE


def test_what_has_a_session_of_its_own_goes_on() -> None:
    with starting(STARTS.format(True)) as started:
        assert children.of(started.worker) == []


def test_what_does_not_end_by_itself_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "_GRACE_S", 0.2)
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid
        children.end([psutil.Process(process.pid)])
        assert process.wait(60) == -signal.SIGKILL


def test_of_a_worker_that_is_gone_nothing_is_found() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(60)
    assert children.of(process.pid) == []
