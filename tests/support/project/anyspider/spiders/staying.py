"""Spiders whose requests hold what lives in one process."""

import os
import socket
from importlib import import_module

import scrapy
from scrapy import signals
from scrapy.utils.engine import get_engine_status


class Sockets:
    """Opens something for each request, as a browser driver does."""

    def process_request(self, request):
        request.meta.setdefault("driver", None)
        if request.meta["driver"] is None:
            request.meta["driver"] = socket.socket()


class Live(scrapy.Spider):
    """A page refuses at first, others are elsewhere."""

    name = "live"
    custom_settings = {
        "DOWNLOADER_MIDDLEWARES": {Sockets: 543},
        "CONCURCRAWL_MAX_PAUSE_S": 5,
    }

    def __init__(self, site):
        super().__init__()
        self.site = site

    async def start(self):
        yield self.request("flaky/live")
        for n in range(3):
            yield self.request(f"redirect/{n}")
            yield self.request(f"status/200?{n}")

    def request(self, path):
        return scrapy.Request(f"{self.site}/{path}", errback=self.failed)

    def parse(self, response):
        yield {"page": response.url.removeprefix(self.site)}

    def failed(self, failure):
        yield {"failed": repr(failure.value)}


class Chain(scrapy.Spider):
    """Each page passes what it has open on to the next."""

    name = "chain"

    def __init__(self, site, length=6):
        super().__init__()
        self.site = site
        self.length = int(length)

    async def start(self):
        for chain in "ab":
            yield scrapy.Request(f"{self.site}/hang?s=0.1&{chain}=0")
        status = dict(get_engine_status(self.crawler.engine))
        waiting = [status[f"len(engine.scheduler.{q})"] for q in ("dqs or []", "mqs")]
        self.logger.info("Waiting: %s", waiting)

    def parse(self, response, number=0):
        link = response.url.removeprefix(self.site)
        yield {"page": link}
        if number < self.length:
            driver = response.meta.get("driver") or socket.socket()
            following = f"{response.url.rpartition('=')[0]}={number + 1}"
            for _ in range(2):  # the second is a duplicate
                yield scrapy.Request(
                    following,
                    cb_kwargs={"number": number + 1},
                    meta={"driver": driver},
                )
            yield response.follow(f"/status/200?{link[-3:]}", self.parse_side)

    def parse_side(self, response):
        yield {"side": response.url.removeprefix(self.site)}


class Contexts:
    """A browser with contexts: what is put into one stays in this process."""

    def __init__(self):
        self.logged_in = set()

    def process_request(self, request):
        context = request.meta.get("playwright_context")
        if request.meta.get("logs_in"):
            self.logged_in.add(context)
        request.headers["X-Number"] = str(int(context in self.logged_in))


class LoggedIn(scrapy.Spider):
    """Logs in with two contexts, then asks for pages of theirs and of neither."""

    name = "logged_in"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {Contexts: 543}}

    def __init__(self, site):
        super().__init__()
        self.site = site

    async def start(self):
        for context in "ab":
            meta = {"playwright_context": context, "logs_in": True}
            yield scrapy.Request(f"{self.site}/echo?{context}", self.ask, meta=meta)

    def ask(self, response):
        context = response.meta["playwright_context"]
        for n in range(10):
            meta = {"playwright_context": context}
            yield response.follow(f"/echo?{context}{n}", meta=meta)
            yield response.follow(f"/status/200?{context}{n}", self.parse_other)

    def parse(self, response):
        yield {
            "is_in": response.json()["number"],
            "context": response.meta["playwright_context"],
            "process": os.getpid(),
        }

    def parse_other(self, response):
        yield {"other": response.url}


class Remembering:
    """A spider middleware with a file that only one process can have."""

    @classmethod
    def from_crawler(cls, crawler):
        it = cls()
        it.path = crawler.settings["SEEN"]
        crawler.signals.connect(it.opened, signals.spider_opened)
        crawler.signals.connect(it.closed, signals.spider_closed)
        return it

    def opened(self):
        with open(f"{self.path}.opened", "a") as opened:
            opened.write(f"{os.getpid()}\n")
        # So that its code does not show it: it is known when it is opened.
        self.seen = import_module("dbm").open(self.path, "c")

    def closed(self):
        self.seen.close()

    async def process_spider_output(self, response, result):
        async for output in result:
            self.seen[response.url] = b"1"
            yield output


class Remembers(scrapy.Spider):
    name = "remembers"
    custom_settings = {"SPIDER_MIDDLEWARES": {Remembering: 543}}

    def __init__(self, site):
        super().__init__()
        self.start_urls = [f"{site}/status/200?{n}" for n in range(4)]

    def parse(self, response):
        yield {"page": response.url.partition("?")[2]}
