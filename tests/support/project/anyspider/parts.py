"""Parts of a crawl that projects make themselves."""

from scrapy import signals
from scrapy.http import HtmlResponse
from scrapy.statscollectors import MemoryStatsCollector


class Doubling(MemoryStatsCollector):
    def double(self, key):
        self.inc_value(key, 2)


class MoreToStart:
    async def process_start(self, start):
        async for one in start:
            yield one
        yield {"more": "to start with"}


class OwnResponse(HtmlResponse):
    """Cannot be made like Scrapy's."""

    def __init__(self, url, own, **kwargs):
        self.own = own
        super().__init__(url, **kwargs)


class OwnResponses:
    def process_response(self, request, response):
        kept = {name: getattr(response, name) for name in ("status", "headers", "body")}
        kept["request"] = request
        return OwnResponse(response.url, "own", ip_address=response.ip_address, **kept)


class Looks:
    """An extension that counts what it is told."""

    def __init__(self, crawler):
        self.stats = crawler.stats

    @classmethod
    def from_crawler(cls, crawler):
        extension = cls(crawler)
        crawler.signals.connect(extension.error, signals.spider_error)
        crawler.signals.connect(extension.received, signals.response_received)
        return extension

    def error(self, failure, response):
        assert "in parse" in failure.getTraceback()
        self.stats.inc_value(f"error/{failure.type.__name__}{failure.value.args}")

    def received(self, response, request):
        assert request.meta["download_latency"] > 0
        assert request.url == response.url == response.request.url
        self.stats.inc_value(f"from/{response.ip_address}/{response.status}")
