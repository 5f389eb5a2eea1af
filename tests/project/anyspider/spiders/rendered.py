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
