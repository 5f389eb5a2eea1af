"""Spiders that are odd, but legal. None of them knows of concurcrawl."""

import logging
import uuid
from pathlib import Path

import scrapy
from scrapy import signals

from anyspider.spiders.many import Site


def twice(parse):
    """Is written without functools.wraps, as many a decorator is."""

    def wrapper(self, response):
        for _ in range(2):
            yield from parse(self, response)

    return wrapper


class Named(Site):
    """Has a callback by a name that a heir uses, too."""

    def both(self, response):
        yield {"by": "the base"}

    def __private(self, response):
        yield {"by": "the base's private one"}

    async def start(self):
        yield scrapy.Request(f"{self.site}/status/200?base", self.__private)


class Names(Named):
    """Callbacks that go by another name than their function."""

    name = "names"

    async def start(self):
        async for request in super().start():
            yield request
        for number, callback in enumerate(
            (self.__private, self.decorated, super().both, self.both)
        ):
            yield scrapy.Request(f"{self.site}/status/200?{number}", callback)

    def __private(self, response):
        yield {"by": "a private one"}
        yield response.follow("/status/200?more", self.__private)

    @twice
    def decorated(self, response):
        yield {"by": "a decorated one"}

    def both(self, response):
        yield {"by": "the heir"}


class Stamped(Site):
    """What is unlike in each crawl is one and the same in all callbacks of one."""

    name = "stamped"
    made = uuid.uuid4().hex
    counted = 0

    def __init__(self, site=None, **kwargs):
        super().__init__(site, **kwargs)
        self.stamp = uuid.uuid4()

    async def start(self):
        for number in range(6):
            yield scrapy.Request(
                f"{self.site}/status/200?{number}",
                cb_kwargs={"stamp": self.stamp, "made": self.made},
            )

    def parse(self, response, stamp, made):
        before = self.counted
        type(self).counted += 1
        yield {
            "stamp": stamp == self.stamp,
            "made": made == self.made,
            "counts": self.counted == before + 1,
        }


class Counts(Site):
    """Counts with a collector of its own; a middleware adds to the start."""

    name = "counts"
    custom_settings = {
        "STATS_CLASS": "anyspider.parts.Doubling",
        "SPIDER_MIDDLEWARES": {"anyspider.parts.MoreToStart": 500},
    }

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        for name in ("spider_opened", "engine_stopped"):
            crawler.signals.connect(
                getattr(spider, f"on_{name}"), getattr(signals, name)
            )
        return spider

    def on_spider_opened(self):
        self.crawler.stats.inc_value("opened")

    def on_engine_stopped(self):
        with open(self.settings["PIPELINE_FILE"], "a", encoding="utf-8") as file:
            file.write("stopped\n")

    async def start(self):
        for number in range(6):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        self.crawler.stats.double("doubled")
        self.crawler.stats.inc_value("from_100", start=100)
        self.crawler.stats.inc_value(("no", "text"))
        waiting = len(self.crawler.engine.scheduler)
        yield {"waiting": isinstance(waiting, int)}


class Foreign(Site):
    """Gets responses of the project's own class, one of which it hands on."""

    name = "foreign"
    custom_settings = {
        "DOWNLOADER_MIDDLEWARES": {"anyspider.parts.OwnResponses": 950},
        "EXTENSIONS": {"anyspider.parts.Looks": 0},
    }

    async def start(self):
        for number in range(4):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        yield {"own": response.own}
        yield response.follow(
            f"{response.url}-again", self.second, cb_kwargs={"first": response}
        )
        if response.url.endswith("2"):
            raise scrapy.exceptions.UsageError("as planned", 2)

    async def second(self, response, first):
        inner = scrapy.Request(f"{response.url}-inner")
        await self.crawler.engine.download_async(inner)
        yield {"first": first.own, "text": first.css("p::text").get()}


class Writes(Site):
    """Writes to a file and a log of its own."""

    name = "writes"

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        path = crawler.settings["PIPELINE_FILE"]
        spider.file = open(path, "a", encoding="utf-8")
        handler = logging.FileHandler(path)
        handler.setFormatter(logging.Formatter("a line of %(name)s"))
        logging.getLogger(cls.name).addHandler(handler)
        return spider

    async def start(self):
        for number in range(6):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        self.file.write(f"{response.url[-1]}\n")
        self.logger.info("as planned")

    def closed(self, reason):
        self.file.close()


class Updates(Site):
    """Has a folder made for what it downloads, which must not be there before."""

    name = "updates"

    @classmethod
    def update_settings(cls, settings):
        super().update_settings(settings)
        folder = Path(settings["PIPELINE_FILE"]).with_name("files")
        folder.mkdir()
        settings.set("FILES_STORE", str(folder), "spider")

    async def start(self):
        yield scrapy.Request(f"{self.site}/tree/1")

    def parse(self, response):
        yield {"store": Path(self.settings["FILES_STORE"]).name}


class Ordered(Site):
    """Asks for pages of several priorities; a callback yields more than one thing."""

    name = "ordered"

    async def start(self):
        for node in (1, 2, 3):
            yield scrapy.Request(f"{self.site}/tree/{node}", priority=node % 2)

    def parse(self, response):
        for link in response.css("a::attr(href)").getall():
            yield {"link": link}
            yield response.follow(link, priority=int(link[-1]) % 3)
