"""The process of scrapy crawl, which has the frontier and the feeds."""
