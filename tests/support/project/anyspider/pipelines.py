"""Pipelines that only work if they run once, in one process."""

import asyncio
import os

from scrapy.exceptions import DropItem


class WriteFile:
    """Opens with "w": a second instance would empty what the first has written."""

    def __init__(self, path):
        self.path = path

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler.settings.get("PIPELINE_FILE", "pipeline.txt"))

    def open_spider(self):
        self.file = open(self.path, "w", encoding="utf-8")

    def close_spider(self):
        self.file.write("closed\n")
        self.file.close()

    def process_item(self, item):
        self.file.write(f"{sorted(dict(item).items())!r}\n")
        return item


class DropOdd:
    def process_item(self, item):
        if item.get("number", 0) % 2:
            raise DropItem("odd")
        return item


class Dawdle:
    """Takes its time over every other item of a page."""

    async def process_item(self, item):
        if item.get("kind") == "page too":
            await asyncio.sleep(4)
        return item


class Where:
    """Notes in which process it runs, and that it was opened there."""

    def open_spider(self):
        self.is_open = True

    def process_item(self, item):
        assert self.is_open
        return {**item, "process": os.getpid()}


class InCompany:
    """Lets items of a page pass once a second one is here."""

    def open_spider(self):
        self.pages = {}

    async def process_item(self, item):
        count, has_company = self.pages.get(item["page"], (0, asyncio.Event()))
        self.pages[item["page"]] = count + 1, has_company
        if count:
            has_company.set()
        await asyncio.wait_for(has_company.wait(), 30)
        return item


class FailsAtFour:
    def process_item(self, item):
        if item.get("number") == 4:
            raise LookupError("four")
        return item
