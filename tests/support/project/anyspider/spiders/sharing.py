"""Spiders that share flags, counts and resources with the rest of the crawl."""

import itertools
import subprocess
import sys
from pathlib import Path

import scrapy
from scrapy.exceptions import CloseSpider, IgnoreRequest

from anyspider.spiders.many import Site


class Flags:
    """Pipeline that changes attributes of the spider."""

    @classmethod
    def from_crawler(cls, crawler):
        it = cls()
        it.crawler = crawler
        return it

    def process_item(self, item):
        spider = self.crawler.spider
        spider.counts["items"] += 1
        if spider.counts["items"] == 5:
            spider.seen.append(item["by"])
            spider.is_over = True
            del spider.is_young
        return item


class Flagged(Site):
    """Goes on until it finds what the pipeline has set."""

    name = "flagged"
    custom_settings = {"ITEM_PIPELINES": {Flags: 1}, "CLOSESPIDER_TIMEOUT": 30}
    own = "nobody's"
    seen = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.is_young = True
        self.counts = {"items": 0}

    async def start(self):
        for number in range(4):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        self.own = response.url
        changed = (self.is_over, self.seen, self.counts["items"] >= 5)
        if all(changed) and not hasattr(self, "is_young"):
            raise CloseSpider("flagged")
        yield {"by": self.own}
        yield response.follow(f"{response.url}+")

    is_over = False


class Totals(Site):
    """Visits one page after the other; each reads what all before have counted."""

    name = "totals"

    async def start(self):
        yield scrapy.Request(f"{self.site}/status/200?1", cb_kwargs={"number": 1})

    def parse(self, response, number):
        stats = self.crawler.stats
        stats.inc_value("pages")
        stats.max_value("highest", number)
        stats.set_value("latest", number)
        seen = [stats.get_value(key) for key in ("pages", "highest", "latest")]
        everything = stats.get_stats()
        assert everything["start_time"]
        yield {"number": number, "seen": [*seen, everything["pages"]]}
        if number < 10:
            url = f"/status/200?{number + 1}"
            yield response.follow(url, cb_kwargs={"number": number + 1})


class Budget:
    """Downloader middleware that lets so many requests pass, in all processes."""

    def __init__(self, crawler):
        self.stats = crawler.stats

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def process_request(self, request):
        self.stats.inc_value("budget")
        if self.stats.get_value("budget") > 50:
            raise IgnoreRequest("budget")


class Frugal(Site):
    name = "frugal"
    custom_settings = {
        "DOWNLOADER_MIDDLEWARES": {Budget: 543},
        "CONCURRENT_REQUESTS": 4,
    }

    async def start(self):
        for number in itertools.count():
            yield scrapy.Request(f"{self.site}/status/200?{number}")
            if number == 400:
                return

    def parse(self, response):
        yield {"by": "a page"}


class Opening(Site):
    """Starts a process and opens a file, each time that it is made."""

    name = "opening"

    def __init__(self, *args, folder, fails="", **kwargs):
        super().__init__(*args, **kwargs)
        self.folder, self.fails, self.urls = Path(folder), bool(fails), []
        code = "import time; time.sleep(600)"
        self.browser = subprocess.Popen([sys.executable, "-c", code])
        (self.folder / f"started-{self.browser.pid}").touch()

    async def start(self):
        for number in range(8):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        (self.folder / "callback").touch()
        self.urls.append(response.url)
        yield {"by": "a page"}

    def closed(self, reason):
        (self.folder / f"closed-{self.browser.pid}").write_text(reason)
        self.logger.info("%s pages here", len(self.urls))
        self.browser.kill()
        self.browser.wait()
        if self.fails:
            raise RuntimeError("as it closes")
