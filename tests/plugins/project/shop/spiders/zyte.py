"""A spider of scrapy-zyte-api."""

import scrapy
from scrapy_poet import DummyResponse
from zyte_common_items import Product


class Zyte(scrapy.Spider):
    name = "zyte"

    @classmethod
    def update_settings(cls, settings):
        super().update_settings(settings)
        settings.set("ZYTE_API_KEY", "none", "spider")

    async def start(self):
        for number in range(1, 4):
            yield scrapy.Request(f"{self.site}/page/{number}")
        meta = {"zyte_api_automap": False}
        yield scrapy.Request(f"{self.site}/page/4", meta=meta)
        for number in (5, 6):
            yield scrapy.Request(f"{self.site}/page/{number}", self.parse_product)

    def parse(self, response):
        yield {"title": response.css("h1::text").get()}

    def parse_product(self, response: DummyResponse, product: Product):
        yield {"name": product.name}
