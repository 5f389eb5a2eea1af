"""Spiders that are ended in the middle, and yield something else the next time."""

import asyncio
import os
import random
import signal
from pathlib import Path
from urllib.parse import urlsplit

import scrapy
from scrapy.dupefilters import BaseDupeFilter, RFPDupeFilter

COUNT = 40


def end_once(folder, how):
    """End this process, the first time; say whether that was now."""
    mark = Path(folder) / "ended"
    if mark.exists():
        return False
    mark.touch()
    os.kill(os.getpid(), getattr(signal, how))
    return True


class Source(scrapy.Spider):
    """A start() of some kind, in the middle of which the process is ended."""

    name = "source"

    def __init__(
        self, site=None, kind=None, how="SIGKILL", at=15, folder=".", **kwargs
    ):
        super().__init__(**kwargs)
        self.site, self.kind, self.how = site, kind, how
        self.at, self.folder = int(at), Path(folder)

    async def start(self):
        number = 0
        async for output in getattr(self, self.kind)():
            yield output
            number += 1
            if number == self.at and end_once(self.folder, self.how):
                await asyncio.Event().wait()  # until that is noticed

    def asked(self, number, **kwargs):
        url = f"{self.site}/status/200?{number}"
        return scrapy.Request(
            url, cb_kwargs={"number": str(number)}, dont_filter=True, **kwargs
        )

    async def rows(self):
        for number in range(COUNT):
            if not (self.folder / f"done-{number}").exists():
                yield self.asked(number).replace(dont_filter=False)

    async def shuffled(self):
        for number in random.sample(range(COUNT), COUNT):
            yield self.asked(number)

    async def unordered(self):
        for word in {str(number) for number in range(COUNT)}:
            yield self.asked(word)

    async def queue(self):
        waiting = self.folder / "queue"
        while lines := waiting.read_text().split():
            yield self.asked(lines[0])
            waiting.write_text("\n".join(lines[1:]))

    async def items(self):
        for number in random.sample(range(COUNT), COUNT):
            yield self.asked(number) if number % 3 else {"number": str(number)}

    async def thrice(self):
        for number in range(COUNT):
            for _ in range(3):
                yield self.asked(number)

    async def kwargs_alone(self):
        for number in random.sample(range(COUNT), COUNT):
            yield self.asked(number).replace(url=f"{self.site}/status/200")

    async def broken(self):
        for number in random.sample(range(COUNT), COUNT):
            yield self.asked(number)
            if number == 0 and not (self.folder / "broken").exists():
                (self.folder / "broken").touch()
                raise ValueError("in the middle")

    def parse(self, response, number):
        (self.folder / f"done-{number}").touch()
        yield {"number": number}


class News(scrapy.Spider):
    """A page whose links are others each day."""

    name = "news"

    def __init__(self, site=None, links=None, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{site}/status/200?news"]
        self.links = int(links)

    def parse(self, response):
        for number in range(self.links):
            yield response.follow(f"?{number}", self.parse_link)

    def parse_link(self, response):
        yield {"link": response.url.rpartition("?")[2]}


class EndsAtItem:
    """Ends the supervisor when it has had some items."""

    def __init__(self, crawler):
        self.crawler, self.items = crawler, 0

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def process_item(self, item):
        spider = self.crawler.spider
        self.items += 1
        if self.items == 12:
            end_once(spider.folder, spider.how)
        return item


class Stateful(scrapy.Spider):
    """Callbacks write into the spider's state, in several ways."""

    name = "stateful"
    custom_settings = {"ITEM_PIPELINES": {EndsAtItem: 1}}

    def __init__(self, site=None, how="SIGKILL", bad="", folder=".", **kwargs):
        super().__init__(**kwargs)
        self.site, self.how, self.bad, self.folder = site, how, bad, folder

    async def start(self):
        self.state["starts"] = self.state.get("starts", 0) + 1
        for number in range(COUNT):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        number = int(response.url.rpartition("?")[2])
        self.state["pages"] = self.state.get("pages", 0) + 1
        self.state.setdefault("seen", set()).add(number)
        kinds = self.state.setdefault("kinds", {})
        kinds[number % 3] = kinds.get(number % 3, 0) + 1
        self.state.setdefault("order", []).append(number)
        if self.bad:
            self.state["bad"] = lambda: number
        yield {"number": number}

    def closed(self, reason):
        self.state["closed"] = self.state.get("closed", 0) + 1


class ByPath(RFPDupeFilter):
    """Scrapy's, by another fingerprint; its file is written now and then."""

    @classmethod
    def from_crawler(cls, crawler):
        found = super().from_crawler(crawler)
        found.crawler = crawler
        return found

    def request_seen(self, request):
        seen = super().request_seen(request.replace(url=request.url.partition("&")[0]))
        self.crawler.spider.asked_for(request, self.file.flush)
        return seen


class ByLine(BaseDupeFilter):
    """Writes a line for each request, to a file that it opens each time."""

    @classmethod
    def from_crawler(cls, crawler):
        found = cls()
        found.crawler, found.seen = crawler, set()
        return found

    def open(self):
        self.path = Path(self.crawler.spider.folder) / "lines"
        if self.path.exists():
            self.seen = set(self.path.read_text().split())

    def request_seen(self, request):
        url = urlsplit(request.url).query.partition("&")[0]
        if url in self.seen:
            return True
        self.seen.add(url)
        with self.path.open("a") as file:
            file.write(f"{url}\n")
        self.crawler.spider.asked_for(request, lambda: None)
        return False

    def log(self, request, spider):
        pass


class Filtered(scrapy.Spider):
    """A tree of pages, found often; ended when the filter has noted one of them."""

    name = "filtered"

    def __init__(self, site=None, at="n25", folder=".", **kwargs):
        super().__init__(**kwargs)
        self.site, self.at, self.folder = site, at, folder

    async def start(self):
        yield scrapy.Request(f"{self.site}/status/200?n1")

    def asked_for(self, request, flush):
        if request.url.partition("?")[2].partition("&")[0] == self.at:
            flush()
            end_once(self.folder, "SIGKILL")

    def parse(self, response):
        number = int(response.url.partition("?n")[2].partition("&")[0])
        yield {"number": number}
        for linked in (2 * number, 2 * number + 1, number // 2, number + 1):
            if 0 < linked < 64:
                yield response.follow(f"?n{linked}")


class Listed(scrapy.Spider):
    """Its start() returns a list."""

    name = "listed"

    async def start(self):
        return []
