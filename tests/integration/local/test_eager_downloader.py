"""What may start does so before what has come is looked at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.crawls import DEADLINE_S, environment

#: A crawl of 12 pages, 4 in flight, whose answers come four at a time. Prints, as each
#: is looked at, how many have been asked for; and the most that were in flight.
CRAWL = """
import asyncio
from scrapy import Spider
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import TextResponse

class FourAtATime(BaseDownloadHandler):
    asked, most, inside, full = 0, 0, 0, None

    async def download_request(self, request):
        cls = type(self)
        cls.asked += 1
        cls.inside += 1
        cls.most = max(cls.most, cls.inside)
        full = cls.full = cls.full or asyncio.Event()
        if cls.inside == 4 or cls.asked == 12:
            full.set()
            cls.full = None
        await full.wait()
        while self.crawler.stats.get_value("scheduler/enqueued") < 13:
            await asyncio.sleep(0)  # until all pages are known
        cls.inside -= 1
        return TextResponse(request.url)

    async def close(self):
        pass

class Looking:
    def process_response(self, request, response):
        if request.url.startswith("http"):
            print(FourAtATime.asked)
        return response

class Pages(Spider):
    name = "pages"
    start_urls = ["data:,"]

    def parse(self, response):
        for number in range(12):
            yield response.follow(f"http://site.test/{number}", self.parse_page)

    def parse_page(self, response):
        pass

process = AsyncCrawlerProcess({
    "ADDONS": {"concurcrawl.Addon": 500},
    "CONCURRENT_REQUESTS": 4,
    "DOWNLOADER_MIDDLEWARES": {Looking: 600},
    "DOWNLOAD_HANDLERS": {"http": FourAtATime},
    "LOG_ENABLED": False,
    "MODE": "async",
})
process.crawl(Pages)
process.start()
print(FourAtATime.most)
"""


@pytest.fixture(scope="module")
def told() -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", CRAWL],
        capture_output=True,
        check=True,
        env=environment(),
        text=True,
        timeout=DEADLINE_S,
    )
    return [int(line) for line in done.stdout.split()]


def test_as_many_are_asked_for_as_have_come_before_the_first_is_looked_at(
    told: list[int],
) -> None:
    assert len(told) == 12 + 1
    assert told[0] >= 4 + 4


def test_no_more_are_in_flight_than_may_be(told: list[int]) -> None:
    assert told[-1] == 4
