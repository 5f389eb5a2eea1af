"""Frontiers alone: push, acquire and ack, without a crawl around them.

A process of its own (``python -m`` this module), so that nothing else is in its way.
With many groups of hosts, one in a hundred has a delay and another one is paused.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.runner import noise
from benchmarks.runner.keeper import Kept
from benchmarks.runner.measure import missing
from benchmarks.runner.results import FrontierResult
from concurcrawl.errors import ConcurcrawlError
from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.limits.limiter import FetchResult, GroupLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from concurcrawl.frontier.base import Frontier, Lease

    #: Returns bytes of memory.
    Memory = Callable[[], int]

_TIMEOUT_S = 300.0
_START_S = 10.0
#: As many new requests come of one page: each push is one step.
_BATCH = 10
#: As many are done at a time.
_IN_HAND = 16
_PAYLOAD = b"x" * 400  # about what a request comes to
#: Groups of hosts, in the order of the table.
GROUPS = (1, 1_000, 100_000)
_DELAYED = GroupLimits(delay_s=0.001)
_FREE = GroupLimits()
_PAUSED = FetchResult(status=429, retry_after_s=500.0)
#: One group in so many is delayed, and one paused.
_TROUBLED = 100
#: No lease has it.
_NO_LEASE = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where requests may wait.

    Attributes:
        open: Opens it, in a running event loop, with a folder for its files; yields it,
            and what returns the bytes of memory that it takes.
        modules: Python modules that it needs.
        programs: Programs that it needs.
    """

    open: Callable[[str], AbstractAsyncContextManager[tuple[Frontier, Memory]]]
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


def _limits_of(group: str) -> GroupLimits:
    return _DELAYED if group.endswith("-delayed") else _FREE


def _own_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


@asynccontextmanager
async def _nameless(folder: str) -> AsyncIterator[tuple[Frontier, Memory]]:
    del folder
    with closing(SqliteFrontier(_limits_of)) as frontier:
        yield frontier, _own_bytes


@asynccontextmanager
async def _in_a_file(folder: str) -> AsyncIterator[tuple[Frontier, Memory]]:
    path = f"{folder}/frontier.sqlite"
    with closing(SqliteFrontier(_limits_of, path=path)) as frontier:
        yield frontier, _own_bytes


@asynccontextmanager
async def _in_redis(folder: str) -> AsyncIterator[tuple[Frontier, Memory]]:
    # Late, because an extra brings its client.
    import redis

    from concurcrawl.frontier.redis.connection import RedisConnection, parse
    from concurcrawl.frontier.redis.frontier import RedisFrontier
    from concurcrawl.frontier.redis.session import Member

    with _redis_server(folder) as url:
        link = RedisConnection(parse(url, "bench", "frontier"))
        member = Member(node="bench", spider="bench")
        frontier = RedisFrontier(link, member, _limits_of)
        await frontier.join()
        frontier.start()
        frontier.free_capacity = lambda: _IN_HAND
        try:
            with redis.Redis.from_url(url) as client:
                yield frontier, lambda: int(client.info("memory")["used_memory"])
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


def measure_all(requests: int, rounds: int) -> list[FrontierResult]:
    """Measure each in fresh processes.

    Args:
        requests: At least so many go through.
        rounds: How often each is measured, in turn; the results are the medians.
    """
    found: dict[tuple[str, int], list[FrontierResult]] = {}
    for _ in range(rounds):
        for where in PLACES:
            of_one = _heard(where, max(requests, *GROUPS), 1)
            for groups in GROUPS:
                done = _heard(where, max(requests, groups), groups)
                if groups == max(GROUPS):
                    done = _beside(done, of_one)
                found.setdefault((where, groups), []).append(done)
    return [_middle(results) for results in found.values()]


def _heard(where: str, requests: int, groups: int) -> FrontierResult:
    """Measure one, and what others did meanwhile."""
    before, usage = noise.look(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = _in_a_process(where, requests, groups)
    after, then = noise.look(), resource.getrusage(resource.RUSAGE_CHILDREN)
    # A redis-server is in it, too: its keeper waits for it, and so on.
    known_s = then.ru_utime + then.ru_stime - usage.ru_utime - usage.ru_stime
    heard = noise.between(before, after, known_s=known_s, load=os.getloadavg()[0])
    if heard is None:
        return done
    return replace(done, noise_share=heard.others_share + heard.steal_share)


def _beside(many: FrontierResult, one: FrontierResult) -> FrontierResult:
    """Return *many* with what each group takes more than those requests of *one*."""
    if not (many.memory_bytes and one.memory_bytes):
        return many
    return replace(
        many, bytes_a_group=(many.memory_bytes - one.memory_bytes) / many.groups
    )


def _middle(results: list[FrontierResult]) -> FrontierResult:
    """Return the medians of *results*, which are of one place and as many groups."""
    for found in results:
        if found.status != "ok":
            return found

    def values(of: Callable[[FrontierResult], float | None]) -> list[float]:
        return [value for one in results if (value := of(one)) is not None]

    def middle(of: Callable[[FrontierResult], float | None]) -> float | None:
        return statistics.median(values(of)) if values(of) else None

    return replace(
        results[0],
        push_us=middle(lambda one: one.push_us),
        take_us=middle(lambda one: one.take_us),
        complete_us=middle(lambda one: one.complete_us),
        bytes_a_group=middle(lambda one: one.bytes_a_group),
        noise_share=middle(lambda one: one.noise_share),
        samples_us=tuple(values(_take_and_complete_us)),
        samples_bytes=tuple(values(lambda one: one.bytes_a_group)),
    )


def _take_and_complete_us(found: FrontierResult) -> float | None:
    if found.take_us is None or found.complete_us is None:
        return None
    return found.take_us + found.complete_us


def _in_a_process(where: str, requests: int, groups: int) -> FrontierResult:
    if lack := missing(PLACES[where]):
        return FrontierResult(where=where, groups=groups, status="not run", reason=lack)
    command = [sys.executable, "-m", __name__, where, str(requests), str(groups)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired:
        why = f"it took longer than {_TIMEOUT_S:g} s"
        return _failed(where, groups, why)
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip().rpartition("\n")[2]
        return _failed(where, groups, why)
    return FrontierResult(**json.loads(done.stdout))


def _failed(where: str, groups: int, why: str) -> FrontierResult:
    return FrontierResult(where=where, groups=groups, status="failed", reason=why)


def measure(where: str, requests: int, groups: int) -> FrontierResult:
    """Send requests through the frontier *where*; say what a step costs."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measured(where, folder, requests, groups))


def _name(number: int) -> str:
    kinds = {1: "-delayed", 2: "-paused"}
    return f"{number}.example{kinds.get(number % _TROUBLED, '')}"


async def _measured(
    where: str, folder: str, requests: int, groups: int
) -> FrontierResult:
    names = [_name(number) for number in range(groups)]
    entries = [
        Entry(number.to_bytes(20, "big"), names[number % groups], 0, False, _PAYLOAD)
        for number in range(requests)
    ]
    paused = [name for name in names if name.endswith("-paused")]
    rest = sum(not entry.group.endswith("-paused") for entry in entries)
    async with PLACES[where].open(folder) as (frontier, memory):
        before = memory()
        begin = time.perf_counter()
        pushed = [
            frontier.push(entries[first : first + _BATCH])
            for first in range(0, requests, _BATCH)
        ]
        for step in pushed:
            await step
        push_s = time.perf_counter() - begin
        for name in paused:
            frontier.leave(name, _NO_LEASE, _PAUSED)
        memory_bytes = memory() - before
        take_s = complete_s = 0.0
        for first in range(0, rest, _IN_HAND):
            began = time.perf_counter()
            count = min(_IN_HAND, rest - first)
            leases = [await _taken(frontier) for _ in range(count)]
            taken = time.perf_counter()
            for ended in [frontier.ack(lease.lease_id) for lease in leases]:
                await ended
            complete_s += time.perf_counter() - taken
            take_s += taken - began
        memory_bytes = max(memory_bytes, memory() - before)
    return FrontierResult(
        where=where,
        requests=requests,
        groups=groups,
        push_us=push_s / requests * 1e6,
        take_us=take_s / rest * 1e6,
        complete_us=complete_s / rest * 1e6,
        memory_bytes=memory_bytes,
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
    _where, _requests, _groups = sys.argv[1:]
    _found = measure(_where, int(_requests), int(_groups))
    sys.stdout.write(json.dumps(asdict(_found)))
