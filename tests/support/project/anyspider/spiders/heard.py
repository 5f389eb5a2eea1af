"""A spider whose extension writes down all that signals tell it, and own signals."""

import asyncio
import json
import socket

import scrapy
from scrapy import signals
from scrapy.exceptions import DropItem

PAGES = 3

#: Signals of the project's own, found by their place or by their value.
done = object()
BY_VALUE = ("heard", 7)


class Kinds:
    placed = object()


#: Signals of Scrapy, and what the extension is told with each.
TOLD = {
    "request_reached_downloader": ("request",),
    "request_left_downloader": ("request",),
    "response_downloaded": ("request", "response"),
    "response_received": ("request", "response"),
    "spider_error": ("failure", "response"),
    "item_scraped": ("item", "response"),
    "item_dropped": ("item", "response", "exception"),
    "item_error": ("item", "response", "failure"),
}


def about_request(request):
    wanted = ("mw", "seen", "row", "depth", "missing")
    return {
        "url": request.url.partition("?")[2],
        "agent": request.headers.get("User-Agent", b"").decode()[:6],
        "mw": request.headers.get("X-Mw", b"").decode(),
        "flags": request.flags,
        "meta": {name: request.meta[name] for name in wanted if name in request.meta},
    }


def about_response(response):
    return {
        "kind": type(response).__name__,
        "title": response.css("title::text").get(),
        "encoding": response.encoding,
        "length": len(response.body),
        "status": response.status,
        "address": str(response.ip_address),
        "flags": response.flags,
    }


class Extension:
    """Writes a line for all it hears."""

    def __init__(self, crawler):
        self.crawler = crawler
        self.file = open(crawler.settings["HEARD"], "a")

    @classmethod
    def from_crawler(cls, crawler):
        extension = cls(crawler)
        late = crawler.settings["LATE"]
        if late == "opened":
            crawler.signals.connect(extension.begin, signals.spider_opened)
        elif late == "page":
            crawler.signals.connect(extension.on_page, signals.response_received)
        else:
            extension.begin()
        return extension

    def on_page(self):
        self.crawler.signals.disconnect(self.on_page, signals.response_received)
        self.begin()

    def begin(self):
        self.receivers = []  # signals hold them weakly
        for name, arguments in TOLD.items():
            receiver = self.receiver(name, arguments)
            self.receivers.append(receiver)
            self.crawler.signals.connect(receiver, getattr(signals, name))
        self.crawler.signals.connect(self.on_own, done)
        self.crawler.signals.connect(self.on_own, BY_VALUE)
        self.crawler.signals.connect(self.on_placed, Kinds.placed)

    def receiver(self, name, arguments):
        def request_and_response(request, response):
            self.write(name, about_request(request), about_response(response))

        def only_request(request):
            self.write(name, about_request(request))

        def only_response(response):
            request = about_request(response.request)
            self.write(name, request, about_response(response))

        if "response" not in arguments:
            return only_request
        return request_and_response if "request" in arguments else only_response

    async def on_placed(self, **about):
        await asyncio.sleep(0.01)
        self.on_own(**about)

    def on_own(self, **about):
        told = {name: about[name] for name in ("page", "what") if name in about}
        if "response" in about:
            told["title"] = about["response"].css("title::text").get()
        self.write("own", told)

    def write(self, name, *told):
        self.file.write(json.dumps([name, *told], sort_keys=True) + "\n")
        self.file.flush()


class Pipeline:
    def process_item(self, item):
        if item["what"] == "drop":
            raise DropItem("no")
        if item["what"] == "fail":
            raise ValueError("no")
        return item


class Marks:
    """A downloader middleware that adds to requests and sends signals."""

    @classmethod
    def from_crawler(cls, crawler):
        middleware = cls()
        middleware.crawler = crawler
        crawler.signals.connect(middleware.on_done, done)
        return middleware

    def on_done(self):
        self.crawler.stats.inc_value("heard/by_middleware")

    def process_request(self, request):
        request.headers["X-Mw"] = "m"
        request.meta["mw"] = ["m"]
        request.flags.append("marked")
        if self.crawler.settings.getbool("LIVE"):
            request.meta["live"] = socket.socket()

    def process_response(self, request, response):
        send = self.crawler.signals.send_catch_log
        send(done, page=request.url[-1], what="done", response=response)
        send(BY_VALUE, page=request.url[-1], what=BY_VALUE)
        if self.crawler.settings.getbool("LIVE"):
            send(BY_VALUE, page=request.url[-1], socket=request.meta["live"])
        return response.replace(flags=["passed"])


class Heard(scrapy.Spider):
    name = "heard"
    custom_settings = {
        "EXTENSIONS": {Extension: 1},
        "DOWNLOADER_MIDDLEWARES": {Marks: 550},
        "ITEM_PIPELINES": {Pipeline: 1},
    }

    def __init__(self, site):
        super().__init__()
        self.site = site

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.on_placed, Kinds.placed)
        return spider

    def on_placed(self):
        self.crawler.stats.inc_value("heard/by_spider")

    async def start(self):
        first = [1] if self.settings.getbool("CHAIN") else range(1, PAGES + 1)
        for n in first:
            yield self.request(n)

    def request(self, n):
        return scrapy.Request(f"{self.site}/quotes/{n}?{n}", meta={"row": n})

    async def parse(self, response):
        response.meta["seen"] = "cb"
        page = response.url[-1]
        await self.crawler.signals.send_catch_log_async(
            Kinds.placed, page=page, what="placed"
        )
        if self.settings.getbool("CHAIN") and int(page) < PAGES:
            yield self.request(int(page) + 1)
        for what in ("keep", "drop", "fail"):
            yield {"page": page, "what": what}
        raise ValueError("no")
