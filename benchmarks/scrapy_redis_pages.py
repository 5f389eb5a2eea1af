"""scrapy-redis: two Scrapy processes, one queue in a Redis server of their own.

Its spiders never end by themselves. They are told to after two idle seconds, which are
no part of what is measured: that ends with the last byte written.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from scrapy import Request
from scrapy_redis.spiders import RedisSpider

from benchmarks.common import arguments, facts, links, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.http import Response

PROCESSES = 2
IDLE_S = 2
START_S = 10.0
KEY = "pages:start_urls"


class PagesSpider(RedisSpider):  # type: ignore[misc]  # it brings no types
    """The spider of ``scrapy_pages.py``, fed by Redis."""

    name = "pages"
    redis_key = KEY
    out = ""
    work = "save"

    def parse(self, response: Response) -> Iterator[Request]:
        """Ask for the pages."""
        for url in links(response.body, response.url):
            yield Request(url, self.parse_page)

    def parse_page(self, response: Response) -> Iterator[dict[str, object]]:
        """Do the work on one page."""
        if self.work == "save":
            (Path(self.out) / name_of(response.url)).write_bytes(response.body)
        else:
            yield facts(response.url, response.body)


def main() -> None:
    """Start Redis and both crawls, hand in the list page, wait for all."""
    list_url, out, work, in_flight = arguments()
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis.sock"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""]
        )
        try:
            client = redis.Redis(unix_socket_path=socket)
            _until_it_answers(client)
            client.rpush(KEY, json.dumps({"url": list_url}))
            crawls = [
                subprocess.Popen(_command(socket, out, work, in_flight, index))
                for index in range(PROCESSES)
            ]
            code = max(crawl.wait() for crawl in crawls)
        finally:
            server.terminate()
            server.wait()
    sys.exit(code)


def _until_it_answers(client: redis.Redis) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _command(
    socket: str, out: Path, work: str, in_flight: int, index: int
) -> list[str]:
    settings = (
        f"REDIS_URL=unix://{socket}",
        "SCHEDULER=scrapy_redis.scheduler.Scheduler",
        "DUPEFILTER_CLASS=scrapy_redis.dupefilter.RFPDupeFilter",
        "SCHEDULER_PERSIST=True",  # the first to end would empty the other's queue
        f"MAX_IDLE_TIME_BEFORE_CLOSE={IDLE_S}",
        f"CONCURRENT_REQUESTS={in_flight // PROCESSES}",
        f"CONCURRENT_REQUESTS_PER_DOMAIN={in_flight // PROCESSES}",
        "LOG_LEVEL=INFO",
    )
    feed = ["-O", str(out / f"items-{index}.jsonl")] if work == "parse" else []
    return [
        *(sys.executable, "-m", "scrapy", "runspider", __file__),
        *("-a", f"out={out}", "-a", f"work={work}"),
        *(word for pair in settings for word in ("-s", pair)),
        *feed,
    ]


if __name__ == "__main__":
    main()
