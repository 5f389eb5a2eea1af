"""Spiders of scrapy-playwright."""

import asyncio

import scrapy
from scrapy_playwright.page import PageMethod

from shop.effects import note

BROWSER = {
    "DOWNLOAD_HANDLERS": {
        "http": "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler",
        "https": "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler",
    },
    "PLAYWRIGHT_LAUNCH_OPTIONS": {
        "executable_path": "/usr/bin/chromium",
        "args": ["--no-sandbox", "--disable-gpu"],
    },
    "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": 4,
}


class Rendered(scrapy.Spider):
    """Pages made by script, page methods, an errback, a page in hand."""

    name = "rendered"
    custom_settings = BROWSER

    async def start(self):
        for number in range(1, 5):
            method = PageMethod("evaluate", f"document.title = 'title {number}'")
            meta = {"playwright": True, "playwright_page_methods": [method]}
            yield scrapy.Request(f"{self.site}/script/{number}", meta=meta)
        meta = {"playwright": True, "playwright_include_page": True}
        yield scrapy.Request(f"{self.site}/script/5", self.parse_in_hand, meta=meta)
        meta = {"playwright": True, "playwright_context": "unreachable"}
        yield scrapy.Request("http://127.0.0.1:9/", errback=self.fail, meta=meta)
        yield scrapy.Request(f"{self.site}/page/6")

    def parse(self, response):
        heading, title = response.css("h1::text").get(), response.css("title::text")
        yield {"heading": heading, "title": title.get()}

    async def parse_in_hand(self, response):
        page = response.meta["playwright_page"]
        yield {"heading": await page.inner_text("h1")}
        await page.close()

    def fail(self, failure):
        note("errback", type(failure.value).__name__)


class Login(scrapy.Spider):
    """A login that is kept in a browser's context."""

    name = "login"
    custom_settings = {**BROWSER, "CONCURCRAWL_STICKY_META": "playwright_context"}
    meta = {"playwright": True, "playwright_context": "me"}

    async def start(self):
        yield scrapy.Request(f"{self.site}/login", meta=self.meta)

    def parse(self, response):
        for number in range(4):
            yield response.follow(f"/member/{number}", self.parse_page, meta=self.meta)

    def parse_page(self, response):
        yield {"login": response.css("h1::text").get()}


class Profile(Login):
    """A login that is kept in a profile on disk."""

    name = "profile"

    @classmethod
    def update_settings(cls, settings):
        super().update_settings(settings)
        contexts = {"me": {"user_data_dir": settings["PROFILE"]}}
        settings.set("PLAYWRIGHT_CONTEXTS", contexts, "spider")


class Chain(scrapy.Spider):
    """A page that is passed on from callback to callback."""

    name = "chain"
    custom_settings = BROWSER

    async def start(self):
        meta = {"playwright": True, "playwright_include_page": True}
        yield scrapy.Request(f"{self.site}/script/1", meta=meta)

    async def parse(self, response):
        page = response.meta["playwright_page"]
        meta = {"playwright": True, "playwright_page": page}
        yield response.follow(
            "/script/2",
            self.parse_second,
            meta={**meta, "playwright_include_page": True},
            errback=self.fail,
        )

    async def parse_second(self, response):
        yield {"heading": response.css("h1::text").get()}
        await response.meta["playwright_page"].close()

    async def fail(self, failure):
        note("errback", type(failure.value).__name__)
        page = failure.request.meta.get("playwright_page")
        if page is not None:
            await asyncio.wait_for(page.close(), 5)
