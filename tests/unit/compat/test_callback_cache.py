"""Scrapy looks into a callback's source once, not once a page."""

from __future__ import annotations

import gc

from scrapy import Request, Spider
from scrapy.utils import misc

from concurcrawl.compat.callback_cache import KeptCallbacks


class Any(Spider):
    name = "any"

    def parse_page(self, response: object) -> object:
        yield {}


def test_what_scrapy_knows_of_a_callback_outlives_its_request() -> None:
    spider, kept = Any(), KeptCallbacks()
    request = Request("http://site.test/1", spider.parse_page)
    kept.keep(request)
    assert request.callback is not None
    misc.is_generator_with_return_value(request.callback)
    del request
    gc.collect()
    assert spider.parse_page in misc._generator_callbacks_cache
