"""scrapy-deltafetch as Scrapy 2.19 needs it."""

from scrapy_deltafetch import DeltaFetch as Published


class DeltaFetch(Published):
    async def process_spider_output_async(self, response, result, spider=None):
        listed = [one async for one in result]
        for one in super().process_spider_output(response, listed, spider):
            yield one

    def process_spider_output(self, response, result):
        yield from super().process_spider_output(response, result, None)
