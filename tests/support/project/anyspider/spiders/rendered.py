"""A spider whose pages are rendered by a handler of its own."""

import os

import scrapy


class Rendered(scrapy.Spider):
    name = "rendered"

    def __init__(self, site):
        super().__init__()
        self.start_urls = [f"{site}/hang?s=0.05&{n}" for n in range(20)]

    def parse(self, response):
        with open(self.crawler.settings["MADE"] + ".callbacks", "a") as file:
            file.write(f"{os.getpid()}\n")
        yield {"flags": response.flags}


class RenderedBySpider(Rendered):
    name = "rendered_by_spider"
    custom_settings = {
        "DOWNLOAD_HANDLERS": {"http": "anyspider.handlers.Rendering"},
    }


class OneAtATime(scrapy.Spider):
    name = "one_at_a_time"

    def __init__(self, site, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{site}/hang?s=0.1&{n}" for n in range(8)]

    def parse(self, response):
        yield {"page": response.url.partition("&")[2]}


class OneAtATimeByAttribute(OneAtATime):
    name = "one_at_a_time_by_attribute"
    max_concurrent_requests = 1


class LooksAway(scrapy.Spider):
    """One slow page, and quick ones, none of which is to change the delay."""

    name = "looks_away"
    custom_settings = {
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": 0.1,
        "DOWNLOAD_DELAY_JITTER": 0,
    }

    def __init__(self, site):
        super().__init__()
        self.site = site

    def request(self, path):
        meta = {"autothrottle_dont_adjust_delay": True}
        return scrapy.Request(f"{self.site}/{path}", meta=meta)

    async def start(self):
        yield self.request("hang?s=3")

    def parse(self, response):
        if "s=3" in response.url:
            for n in range(6):
                yield self.request(f"hang?s=0&{n}")
        yield {"page": response.url.partition("?")[2]}
