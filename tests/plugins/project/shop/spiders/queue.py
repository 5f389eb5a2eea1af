"""A spider of scrapy-redis."""

from scrapy_redis.spiders import RedisSpider


class Queue(RedisSpider):
    name = "queue"
    redis_key = "shop:start_urls"
    max_idle_time = 1

    def parse(self, response):
        yield {"title": response.css("h1::text").get()}
