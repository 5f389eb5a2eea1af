"""A spider whose records a handler of the project takes apart."""

import json
import logging
import traceback

import scrapy


class Apart(logging.Handler):
    """Writes what a log shipper looks at, a line a record."""

    def __init__(self, path):
        super().__init__()
        self.file = open(path, "a")

    def emit(self, record):
        error = record.exc_info and record.exc_info[1]
        frames = traceback.extract_tb(record.exc_info[2]) if error else []
        about = {
            "msg": record.msg,
            "args": repr(record.args),
            "job": getattr(record, "job", None),
            "function": record.funcName,
            "error": repr(error),
            "frames": [one.name for one in frames if "anyspider" in one.filename],
            "spider": getattr(record, "spider", None) is not None,
        }
        self.file.write(json.dumps(about) + "\n")
        self.file.flush()


class Extension:
    @classmethod
    def from_crawler(cls, crawler):
        handler = Apart(crawler.settings["APART"])
        for name in ("logged", "shop", "scrapy.core.scraper"):
            logging.getLogger(name).addHandler(handler)
        return cls()


class Logged(scrapy.Spider):
    name = "logged"
    custom_settings = {"EXTENSIONS": {Extension: 1}}

    def __init__(self, site):
        super().__init__()
        self.start_urls = [f"{site}/status/200?{n}" for n in range(3)]

    def parse(self, response):
        number = int(response.url.partition("?")[2])
        self.logger.info("seen %d", number, extra={"job": {"number": number}})
        logging.getLogger("shop").warning("bare")
        self.fail(number)
        yield {}

    def fail(self, number):
        raise ValueError(f"boom {number}")
