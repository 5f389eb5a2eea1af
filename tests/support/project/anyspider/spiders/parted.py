"""A page of which so much comes that its worker sends it in parts."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import scrapy
from scrapy.exceptions import CloseSpider

#: One part has some ten requests, or items, with this.
_PADDING = "x" * 20_000


class Parted(scrapy.Spider):
    """Requests and items, and whoever has a hand in them dies on the way, once.

    ``dies`` says who and when: the worker in the middle of its callback, everybody in
    the middle of that, or the supervisor in the middle of taking in what came.
    """

    name = "parted"
    custom_settings = {"CONCURRENT_ITEMS": 4, "LOG_LEVEL": "INFO"}

    def __init__(self, site=None, folder=".", links=60, dies="nobody", **kwargs):
        super().__init__(**kwargs)
        self.site, self.links, self.dies = site, int(links), dies
        self.folder = Path(folder)
        self.scheduled = 0

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.schedule, scrapy.signals.request_scheduled)
        return spider

    async def start(self):
        yield scrapy.Request(f"{self.site}/status/200?list")

    async def parse(self, response):
        for number in range(self.links):
            yield scrapy.Request(
                f"{self.site}/status/200?{number}",
                self.parse_page,
                cb_kwargs={"number": number, "padding": _PADDING},
                dont_filter=True,
            )
            yield {"listed": number, "padding": _PADDING}
            if number == self.links // 2 and self.dies in ("worker", "all"):
                if self.is_first("half"):
                    await asyncio.sleep(1)  # what there is has gone ahead
                    (self.folder / "sent").touch()
                    if self.dies == "worker":
                        os.kill(os.getpid(), signal.SIGKILL)
                    await asyncio.sleep(60)

    def parse_page(self, response, number, padding):
        yield {"page": number}

    def schedule(self, request):
        self.scheduled += "list" not in request.url
        if self.dies == "supervisor" and self.scheduled == self.links // 2:
            if self.is_first("scheduled"):
                os.kill(os.getpid(), signal.SIGKILL)

    def is_first(self, name):
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class ManyLinks(scrapy.Spider):
    """One page with very many links, and the first of them ends the crawl."""

    name = "many_links"
    custom_settings = {"LOG_LEVEL": "INFO"}

    def __init__(self, site=None, folder=".", links=10, **kwargs):
        super().__init__(**kwargs)
        self.site, self.links = site, int(links)
        self.folder = Path(folder)

    async def start(self):
        yield scrapy.Request(f"{self.site}/status/200?list")

    def parse(self, response):
        for number in range(self.links):
            yield scrapy.Request(f"{self.site}/status/200?{number:07}", self.end)

    def end(self, response):
        yield {"seen": response.url}
        raise CloseSpider("seen")

    def closed(self, reason):
        # In each process; the supervisor closes last.
        status = Path("/proc/self/status").read_text()
        peak_kb = re.search(r"VmHWM:\s*(\d+)", status)[1]
        told = f"{peak_kb} {'pycurl' in sys.modules}"
        (self.folder / "supervisor").write_text(told)
