"""Servers that are processes: started, asked for their URL, and reaped."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.crawls import DEADLINE_S, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How long each of closing its input, asking and killing may take to end a process.
PATIENCE_S = 10


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """Run ``python -m command...`` and yield the URL that it prints when it listens.

    It ends when its standard input does.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield first_line(process)
    finally:
        process.stdin.close()
        reap(process)
        process.stdout.close()


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line that *process* prints; it is killed if that takes long."""
    assert process.stdout is not None
    deadline = threading.Timer(DEADLINE_S, process.kill)
    deadline.start()
    try:
        line = process.stdout.readline().strip()
    finally:
        deadline.cancel()
        deadline.join()
    if not line:
        code = process.wait(PATIENCE_S)
        raise RuntimeError(
            f"{process.args!r} printed no line; it ended with code {code}"
        )
    return line


def reap(process: subprocess.Popen[str]) -> int:
    """Wait for *process* to end; ask it to, then make it. Return its exit code."""
    for push in (process.terminate, process.kill):
        try:
            return process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            push()
    return process.wait(PATIENCE_S)
