"""Frontiers alone: push, acquire and ack, without a crawl around them.

A process of its own (``python -m`` this module), so that nothing else is in its way.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runner.keeper import Kept
from benchmarks.runner.measure import missing
from benchmarks.runner.results import FrontierResult
from concurcrawl.errors import ConcurcrawlError
from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from concurcrawl.frontier.base import Frontier, Lease

_TIMEOUT_S = 300.0
_START_S = 10.0
#: As many new requests come of one page: each push is one step.
_BATCH = 10
#: As many are done at a time.
_IN_HAND = 16
_PAYLOAD = b"x" * 400  # about what a request comes to


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where requests may wait.

    Attributes:
        open: Opens it, in a running event loop, with a folder for its files.
        modules: Python modules that it needs.
        programs: Programs that it needs.
    """

    open: Callable[[str], AbstractAsyncContextManager[Frontier]]
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


@asynccontextmanager
async def _nameless(folder: str) -> AsyncIterator[Frontier]:
    del folder
    with closing(SqliteFrontier()) as frontier:
        yield frontier


@asynccontextmanager
async def _in_a_file(folder: str) -> AsyncIterator[Frontier]:
    with closing(SqliteFrontier(path=f"{folder}/frontier.sqlite")) as frontier:
        yield frontier


@asynccontextmanager
async def _in_redis(folder: str) -> AsyncIterator[Frontier]:
    # Late, because an extra brings its client.
    from concurcrawl.frontier.redis.connection import RedisConnection, parse
    from concurcrawl.frontier.redis.frontier import RedisFrontier
    from concurcrawl.frontier.redis.session import Member

    with _redis_server(folder) as url:
        link = RedisConnection(parse(url, "bench", "frontier"))
        frontier = RedisFrontier(link, Member(node="bench", spider="bench"))
        await frontier.join()
        frontier.start()
        frontier.free_capacity = lambda: _IN_HAND
        try:
            yield frontier
        finally:
            await frontier.quit()


@contextmanager
def _redis_server(folder: str) -> Iterator[str]:
    """Run a redis-server of our own, which keeps nothing; yield its URL."""
    socket = Path(folder) / "redis.sock"
    options = ("--port", "0", "--unixsocket", str(socket), "--save", "")
    kept = Kept(["redis-server", *options])
    try:
        deadline_s = time.monotonic() + _START_S
        while not socket.exists():
            if time.monotonic() > deadline_s:
                raise ConcurcrawlError("redis-server does not start")
            time.sleep(0.01)
        yield f"unix://{socket}"
    finally:
        kept.stop()


#: Each one, by what the tables call it.
PLACES = {
    "SQLite in a file without a name": Place(open=_nameless),
    "SQLite in a file": Place(open=_in_a_file),
    "Redis": Place(
        open=_in_redis, modules=("redis", "msgpack"), programs=("redis-server",)
    ),
}


def measure_all(requests: int) -> list[FrontierResult]:
    """Measure each in a fresh process, with so many *requests*."""
    return [_in_a_process(where, requests) for where in PLACES]


def _in_a_process(where: str, requests: int) -> FrontierResult:
    if lack := missing(PLACES[where]):
        return FrontierResult(where=where, status="not run", reason=lack)
    command = [sys.executable, "-m", __name__, where, str(requests)]
    try:
        done = subprocess.run(
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
    async with PLACES[where].open(folder) as frontier:
        begin = time.perf_counter()
        pushed = [
            frontier.push(entries[first : first + _BATCH])
            for first in range(0, requests, _BATCH)
        ]
        for step in pushed:
            await step
        push_s = time.perf_counter() - begin
        take_s = complete_s = 0.0
        for first in range(0, requests, _IN_HAND):
            began = time.perf_counter()
            count = min(_IN_HAND, requests - first)
            leases = [await _taken(frontier) for _ in range(count)]
            taken = time.perf_counter()
            for ended in [frontier.ack(lease.lease_id) for lease in leases]:
                await ended
            complete_s += time.perf_counter() - taken
            take_s += taken - began
    return FrontierResult(
        where=where,
        requests=requests,
        push_us=push_s / requests * 1e6,
        take_us=take_s / requests * 1e6,
        complete_us=complete_s / requests * 1e6,
    )


async def _taken(frontier: Frontier) -> Lease:
    """Take a request; one that is kept elsewhere comes while the loop goes on."""
    deadline = time.monotonic() + _TIMEOUT_S
    while (lease := frontier.acquire()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no request came within {_TIMEOUT_S:g} s")
        await asyncio.sleep(0)
    return lease


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(sys.argv[1], int(sys.argv[2])))))
