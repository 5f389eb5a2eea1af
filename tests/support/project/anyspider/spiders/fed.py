"""Spiders that get their URLs while they run."""

import os
import signal
from pathlib import Path

import scrapy


class Fed(scrapy.Spider):
    """Has nothing to start with; each page is an item."""

    name = "fed"

    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)

    async def start(self):
        return
        yield

    def start_request_for(self, url):
        return scrapy.Request(url, cb_kwargs={"by": "method"}, priority=1)

    def parse(self, response, by=None):
        yield {"page": response.url.rpartition("?")[2], "by": by}


class Deadly(scrapy.Spider):
    """Its page kills the worker that parses it, while a file is there."""

    name = "deadly"

    def __init__(self, site=None, flag=None, **kwargs):
        super().__init__(**kwargs)
        self.site, self.flag = site, flag

    async def start(self):
        yield scrapy.Request(f"{self.site}/status/200?deadly")

    def parse(self, response):
        if Path(self.flag).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"page": "deadly"}
