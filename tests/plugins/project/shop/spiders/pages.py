"""Spiders of plain pages."""

import dataclasses

import attrs
import pydantic
import scrapy


class Pages(scrapy.Spider):
    """A list, and what it links to."""

    name = "pages"
    auth_token = "secret"

    async def start(self):
        yield scrapy.Request(f"{self.site}/list")

    def parse(self, response):
        for link in response.css("a::attr(href)").getall():
            yield response.follow(link, self.parse_page)

    def parse_page(self, response):
        yield {"title": response.css("h1::text").get()}


class Flaky(Pages):
    name = "flaky"

    def parse(self, response):
        yield from super().parse(response)
        yield response.follow("/flaky/1", self.parse_page)


class Broken(Pages):
    """A spider whose callback fails for one page."""

    name = "broken"

    def parse_page(self, response):
        number = int(response.url.rpartition("/")[2])
        self.logger.info("seen %s", response.url, extra={"page": number})
        if number == 3:
            raise ValueError("boom")
        yield from super().parse_page(response)


class Media(Pages):
    name = "media"

    def parse_page(self, response):
        source = response.urljoin(response.css("img::attr(src)").get())
        yield {"image_urls": [source], "file_urls": [response.url]}


@attrs.define
class Attrs:
    title: str


@attrs.frozen
class Frozen:
    title: str


@dataclasses.dataclass(slots=True)
class Slots:
    title: str


class Model(pydantic.BaseModel):
    title: str


class Fields(scrapy.Item):
    title = scrapy.Field()


class Items(Pages):
    """Items of every kind that itemadapter knows."""

    name = "items"
    custom_settings = {"ITEM_PIPELINES": {"shop.components.Kinds": 1}}

    def parse_page(self, response):
        title = response.css("h1::text").get()
        for kind in (Attrs, Frozen, Slots, Model, Fields, dict):
            yield kind(title=title)


class Impersonated(Pages):
    name = "impersonated"
    custom_settings = {"USER_AGENT": None}
    meta = {"impersonate": "chrome"}

    async def start(self):
        yield scrapy.Request(f"{self.site}/list", meta=self.meta)

    def parse(self, response):
        for link in response.css("a::attr(href)").getall():
            yield response.follow(link, self.parse_page, meta=self.meta)


class Limited(Pages):
    """A spider with the attribute of scrapy-count-filter, whose limit is far away.

    How many pages more are in flight when it is reached depends on the mode.
    """

    name = "limited"
    count_limits = {"page_host_count": 100}
