"""Scrapy settings of the project that this repository is."""

from __future__ import annotations

BOT_NAME = "concurcrawl"
SPIDER_MODULES = ["concurcrawl.spiders"]
NEWSPIDER_MODULE = "concurcrawl.spiders"

ADDONS = {"concurcrawl.Addon": 500}

LOG_LEVEL = "INFO"  # DEBUG writes a line a page, and costs a tenth of a crawl's CPU
ROBOTSTXT_OBEY = True  # the spider asks no robots.txt of this machine itself
