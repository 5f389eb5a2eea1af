"""A spider whose every page and item can be told from every other."""

import asyncio
from pathlib import Path
from urllib.parse import unquote

import scrapy


class Whole(scrapy.Spider):
    """Items and unfiltered requests from the start, from pages and from their pages."""

    name = "whole"
    custom_settings = {"RETRY_TIMES": 8, "DOWNLOAD_TIMEOUT": 2}

    def __init__(self, site=None, extras=5, **kwargs):
        super().__init__(**kwargs)
        self.site, self.extras = site, int(extras)

    async def start(self):
        for number in range(self.extras):
            yield {"kind": "start", "name": str(number)}
            yield scrapy.Request(
                f"{self.site}?extra={number}",
                self.parse_extra,
                cb_kwargs={"number": number},
                dont_filter=True,
            )
        yield scrapy.Request(self.site)

    def parse_extra(self, response, number):
        yield {"kind": "extra", "name": str(number)}

    def parse(self, response):
        rows = response.xpath("(//table[contains(@class, 'wikitable')])[2]//tr")
        links = rows.xpath("(.//a[starts-with(@href, '/wiki/')])[1]/@href")
        for href in links.getall():
            if href != "/wiki/World":
                yield response.follow(href, self.parse_page)

    def parse_page(self, response):
        name = unquote(response.url).rsplit("/", 1)[-1]
        yield {"kind": "page", "name": name}
        yield scrapy.Request(
            f"{response.url}?again",
            self.parse_again,
            cb_kwargs={"name": name},
            dont_filter=True,
        )
        yield {"kind": "page too", "name": name}

    def parse_again(self, response, name):
        yield {"kind": "again", "name": name}


class Hangs(scrapy.Spider):
    """One page whose callback never ends, among others."""

    name = "hangs"

    def __init__(self, site=None, pages=12, **kwargs):
        super().__init__(**kwargs)
        self.site, self.pages = site, int(pages)

    async def start(self):
        for number in range(self.pages):
            yield scrapy.Request(f"{self.site}/status/200?{number}")
            if number == 3:
                yield scrapy.Request(f"{self.site}/status/200?loop", self.loop)

    def parse(self, response):
        yield {"page": response.url.rsplit("?", 1)[-1]}

    def loop(self, response):
        while True:
            pass


class Leaks(scrapy.Spider):
    """Each process keeps 20 MB of each page, of the first eleven."""

    name = "leaks"
    kept = []

    def __init__(self, site=None, pages=40, **kwargs):
        super().__init__(**kwargs)
        self.site, self.pages = site, int(pages)

    async def start(self):
        for number in range(self.pages):
            yield scrapy.Request(f"{self.site}/hang?s=0.05&n={number}")

    def parse(self, response):
        if len(self.kept) < 11:
            self.kept.append(b"x" * (20 << 20))
        yield {"page": response.url.rsplit("=", 1)[-1]}


class Begins(scrapy.Spider):
    """Half way its start waits for a file; its pages tell by a cookie who asks."""

    name = "begins"

    def __init__(self, site=None, gate=None, **kwargs):
        super().__init__(**kwargs)
        self.site, self.gate = site, Path(gate)

    async def start(self):
        yield scrapy.Request(f"{self.site}/session/ann", self.opened)
        for number in range(10):
            while number == 5 and not self.gate.exists():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.02)
            yield {"start": number}
            yield scrapy.Request(
                f"{self.site}/whoami?{number}", cb_kwargs={"number": number}
            )

    def opened(self, response):
        pass

    def parse(self, response, number):
        yield {"page": number, "who": response.css("body::text").get()}
