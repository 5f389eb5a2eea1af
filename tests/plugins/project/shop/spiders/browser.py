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
    """Pages made by script, page methods, an errback, pages in hand, a login."""

    name = "rendered"
    custom_settings = BROWSER
    member = {"playwright": True, "playwright_context": "me"}
    in_hand = {"playwright": True, "playwright_include_page": True}

    async def start(self):
        for number in range(1, 4):
            method = PageMethod("evaluate", f"document.title = 'title {number}'")
            meta = {"playwright": True, "playwright_page_methods": [method]}
            yield scrapy.Request(f"{self.site}/script/{number}", meta=meta)
        yield scrapy.Request(
            f"{self.site}/script/4", self.parse_first, meta=self.in_hand
        )
        yield scrapy.Request(f"{self.site}/login", self.parse_login, meta=self.member)
        meta = {"playwright": True, "playwright_context": "unreachable"}
        yield scrapy.Request("http://127.0.0.1:9/", errback=self.fail, meta=meta)
        yield scrapy.Request(f"{self.site}/page/6")

    def parse(self, response):
        heading, title = response.css("h1::text").get(), response.css("title::text")
        yield {"heading": heading, "title": title.get()}

    async def parse_first(self, response):
        page = response.meta["playwright_page"]
        yield {"in hand": await page.inner_text("h1")}
        meta = {**self.in_hand, "playwright_page": page}
        yield response.follow(
            "/script/5", self.parse_second, meta=meta, errback=self.fail_in_hand
        )

    async def parse_second(self, response):
        yield {"passed on": response.css("h1::text").get()}
        await response.meta["playwright_page"].close()

    def parse_login(self, response):
        for number in range(4):
            url = f"/member/{number}"
            yield response.follow(url, self.parse_member, meta=self.member)

    def parse_member(self, response):
        yield {"login": response.css("h1::text").get()}

    def fail(self, failure):
        note("errback", type(failure.value).__name__)

    async def fail_in_hand(self, failure):
        self.fail(failure)
        page = failure.request.meta.get("playwright_page")
        if page is not None:
            await asyncio.wait_for(page.close(), 5)


class Profile(Rendered):
    """A login that is kept in a profile on disk."""

    name = "profile"

    @classmethod
    def update_settings(cls, settings):
        super().update_settings(settings)
        contexts = {"me": {"user_data_dir": settings["PROFILE"]}}
        settings.set("PLAYWRIGHT_CONTEXTS", contexts, "spider")
