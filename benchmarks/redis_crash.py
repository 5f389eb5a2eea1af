"""What is lost when one of two processes is killed: scrapy-redis, and ours.

``python -m benchmarks.redis_crash`` has two processes that share a Redis crawl 200
pages, kills one of them with SIGKILL when 50 pages were asked for, lets the other come
to its end, and counts the items: of scrapy-redis those that its pipeline put into
Redis, of ours those in both feeds. Three times each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from scrapy import Request, Spider
from scrapy_redis.spiders import RedisSpider

from benchmarks.common import links
from concurcrawl.tools.testsite.process import SiteProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from scrapy.http import Response

PAGES, KILLED_AT, ROUNDS = 200, 50, 3
LATENCY_S = 0.3
DEADLINE_S = 180.0
KEY = "start"
IN_FLIGHT = ("CONCURRENT_REQUESTS=8", "CONCURRENT_REQUESTS_PER_DOMAIN=8")
SETTINGS = {
    "theirs": (
        "SCHEDULER=scrapy_redis.scheduler.Scheduler",
        "DUPEFILTER_CLASS=scrapy_redis.dupefilter.RFPDupeFilter",
        "SCHEDULER_PERSIST=True",  # the first to end would empty the other's queue
        "MAX_IDLE_TIME_BEFORE_CLOSE=10",  # it would never end
        'ITEM_PIPELINES={{"scrapy_redis.pipelines.RedisPipeline": 300}}',
        "REDIS_URL={redis}",
    ),
    "ours": (
        'ADDONS={{"concurcrawl.Addon": 500}}',
        "MODE=async",
        "CONCURCRAWL_FRONTIER_LEASE_S=5",
        "CONCURCRAWL_FRONTIER_URL={redis}",
    ),
}


class Pages(Spider):
    """An item of each page."""

    name = "ours"
    site = ""

    async def start(self) -> AsyncIterator[Request]:
        """Begin with the list page."""
        yield Request(self.site)

    def parse(self, response: Response) -> Iterator[Request]:
        """Ask for the pages."""
        for url in links(response.body, response.url):
            yield Request(url, self.parse_page)

    def parse_page(self, response: Response) -> Iterator[dict[str, str]]:
        """Tell which page it was."""
        yield {"page": response.url}


class SharedPages(RedisSpider):  # type: ignore[misc]  # it brings no types
    """The same, which waits for the list page in Redis."""

    name = "theirs"
    redis_key = KEY
    parse, parse_page = Pages.parse, Pages.parse_page


def crash(whose: str, testsite: SiteProcess, folder: Path) -> str:
    """Crawl once, and return what came of it."""
    socket = folder / "redis.sock"
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    crawls: list[subprocess.Popen[bytes]] = []
    testsite.reset()
    try:
        _until(socket.exists)
        with redis.Redis(unix_socket_path=str(socket)) as client:
            client.rpush(KEY, json.dumps({"url": testsite.list_url}))
            crawls = [_start(whose, testsite.list_url, socket, n) for n in range(2)]
            _until(lambda: testsite.counts().requests >= KILLED_AT)
            crawls[0].kill()
            crawls[1].wait(DEADLINE_S)
            items = client.lrange("theirs:items", 0, -1)
    finally:
        for process in (*crawls, server):
            process.kill()
            process.wait()
    for feed in folder.glob("*.jsonl"):
        items += feed.read_bytes().splitlines()
    found = Counter(json.loads(item)["page"] for item in items)
    return (
        f"{PAGES - len(found)} lost, {found.total() - len(found)} doubled, "
        f"{testsite.counts().requests} requests"
    )


def _start(whose: str, site: str, socket: Path, number: int) -> subprocess.Popen[bytes]:
    settings = [
        text.format(redis=f"unix://{socket}") for text in (*SETTINGS[whose], *IN_FLIGHT)
    ]
    settings += ["SPIDER_MODULES=benchmarks.redis_crash", "LOG_LEVEL=ERROR"]
    command = [sys.executable, "-m", "scrapy", "crawl", whose, "-a", f"site={site}"]
    command += [word for pair in settings for word in ("-s", pair)]
    if whose == "ours":
        command += ["-O", str(socket.parent / f"{number}.jsonl")]
    return subprocess.Popen(command)


def _until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError
        time.sleep(0.01)


def main() -> None:
    """Print a line for each crash."""
    with SiteProcess(pages=PAGES, latency_s=LATENCY_S) as testsite:
        for number in range(ROUNDS):
            for whose in SETTINGS:
                with tempfile.TemporaryDirectory() as folder:
                    told = crash(whose, testsite, Path(folder))
                    print(number, whose, told, flush=True)


if __name__ == "__main__":
    main()
