"""Every private part of Scrapy, Twisted and the standard library that we touch."""
