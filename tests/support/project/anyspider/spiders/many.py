"""Spiders as people write them. None of them knows of concurcrawl."""

import asyncio
import json
import os
import signal

import scrapy
from scrapy import signals
from scrapy.exceptions import CloseSpider, DontCloseSpider
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import CrawlSpider, Rule, SitemapSpider

from anyspider.items import Page, QuoteLoader

PIPELINES = {"anyspider.pipelines.WriteFile": 300}


class Site(scrapy.Spider):
    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)
        self.site = site


class Pagination(Site):
    """Follows "next" links; item loaders; a pipeline that writes a file."""

    name = "pagination"
    custom_settings = {"ITEM_PIPELINES": PIPELINES}

    async def start(self):
        yield scrapy.Request(f"{self.site}/quotes/1")

    def parse(self, response):
        for quote in response.css("div.quote"):
            loader = QuoteLoader(selector=quote)
            loader.add_css("text", "span.text::text")
            loader.add_css("author", "small::text")
            loader.add_css("tags", "a.tag::text")
            loader.add_value("page", response.url.rsplit("/", 1)[-1])
            yield loader.load_item()
        yield from response.follow_all(css="li.next a")


class Rules(CrawlSpider):
    name = "rules"
    rules = (
        Rule(LinkExtractor(allow="/tree/"), callback="parse_node", follow=True),
        Rule(LinkExtractor(allow="/quotes/"), callback="parse_quotes", follow=False),
    )

    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{site}/tree/1"]

    def parse_node(self, response):
        yield Page(response.url.split("/", 3)[-1], response.css("a::text").getall())

    def parse_quotes(self, response):
        yield {"quotes": len(response.css("div.quote"))}


class Login(Site):
    """A session cookie that one response sets opens all later pages."""

    name = "login"

    async def start(self):
        yield scrapy.Request(f"{self.site}/login")

    def parse(self, response):
        return scrapy.FormRequest.from_response(
            response,
            formdata={"user": "me", "password": "secret"},
            callback=self.inside,
        )

    def inside(self, response):
        if b"welcome" not in response.body:
            self.logger.error("login failed")
            return
        for number in range(12):
            yield response.follow(f"/private/{number}", self.private)

    def private(self, response):
        yield {"status": response.status, "private": response.css("p::text").get()}


class Jars(Site):
    """Several sessions at once, each in its own cookie jar."""

    name = "jars"

    async def start(self):
        for jar in range(4):
            yield scrapy.Request(
                f"{self.site}/session/{jar}", meta={"cookiejar": jar}, dont_filter=True
            )

    def parse(self, response):
        jar = response.meta["cookiejar"]
        for page in range(3):
            yield response.follow(
                f"/whoami?{jar}-{page}", self.who, meta={"cookiejar": jar}
            )

    def who(self, response):
        yield {"jar": response.meta["cookiejar"], "who": response.text}


class Errors(Site):
    """404, 500 with retries, refused connections, exceptions, errbacks."""

    name = "errors"

    async def start(self):
        for path in ("status/404", "status/500", "status/200", "flaky/1", "flaky/2"):
            yield scrapy.Request(f"{self.site}/{path}", errback=self.failed)
        yield scrapy.Request("http://127.0.0.1:9/refused", errback=self.failed)
        yield scrapy.Request(
            f"{self.site}/status/403", meta={"handle_httpstatus_list": [403]}
        )
        yield scrapy.Request(f"{self.site}/status/200?raise", self.raises)
        yield scrapy.Request(f"{self.site}/status/404?no-errback")

    def parse(self, response):
        yield {"ok": response.url.split("/", 3)[-1], "status": response.status}

    def failed(self, failure):
        response = getattr(failure.value, "response", None)
        yield {
            "failed": failure.request.url.rsplit("/", 1)[-1],
            "status": response.status if response is not None else None,
            "kind": failure.type.__name__,
        }

    def raises(self, response):
        yield {"before": "the exception"}
        raise ValueError("as planned")


class Closures(Site):
    """Callbacks that are lambdas, closures and partials."""

    name = "closures"

    async def start(self):
        for number in range(4):
            yield scrapy.Request(
                f"{self.site}/tree/{number + 1}",
                callback=lambda response, number=number: self.made(response, number),
            )

    def made(self, response, number):
        seen = {"from": number}

        def inner(response):
            yield {**seen, "inner": response.url.rsplit("/", 1)[-1], "name": self.name}

        yield response.follow(f"/quotes/{number + 1}", callback=inner)
        yield {"number": number}


class ItemCount(Site):
    name = "itemcount"
    custom_settings = {"CLOSESPIDER_ITEMCOUNT": 10, "ITEM_PIPELINES": PIPELINES}

    async def start(self):
        for number in range(200):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        yield {"number": 1}


class PageCount(ItemCount):
    name = "pagecount"
    custom_settings = {"CLOSESPIDER_PAGECOUNT": 7}


class ErrorCount(Site):
    name = "errorcount"
    custom_settings = {"CLOSESPIDER_ERRORCOUNT": 3}

    async def start(self):
        for number in range(200):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    def parse(self, response):
        raise KeyError("always")


class Closes(Site):
    """Raises CloseSpider in a callback."""

    name = "closes"
    custom_settings = {"ITEM_PIPELINES": PIPELINES}

    async def start(self):
        yield scrapy.Request(f"{self.site}/quotes/1")

    def parse(self, response):
        yield {"before": True}
        yield response.follow("/quotes/2", self.never)
        raise CloseSpider("enough")

    def never(self, response):
        yield {"after": True}


class ClosesAtOnce(Site):
    """Raises CloseSpider in an errback, with nothing else to do."""

    name = "closesatonce"

    async def start(self):
        yield scrapy.Request(f"{self.site}/missing", self.never, errback=self.close_now)

    def close_now(self, failure):
        raise CloseSpider("no use")

    def never(self, response):
        yield {"after": True}


class Idle(Site):
    """Feeds more requests when the spider is idle."""

    name = "idle"

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.rounds = 0
        crawler.signals.connect(spider.feed, signal=signals.spider_idle)
        return spider

    async def start(self):
        yield scrapy.Request(f"{self.site}/status/200?round=0")

    def feed(self):
        self.rounds += 1
        if self.rounds > 3:
            return
        for number in range(3):
            request = scrapy.Request(f"{self.site}/status/200?{self.rounds}-{number}")
            self.crawler.engine.crawl(request)
        raise DontCloseSpider

    def parse(self, response):
        yield {"page": response.url.split("?")[-1]}


class Pauses(Site):
    """Pauses the engine and sees whether anything comes up then."""

    name = "pauses"
    pages = 60
    has_paused = False

    async def start(self):
        for number in range(self.pages):
            yield scrapy.Request(f"{self.site}/status/200?{number}")

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.pause, signal=signals.item_scraped)
        return spider

    def pause(self):
        # Scrapy has chosen the receivers of items that came together before it calls
        # the first, so that disconnecting would not keep the others from coming here.
        if self.has_paused:
            return
        self.has_paused = True
        self.crawler.engine.pause()
        self.resumed = asyncio.ensure_future(self.resume())

    async def resume(self):
        engine, stats = self.crawler.engine, self.crawler.stats
        while engine.downloader.active or not engine.scraper.slot.is_idle():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        count = stats.get_value("response_received_count")
        await asyncio.sleep(0.3)
        is_same = count == stats.get_value("response_received_count")
        is_calm = is_same and not engine.downloader.active
        stats.set_value("calm_while_paused", is_calm and count < self.pages)
        engine.unpause()

    def parse(self, response):
        yield {"page": response.url.split("?")[-1]}


class Meta(Site):
    """meta, cb_kwargs, priorities, headers, POST bodies, start items, duplicates."""

    name = "meta"

    async def start(self):
        yield {"start": "item"}
        for number in range(5):
            yield scrapy.Request(
                f"{self.site}/echo?{number}",
                self.kept,
                method="POST",
                body=json.dumps({"number": number}),
                headers={"X-Number": str(number)},
                meta={"kept": {"deep": [number]}},
                cb_kwargs={"number": number},
                priority=number,
            )

    def kept(self, response, number):
        echo = json.loads(response.text)
        assert echo["number"] == str(number)
        yield {
            "number": number,
            "deep": response.meta["kept"]["deep"],
            "body": echo["body"],
            "referer": (response.request.headers.get("Referer") or b"").decode(),
        }
        for _ in range(2):
            yield scrapy.Request(f"{self.site}/status/200?{number % 3}", self.last)

    def last(self, response):
        yield {"last": response.url.split("?")[-1], "depth": response.meta["depth"]}


class Async(Site):
    """Async callbacks that download and wait by themselves."""

    name = "asynchronous"

    async def start(self):
        for number in range(3):
            yield scrapy.Request(f"{self.site}/quotes/{number + 1}")

    async def parse(self, response):
        request = scrapy.Request(response.urljoin("/status/200?inner"))
        inner = await self.crawler.engine.download_async(request)
        yield {"inner": inner.status, "outer": response.url.rsplit("/", 1)[-1]}
        for href in response.css("a::attr(href)").getall():
            yield response.follow(href, self.parse_more)

    async def parse_more(self, response):
        return [{"more": response.url.rsplit("/", 1)[-1]}]


class Redirects(Site):
    name = "redirects"

    async def start(self):
        for number in range(4):
            yield scrapy.Request(f"{self.site}/redirect/{number}")
        yield scrapy.Request(f"{self.site}/refresh")

    def parse(self, response):
        yield {
            "at": response.url.split("/", 3)[-1],
            "times": response.meta.get("redirect_times"),
        }


class Drops(Site):
    """A pipeline that drops items, a spider that counts signals."""

    name = "drops"
    custom_settings = {
        "ITEM_PIPELINES": {
            "anyspider.pipelines.DropOdd": 100,
            "anyspider.pipelines.WriteFile": 300,
        }
    }

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        for name in (
            "item_scraped",
            "item_dropped",
            "request_left_downloader",
            "response_downloaded",
            "response_received",
            "scheduler_empty",
            "spider_closed",
        ):
            crawler.signals.connect(
                getattr(spider, f"on_{name}"), signal=getattr(signals, name)
            )
        return spider

    def count(self, name):
        self.crawler.stats.inc_value(f"signals/{name}")

    def on_item_scraped(self, item, response):
        assert response.status == 200
        self.count("item_scraped")

    def on_item_dropped(self, item):
        self.count("item_dropped")

    def on_response_received(self, response, request):
        assert request.url == response.url
        self.count("response_received")

    def on_response_downloaded(self, request):
        assert request.url.startswith(self.site)
        self.count("response_downloaded")

    def on_request_left_downloader(self):
        self.count("request_left_downloader")

    def on_scheduler_empty(self):
        assert len(self.crawler.engine.scheduler) == 0
        self.crawler.stats.set_value("signals/scheduler_empty", True)

    def on_spider_closed(self, reason):
        self.crawler.stats.inc_value(f"signals/closed/{reason}")

    def closed(self, reason):
        self.crawler.stats.inc_value("closed")

    async def start(self):
        for number in range(10):
            yield scrapy.Request(
                f"{self.site}/status/200?{number}", cb_kwargs={"n": number}
            )

    def parse(self, response, n):
        yield {"number": n}


class Offsite(Site):
    name = "offsite"
    allowed_domains = ["127.0.0.1"]

    async def start(self):
        yield scrapy.Request(f"{self.site}/tree/1")

    def parse(self, response):
        yield {"url": response.url.split("/", 3)[-1]}
        yield scrapy.Request("http://elsewhere.invalid/1")
        yield scrapy.Request("http://elsewhere.invalid/2")
        yield scrapy.Request("http://other.invalid/1")


class Map(SitemapSpider):
    name = "sitemap"
    sitemap_rules = [("/quotes/", "parse_quotes")]

    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)
        self.sitemap_urls = [f"{site}/robots.txt"]

    def parse_quotes(self, response):
        yield {"page": response.url.rsplit("/", 1)[-1]}


class Selectors(Site):
    """Hands selectors, responses and loaders' results on in cb_kwargs."""

    name = "selectors"

    async def start(self):
        yield scrapy.Request(f"{self.site}/quotes/1")

    def parse(self, response):
        for number, quote in enumerate(response.css("div.quote")):
            yield response.follow(
                f"/status/200?{number}",
                self.second,
                cb_kwargs={"quote": quote, "first": response},
            )

    def second(self, response, quote, first):
        yield {
            "author": quote.css("small::text").get(),
            "tag": quote.xpath("./a/text()").get(),
            "title": first.css("title::text").get(),
        }


class Robots(Site):
    name = "robots"
    custom_settings = {"ROBOTSTXT_OBEY": True}

    async def start(self):
        for path in ("forbidden/200", "quotes/1", "forbidden/201", "quotes/2"):
            yield scrapy.Request(f"{self.site}/{path}")

    def parse(self, response):
        yield {"allowed": response.url.split("/", 3)[-1]}


class Slow(Site):
    """Pages that take their time, and one that kills whoever downloads it."""

    name = "slow"

    def __init__(self, site=None, pages=40, wait=0.2, poison=False, **kwargs):
        super().__init__(site, **kwargs)
        self.pages, self.wait, self.poison = int(pages), float(wait), poison

    async def start(self):
        if self.poison:
            yield scrapy.Request(f"{self.site}/status/200?poison", self.die)
        for number in range(self.pages):
            yield scrapy.Request(f"{self.site}/hang?s={self.wait}&n={number}")

    def parse(self, response):
        yield {"page": response.url.rsplit("=", 1)[-1]}

    def die(self, response):
        os.kill(os.getpid(), signal.SIGKILL)
