"""A spider whose requests note how often they are pickled and unpickled."""

import os

import scrapy

#: Set by the test, for all processes of the crawl.
NOTES = "PICKLES"


class Noted(scrapy.Request):
    """Notes each pickling of itself in a file."""

    def __reduce_ex__(self, protocol):
        self._note("pickled")
        return super().__reduce_ex__(protocol)

    def __setstate__(self, state):
        own, slots = state if isinstance(state, tuple) else (state, {})
        for name, value in {**(own or {}), **(slots or {})}.items():
            setattr(self, name, value)
        self._note("unpickled")

    def _note(self, what):
        number = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(number, f"{what} {self.url}\n".encode())
        os.close(number)


class Pickled(scrapy.Spider):
    """One page leads to eight others."""

    name = "pickled"
    allowed_domains = ["127.0.0.1"]

    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)
        self.site = site

    async def start(self):
        yield Noted(f"{self.site}/status/200?0")

    def parse(self, response):
        yield {"url": response.url}
        if response.url.endswith("?0"):
            for number in range(1, 9):
                yield Noted(f"{self.site}/status/200?{number}")
