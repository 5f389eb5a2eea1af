"""Frontiers alone: push, take and complete, without a crawl around them.

A process of its own (``python -m`` this module), so that nothing else is in its way.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from concurcrawl.bench.results import FrontierResult
from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.frontier.base import Frontier, Lease

_TIMEOUT_S = 300.0
#: As many new requests come of one page: each push is one step.
_BATCH = 10
_PAYLOAD = b"x" * 400  # about what a request comes to


def _nameless(folder: str) -> Frontier:
    del folder
    return SqliteFrontier()


def _in_a_file(folder: str) -> Frontier:
    return SqliteFrontier(path=f"{folder}/frontier.sqlite")


#: How to open each one, in a running event loop, with a folder for its files.
OPENERS: dict[str, Callable[[str], Frontier]] = {
    "SQLite in a file without a name": _nameless,
    "SQLite in a file": _in_a_file,
}


def measure_all(requests: int) -> list[FrontierResult]:
    """Measure each in a fresh process, with so many *requests*."""
    return [_in_a_process(where, requests) for where in OPENERS]


def _in_a_process(where: str, requests: int) -> FrontierResult:
    command = [sys.executable, "-m", __name__, where, str(requests)]
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired:
        why = f"it took longer than {_TIMEOUT_S:g} s"
        return FrontierResult(where=where, status="failed", reason=why)
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip().rpartition("\n")[2]
        return FrontierResult(where=where, status="failed", reason=why)
    return FrontierResult(**json.loads(done.stdout))


def measure(where: str, requests: int) -> FrontierResult:
    """Send *requests* requests through the frontier *where*; say what a step costs."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measured(where, folder, requests))


async def _measured(where: str, folder: str, requests: int) -> FrontierResult:
    entries = [
        Entry(number.to_bytes(20, "big"), "127.0.0.1", 0, False, _PAYLOAD)
        for number in range(requests)
    ]
    frontier = OPENERS[where](folder)
    begin = time.perf_counter()
    for first in range(0, requests, _BATCH):
        frontier.push(entries[first : first + _BATCH])
    pushed = time.perf_counter()
    take_s = complete_s = 0.0
    for _ in range(requests):
        started = time.perf_counter()
        lease = await _taken(frontier)
        taken = time.perf_counter()
        frontier.complete(lease.ticket)
        complete_s += time.perf_counter() - taken
        take_s += taken - started
    frontier.close()
    return FrontierResult(
        where=where,
        requests=requests,
        push_us=(pushed - begin) / requests * 1e6,
        take_us=take_s / requests * 1e6,
        complete_us=complete_s / requests * 1e6,
    )


async def _taken(frontier: Frontier) -> Lease:
    """Take a request; one that is kept elsewhere comes while the loop goes on."""
    deadline = time.monotonic() + _TIMEOUT_S
    while (lease := frontier.take()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no request came within {_TIMEOUT_S:g} s")
        await asyncio.sleep(0)
    return lease


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(sys.argv[1], int(sys.argv[2])))))
