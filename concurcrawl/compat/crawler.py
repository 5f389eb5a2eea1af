"""A crawler with an engine and a spider that are made by the add-on."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from scrapy.crawler import Crawler
from typing_extensions import override

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.core.engine import ExecutionEngine
    from scrapy.settings import BaseSettings


@touches("scrapy.crawler", "Crawler._create_spider", "Crawler._create_engine")
class MakingCrawler(Crawler):
    """A crawler whose subclass makes the engine, and completes the spider.

    Touches: overrides ``Crawler._create_spider()`` and ``._create_engine()`` (Scrapy
    2.19.0). If one moves, a worker crawls by itself, or its spider lacks attributes
    that extensions have set. Wished for: a setting for the class of the engine, and a
    signal when the spider was made.
    """

    @abstractmethod
    def make_engine(self) -> ExecutionEngine:
        """Return the engine."""

    @abstractmethod
    def complete(self, spider: Spider) -> None:
        """Do what *spider*, which was just made, needs before anything sees it."""

    @override
    def _create_spider(self, *args: Any, **kwargs: Any) -> Spider:
        spider = super()._create_spider(*args, **kwargs)
        self.complete(spider)
        return spider

    @override
    def _create_engine(self) -> ExecutionEngine:
        return self.make_engine()


@touches("scrapy", "Spider.update_settings")
def leave_settings(spidercls: Any) -> None:
    """Keep *spidercls* from changing the settings of its crawler.

    Touches: replaces ``Spider.update_settings()`` of the class (Scrapy 2.19.0). If it
    moves, a spider changes the settings of a worker that it has changed in the
    supervisor already. Wished for: an argument of ``Crawler``.
    """
    spidercls.update_settings = _leave


def _leave(_: BaseSettings) -> None:
    return None
