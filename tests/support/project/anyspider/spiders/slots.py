"""Spiders whose project writes to slots of the downloader, and that ask what waits."""

import scrapy
from scrapy import signals
from scrapy.core.downloader import Slot

#: What is written to the slots.
DELAY_S = 0.5


class Slowing:
    """Middleware or extension that slows a slot down at each of its responses."""

    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def slow_down(self, request):
        downloader = self.crawler.engine.downloader
        name = request.meta["download_slot"]
        assert name == downloader.get_slot_key(request)
        slot = downloader.slots[name]
        slot.delay = DELAY_S
        assert slot.delay == DELAY_S


class SlowingMiddleware(Slowing):
    def process_response(self, request, response):
        self.slow_down(request)
        return response


class SlowingExtension(Slowing):
    def __init__(self, crawler):
        super().__init__(crawler)
        crawler.signals.connect(self.received, signals.response_received)

    def received(self, request):
        self.slow_down(request)


class GroupingMiddleware:
    """Puts each request into a slot of its own making, without a delay."""

    def __init__(self, crawler):
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def process_request(self, request):
        name = "api@127.0.0.1"
        slots = self.crawler.engine.downloader.slots
        if name not in slots:
            slots[name] = Slot(concurrency=8, delay=0, jitter=0)
        request.meta["download_slot"] = name


class OneAtATime:
    """Extension that limits a site before it was ever asked."""

    def __init__(self, crawler):
        self.crawler = crawler
        crawler.signals.connect(self.spider_opened, signals.spider_opened)

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def spider_opened(self):
        slots = self.crawler.engine.downloader.slots
        slots["127.0.0.1"] = Slot(concurrency=1, delay=0, jitter=0)


class Pages(scrapy.Spider):
    custom_settings = {"DOWNLOAD_DELAY_JITTER": 0, "CONCURRENT_REQUESTS": 4}

    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{site}/hang?s=0.05&n={n}" for n in range(7)]

    def parse(self, response):
        yield {"url": response.url}


class SlowedByMiddleware(Pages):
    name = "slowed_by_middleware"
    custom_settings = {
        **Pages.custom_settings,
        "DOWNLOADER_MIDDLEWARES": {SlowingMiddleware: 50},
    }


class SlowedByExtension(Pages):
    name = "slowed_by_extension"
    custom_settings = {
        **Pages.custom_settings,
        "EXTENSIONS": {SlowingExtension: 50},
    }


class Grouped(Pages):
    name = "grouped"
    custom_settings = {
        **Pages.custom_settings,
        "DOWNLOAD_DELAY": 60,
        "DOWNLOADER_MIDDLEWARES": {GroupingMiddleware: 950},
    }


class Single(Pages):
    name = "single"
    custom_settings = {**Pages.custom_settings, "EXTENSIONS": {OneAtATime: 50}}


class Lazy(scrapy.Spider):
    """Makes requests only when none waits; ends when that was so often enough."""

    name = "lazy"
    custom_settings = {
        "DOWNLOAD_DELAY_JITTER": 0,
        "CONCURRENT_REQUESTS": 4,
        "DOWNLOAD_DELAY": 0.05,
    }

    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)
        self.site = site

    async def start(self):
        for number in range(12):
            yield scrapy.Request(f"{self.site}/hang?s=0.01&n={number}")
            if number % 4 == 3 or self.crawler.engine.needs_backout():
                await self.crawler.signals.wait_for(signals.scheduler_empty)
                waiting = len(self.crawler.engine.scheduler)
                self.logger.info("%d requests wait", waiting)
        await self.crawler.signals.wait_for(signals.scheduler_empty)
        raise scrapy.exceptions.CloseSpider("enough")

    def parse(self, response):
        yield {"url": response.url}
