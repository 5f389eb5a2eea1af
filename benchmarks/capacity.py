"""Measures how many pages one supervisor can feed to workers that only answer.

A process of its own plays all workers: it answers each request at once with what a page
usually comes to, an item of 5 kB and one new request. So what is measured is the
supervisor alone: frontier, dispatch, commit, stats and pipelines. Run it in a checkout:

    python -m benchmarks.capacity --pages 20000 --workers 8 --in-flight 64

It prints one line of JSON: pages per second, CPU per page in milliseconds, and the peak
of the supervisor's memory. With ``--table`` it prints the table of docs/cluster.md for
that cost too; ``--table MS`` prints that of any cost, and measures nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import scrapy
from scrapy import signals
from scrapy.crawler import Crawler, CrawlerProcess
from typing_extensions import override

from concurcrawl.workers.launch.base import Launcher, WorkerConnection
from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.messages.leases import Dispatch
from concurcrawl.workers.protocol.messages.lifecycle import Ping, Pong, Ready, Stop
from concurcrawl.workers.protocol.messages.results import Product, RequestResult
from concurcrawl.workers.protocol.pickle_codec import Codec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "127.0.0.1"

#: Where the supervisor takes its launcher from.
LAUNCHER = "concurcrawl.workers.supervisor.starter.launcher"

ITEM_BYTES = 5_000

#: What Scrapy counts for a page in a worker.
STATS = {
    ("inc", "downloader/request_count"): 1,
    ("inc", "downloader/request_method_count/GET"): 1,
    ("inc", "downloader/request_bytes"): 230,
    ("inc", "downloader/response_count"): 1,
    ("inc", "downloader/response_status_count/200"): 1,
    ("inc", "downloader/response_bytes"): 5_200,
    ("inc", "response_received_count"): 1,
}


#: Milliseconds of CPU in a worker for pages that are simple, usual, and rendered.
PAGE_MS = (5, 50, 300)

DAY_S = 86_400


def table(cost_ms: float) -> str:
    """Return how many cores one supervisor feeds, as Markdown.

    Args:
        cost_ms: Its CPU per page, in milliseconds.
    """
    head = (
        "CPU per page in a worker",
        "pages per day of one core",
        "cores that one supervisor feeds",
        "pages per day",
    )
    rows = [
        (
            f"{page_ms} ms",
            _rough(DAY_S * 1000 / page_ms),
            _rough(page_ms / cost_ms),
            _rough(DAY_S * 1000 / cost_ms),
        )
        for page_ms in PAGE_MS
    ]
    lines = [head, (":---", "---:", "---:", "---:"), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rough(number: float) -> str:
    """Return two digits of *number*, in words where it is large."""
    rough = float(f"{number:.2g}")
    return f"{rough / 1e6:g} million" if rough >= 1e6 else f"{rough:,.0f}"


class Answering(asyncio.Protocol):
    """A worker that answers each request without doing it."""

    left = 0

    def __init__(self, ended: asyncio.Event, page: tuple[bytes, bytes]) -> None:
        self._ended = ended
        self._item, self._request = page
        self._frames = Frames()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        Answering.left += 1
        transport.write(frame(Ready(os.getpid())))

    @override
    def data_received(self, data: bytes) -> None:
        answers = []
        for message in self._frames.feed(data):
            match message:
                case Dispatch(lease_id=lease_id):
                    answers.append(frame(self._result(lease_id)))
                case Ping():
                    answers.append(frame(Pong(is_moving=True)))
                case Stop():
                    self._transport.close()
        self._transport.write(b"".join(answers))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        Answering.left -= 1
        if not Answering.left:
            self._ended.set()

    def _result(self, lease_id: int) -> RequestResult:
        item = Product(is_item=True, payload=self._item)
        new = Product(
            is_item=False,
            payload=self._request,
            key=b"%020d" % lease_id,
            host=HOST,
            group=HOST,
        )
        return RequestResult(
            lease_id,
            status=200,
            products=[item, new],
            size_bytes=len(self._item) + len(self._request),
            items=1,
            stats=dict(STATS),
        )


async def answer(sockets: list[socket.socket], page: tuple[bytes, bytes]) -> None:
    """Be all workers until the supervisor stops them."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in sockets:
        await loop.create_unix_connection(lambda: Answering(ended, page), sock=one)
    await ended.wait()


class AnsweringLauncher(Launcher):
    """Starts one process that plays all workers."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._started = 0
        self._pid = 0

    @override
    def start(self) -> WorkerConnection:
        if not self._pid:
            self._fork()
        self._started += 1
        return WorkerConnection(self._pairs[self._started - 1][0])

    @override
    def close(self) -> None:
        if self._pid:
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _fork(self) -> None:
        codec = Codec()
        item = {"url": f"http://{HOST}/", "text": "x" * ITEM_BYTES}
        request = scrapy.Request(f"http://{HOST}/next")
        page = codec.encode(item), codec.encode(request)
        # Not earlier: the fork server would have the other ends, and keep them open.
        self._pairs = [socket.socketpair() for _ in range(self._workers)]
        self._pid = os.fork()
        if self._pid:
            for _, theirs in self._pairs:
                theirs.close()
            return
        for ours, _ in self._pairs:
            ours.close()
        try:
            asyncio.run(answer([theirs for _, theirs in self._pairs], page))
        finally:
            os._exit(0)


class Seeds(scrapy.Spider):
    """Starts as many requests as may be in flight; each brings the next."""

    name = "capacity"
    seeds = 64

    @override
    async def start(self) -> AsyncIterator[scrapy.Request]:
        for number in range(self.seeds):
            yield scrapy.Request(f"http://{HOST}/{number}")

    def parse(self, response: Any) -> None:
        """Is never called: workers only answer."""


class Clock:
    """Ends the crawl after so many items and notes what they took."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._pages = crawler.settings.getint("CAPACITY_PAGES")
        self._count = 0
        crawler.signals.connect(self._opened, signals.engine_started)
        crawler.signals.connect(self._scraped, signals.item_scraped)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Clock:
        """Make one; Scrapy calls this."""
        return cls(crawler)

    def _opened(self) -> None:
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def _scraped(self) -> None:
        self._count += 1
        if self._count == self._pages:
            self._report()
            asyncio.ensure_future(  # noqa: RUF006 - the engine outlives it
                self._crawler.engine.close_spider_async(reason="measured")
            )

    def _report(self) -> None:
        cpu_s = time.process_time() - self._cpu_s
        wall_s = time.perf_counter() - self._wall_s
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = {
            "pages": self._pages,
            "pages_per_s": round(self._pages / wall_s),
            "cpu_ms_per_page": round(1000 * cpu_s / self._pages, 4),
            "peak_rss_mb": round(peak_kb / 1024),
        }
        print(json.dumps(found), flush=True)
        if self._crawler.settings.getbool("CAPACITY_TABLE"):
            print(table(1000 * cpu_s / self._pages), flush=True)


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity")
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--jobdir", default=None, help="keep the frontier there")
    parser.add_argument(
        "--table",
        nargs="?",
        const=0.0,
        type=float,
        metavar="MS",
        help="print the table for this cost of a page, or for the measured one",
    )
    options = parser.parse_args()
    if options.table:
        print(table(options.table))
        return
    launcher = AnsweringLauncher(options.workers)
    Seeds.seeds = options.in_flight * 2
    process = CrawlerProcess(
        {
            "ADDONS": {"concurcrawl.Addon": 500},
            "MODE": "hybrid",
            "CONCURCRAWL_WORKERS": options.workers,
            "CONCURRENT_REQUESTS": options.in_flight,
            "JOBDIR": options.jobdir,
            "CAPACITY_PAGES": options.pages,
            "CAPACITY_TABLE": options.table is not None,
            "EXTENSIONS": {Clock: 1},
            "LOG_LEVEL": "WARNING",
            "TELNETCONSOLE_ENABLED": False,
            "REMOTE_CONTROL_ENABLED": False,
        }
    )
    with patch(LAUNCHER, lambda *_: launcher):
        process.crawl(Seeds)
        process.start()


if __name__ == "__main__":
    main()
