"""Crawlers and engines whose subclasses make what Scrapy would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import Spider
from scrapy.settings import Settings
from scrapy.utils.test import get_crawler

from concurcrawl.compat import log_lines, spider_arguments
from concurcrawl.compat.crawler import MakingCrawler, leave_settings
from concurcrawl.compat.signals import wrap_methods
from concurcrawl.compat.worker_engine import OtherwiseStartingEngine

if TYPE_CHECKING:
    from scrapy.core.engine import ExecutionEngine


class Makes(MakingCrawler):
    engine_made: Any = object()

    def make_engine(self) -> ExecutionEngine:
        made: ExecutionEngine = self.engine_made
        return made

    def complete(self, spider: Spider) -> None:
        vars(spider)["is_complete"] = True


def test_a_crawler_makes_its_engine_and_completes_its_spider() -> None:
    crawler = Makes(Spider, Settings())
    spider: Any = crawler._create_spider("any", shelf=3)
    assert (spider.name, spider.shelf, spider.is_complete) == ("any", 3, True)
    assert crawler._create_engine() is Makes.engine_made


def test_a_spider_leaves_the_settings_alone_once_it_was_told() -> None:
    class Changes(Spider):
        custom_settings = {"DOWNLOAD_DELAY": 7}  # noqa: RUF012 - as people write it

    assert get_crawler(Changes).settings["DOWNLOAD_DELAY"] == 7
    leave_settings(Changes)
    assert get_crawler(Changes).settings["DOWNLOAD_DELAY"] != 7


def test_an_engine_asks_its_subclass_to_start_the_next() -> None:
    class Starts(OtherwiseStartingEngine):
        def start_next(self) -> bool:
            return True

    assert Starts.__new__(Starts)._start_scheduled_request()


def test_the_arguments_of_a_spider_are_those_before_it_changed_them() -> None:
    class Empties(Spider):
        name = "empties"

        def __init__(self, pages: list[int], **kwargs: Any) -> None:
            super().__init__(**kwargs)
            pages.clear()

    spider_arguments.record()
    spider_arguments.record()  # each crawler's add-on does
    crawler = get_crawler(Empties, {"MODE": "serial"})
    crawler._create_spider(pages=[1, 2])
    assert spider_arguments.of(crawler) == ((), {"pages": [1, 2]})


def test_methods_of_signals_are_wrapped_for_one_crawler() -> None:
    called = []

    def wrap(method: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            called.append(method.__name__)
            return method(*args, **kwargs)

        return wrapped

    crawler, other = get_crawler(), get_crawler()
    wrap_methods(crawler.signals, ("connect",), wrap)
    for one in (crawler, other):
        one.signals.connect(wrap, "some signal")
    assert called == ["connect"]


def test_no_line_is_logged_for_an_item() -> None:
    crawler = get_crawler()
    crawler._apply_settings()
    log_lines.leave_out_scraped(crawler)
    logged: Any = crawler.logformatter.scraped({}, None, Spider("any"))
    assert logged is None
