"""Drive a frontier alone, with many requests: how fast, how large, how often asked.

``python -m tests.support.scale --requests 1000000`` starts a redis-server of its own;
``--embedded`` drives the one in a private file instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.redis.connection import RedisConnection, parse
from concurcrawl.frontier.redis.frontier import RedisFrontier
from concurcrawl.frontier.redis.session import Member
from concurcrawl.frontier.sqlite import SqliteFrontier
from tests.support.servers.redis import RedisServer, redis_server

if TYPE_CHECKING:
    from concurcrawl.frontier.base import Frontier, Lease

#: What comes of one request at most: so grows a crawl.
_CHILDREN = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out.

    Attributes:
        requests: How many were pushed, taken and completed.
        seconds: How long that took.
        requests_per_s: The two divided.
        bytes_waiting: Memory of a request that waits, with what is remembered of it.
        bytes_done: Memory that is left of a request that is done.
        round_trips: Exchanges for each request.
    """

    requests: int
    seconds: float
    requests_per_s: float
    bytes_waiting: float
    bytes_done: float
    round_trips: float


class Drive:
    """Requests that beget requests, done by simulated workers."""

    def __init__(self, frontier: Frontier, requests: int, groups: int) -> None:
        self._frontier = frontier
        self._groups = groups
        self._left = requests
        self._number = 0
        self.done = 0

    def entries(self, count: int) -> list[Entry]:
        """Return new requests, as long as there are to be more."""
        count = min(count, self._left)
        self._left -= count
        made = []
        for _ in range(count):
            self._number += 1
            host = f"host-{self._number % self._groups}.example"
            url = f"https://{host}/path/of/a/page/{self._number}"
            payload = json.dumps(
                {"url": url, "callback": "parse", "meta": {"depth": 2}}
            )
            key = self._number.to_bytes(20, "big")
            made.append(Entry(key, host, 0, is_start=False, payload=payload.encode()))
        return made

    async def work(self, lease: Lease) -> None:
        await self._frontier.ack(lease.lease_id, self.entries(_CHILDREN))
        self.done += 1


async def fill(frontier: Frontier, drive: Drive) -> None:
    """Push all that there are to be."""
    while entries := drive.entries(500):
        await frontier.push(entries)


async def by_workers(
    frontier: RedisFrontier, drive: Drive, requests: int, workers: int
) -> None:
    """Let workers do all that waits; each does one after the other."""
    news = asyncio.Event()
    frontier.on_change = news.set
    busy: set[asyncio.Task[None]] = set()
    frontier.free_capacity = lambda: workers - len(busy)
    frontier.prefetch = workers
    while drive.done < requests:
        while len(busy) < workers and (lease := frontier.acquire()) is not None:
            task = asyncio.ensure_future(drive.work(lease))
            busy.add(task)
            task.add_done_callback(busy.discard)
        news.clear()
        await news.wait()
        await asyncio.sleep(0)


async def over_redis(
    server: RedisServer, requests: int, groups: int, workers: int
) -> Measured:
    """Measure the frontier in Redis."""
    link = RedisConnection(parse(server.url, "scale", "job"))
    frontier = RedisFrontier(link, Member(node="node", spider="spider"))
    await frontier.join()
    frontier.start()
    before = memory(server)
    drive = Drive(frontier, requests, groups)
    started_s = time.perf_counter()
    await fill(frontier, drive)
    filled_s = time.perf_counter()
    waiting = memory(server) - before
    frontier.on_change()
    again_s = time.perf_counter()
    await by_workers(frontier, drive, requests, workers)
    seconds = time.perf_counter() - again_s + filled_s - started_s
    done = memory(server) - before
    exchanges = link.exchanges
    await frontier.quit()
    return Measured(
        requests,
        seconds,
        requests / seconds,
        waiting / requests,
        done / requests,
        exchanges / requests,
    )


def embedded(requests: int, groups: int) -> Measured:
    """Measure the frontier in a private file."""
    frontier = SqliteFrontier()
    before = own_memory()
    drive = Drive(frontier, requests, groups)
    started_s = time.perf_counter()
    while entries := drive.entries(500):
        frontier.push(entries)
    waiting = own_memory() - before
    for _ in range(requests):
        lease = frontier.acquire()
        assert lease is not None
        frontier.ack(lease.lease_id)
    seconds = time.perf_counter() - started_s
    frontier.close()
    return Measured(requests, seconds, requests / seconds, waiting / requests, 0.0, 0.0)


def memory(server: RedisServer) -> int:
    """Return the bytes that Redis uses."""
    return int(server.client.info("memory")["used_memory"])


def own_memory() -> int:
    """Return the bytes that this process has used at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--embedded", action="store_true")
    args = parser.parse_args()
    if args.embedded:
        found = embedded(args.requests, args.groups)
    else:
        with (
            tempfile.TemporaryDirectory() as folder,
            redis_server(Path(folder)) as server,
        ):
            found = asyncio.run(
                over_redis(server, args.requests, args.groups, args.workers)
            )
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main()
