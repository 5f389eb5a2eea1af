"""Spiders whose requests wait for other downloads, or for nothing at all."""

import asyncio
import json
import os
import socket
from pathlib import Path

import scrapy
from scrapy.dupefilters import RFPDupeFilter
from scrapy.exceptions import IgnoreRequest


async def fetch(crawler, url):
    request = scrapy.Request(url, dont_filter=True, meta={"is_extra": True})
    response = await crawler.engine.download_async(request)
    return response.status


class Downloads:
    """Downloads what ``meta`` says before and after a request."""

    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    async def process_request(self, request):
        await self._fetch_all(request, "before")

    async def process_response(self, request, response):
        await self._fetch_all(request, "after")
        return response

    async def _fetch_all(self, request, when):
        urls = request.meta.get("node", {}).get(when, ())
        await asyncio.gather(*(fetch(self.crawler, url) for url in urls))


class Pipeline:
    """Downloads what an item says."""

    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    async def process_item(self, item):
        for url in item.pop("urls"):
            await fetch(self.crawler, url)
        return item


class Trees(scrapy.Spider):
    """Crawls the trees of a file: see tests/integration/limits/test_waits.py."""

    name = "trees"
    custom_settings = {
        "ROBOTSTXT_OBEY": True,
        "DOWNLOADER_MIDDLEWARES": {Downloads: 50},
        "ITEM_PIPELINES": {Pipeline: 1},
    }

    def __init__(self, trees, site=None):
        super().__init__()
        self.trees = json.loads(Path(trees).read_text())

    async def start(self):
        for node in self.trees:
            yield self.request(node)

    def request(self, node):
        return scrapy.Request(node["url"], meta={"node": node}, dont_filter=True)

    async def parse(self, response):
        node = response.meta["node"]
        await asyncio.gather(*(fetch(self.crawler, url) for url in node["called"]))
        yield {"page": node["id"], "urls": node["piped"]}
        for child in node["children"]:
            yield self.request(child)


class TokenMiddleware:
    """Needs a token, which it downloads for the first page that it sees."""

    token = None

    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    async def process_request(self, request):
        if request.meta.get("is_extra"):
            return
        if self.token is None:
            self.token = await fetch(self.crawler, self.crawler.spider.url("token"))
        request.headers["X-Token"] = str(self.token)


class BackgroundToken(TokenMiddleware):
    """Has a task of its own fetch it, when all pages wait for it."""

    def __init__(self, crawler):
        super().__init__(crawler)
        self.event = asyncio.Event()
        self.is_fetching = False
        crawler.signals.connect(self.opened, scrapy.signals.spider_opened)

    def opened(self):
        self.task = asyncio.ensure_future(self.fetch_soon())

    async def fetch_soon(self):
        await asyncio.sleep(0.2)
        await fetch(self.crawler, self.crawler.spider.url("token"))
        self.event.set()

    async def process_request(self, request):
        if not request.meta.get("is_extra"):
            await self.event.wait()


class Captcha(TokenMiddleware):
    """Downloads once more before each response goes on."""

    async def process_request(self, request):
        return None

    async def process_response(self, request, response):
        if not request.meta.get("is_extra"):
            await fetch(self.crawler, self.crawler.spider.url("captcha"))
        return response


class Pages(scrapy.Spider):
    name = "pages"

    def __init__(self, site, pages="16", first="0"):
        super().__init__()
        self.site = site
        self.numbers = range(int(first), int(first) + int(pages))

    def url(self, name):
        return f"{self.site}/hang?s=0.01&{name}"

    async def start(self):
        for number in self.numbers:
            yield scrapy.Request(self.url(number), errback=self.failed)

    def parse(self, response):
        yield {"page": response.url.partition("&")[2]}

    def failed(self, failure):
        if failure.check(IgnoreRequest):
            return
        yield {"failed": type(failure.value).__name__}


class WithToken(Pages):
    name = "with_token"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {TokenMiddleware: 500}}


class WithBackgroundToken(Pages):
    name = "with_background_token"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {BackgroundToken: 500}}


class WithCaptcha(Pages):
    name = "with_captcha"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {Captcha: 500}}


class Obeying(Pages):
    name = "obeying"
    custom_settings = {"ROBOTSTXT_OBEY": True}


class Forbidden(Obeying):
    name = "forbidden"

    def url(self, name):
        return f"{self.site}/forbidden/200?{name}"


class Stuck:
    """Waits for what never comes."""

    async def process_request(self, request):
        if request.url.endswith("&3") and "MENDED" not in os.environ:
            await asyncio.get_running_loop().create_future()


class WithStuck(Pages):
    name = "with_stuck"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {Stuck: 500}}


class Patient:
    """Waits for longer than a stalled crawl may, but not for nothing."""

    async def process_request(self, request):
        if request.url.endswith("&3"):
            await asyncio.sleep(3)


class WithPatience(Pages):
    name = "with_patience"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {Patient: 500}}


class CarryingFromStart(Pages):
    """Its first requests hold what cannot leave the process."""

    name = "carrying_from_start"

    async def start(self):
        for number in self.numbers:
            meta = {"driver": socket.socket()}
            yield scrapy.Request(self.url(number), errback=self.failed, meta=meta)


class Banned:
    """Pauses the crawl when the site says so."""

    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def process_response(self, request, response):
        if request.url.endswith("&20") and not request.meta.get("again"):
            self.crawler.engine.pause()
            loop = asyncio.get_running_loop()
            loop.call_later(2, self.crawler.engine.unpause)
            return request.replace(meta={"again": True}, dont_filter=True)
        return response


class Pausing(Pages):
    name = "pausing"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {Banned: 500}}


class Unreadable:
    """Can be written everywhere, and read in workers only."""

    def __init__(self, number):
        self.number = number

    def __setstate__(self, state):
        if os.environ["SUPERVISOR"] == str(os.getpid()):
            raise ValueError("cannot be read here")
        self.__dict__.update(state)


os.environ.setdefault("SUPERVISOR", str(os.getpid()))


class BadFilter(RFPDupeFilter):
    def request_seen(self, request):
        if "bad" in request.url:
            raise ValueError("this filter does not like it")
        return super().request_seen(request)


class FilteredBadly(Pages):
    name = "filtered_badly"
    custom_settings = {"DUPEFILTER_CLASS": BadFilter}

    def parse(self, response):
        yield from super().parse(response)
        if response.url.endswith("&2"):
            yield response.follow(self.url("bad"), self.parse)


class YieldsUnreadable(Pages):
    name = "yields_unreadable"

    def parse(self, response):
        yield from super().parse(response)
        if response.url.endswith("&1"):
            yield Unreadable(1)
        if response.url.endswith("&2"):
            yield response.follow(
                self.url("x"), self.parse, cb_kwargs={"it": Unreadable(1)}
            )
