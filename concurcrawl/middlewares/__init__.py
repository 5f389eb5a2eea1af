"""Downloader middlewares, in the place of Scrapy's or before them."""
