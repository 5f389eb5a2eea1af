from dataclasses import dataclass, field

import scrapy
from itemloaders.processors import Join, MapCompose, TakeFirst
from scrapy.loader import ItemLoader


class Quote(scrapy.Item):
    text = scrapy.Field()
    author = scrapy.Field()
    tags = scrapy.Field()
    page = scrapy.Field()


class QuoteLoader(ItemLoader):
    default_item_class = Quote
    default_output_processor = TakeFirst()
    text_in = MapCompose(str.strip, str.upper)
    tags_out = Join("|")


@dataclass
class Page:
    url: str
    links: list = field(default_factory=list)
