"""What a supervisor tells middlewares that it does not use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scrapy import Spider, signals
from scrapy.signalmanager import SignalManager

from concurcrawl.workers.supervisor.dormant import DormantMiddlewares


class Crawler:
    def __init__(self) -> None:
        self.signals = SignalManager(self)
        self.spider = Spider("one")

    def say(self, *said: object) -> None:
        for signal in said:
            self.signals.send_catch_log(signal, spider=self.spider)


class Middleware:
    def __init__(self, crawler: Crawler, *more: object) -> None:
        self.heard: list[str] = []
        crawler.signals.connect(self.opened, signals.spider_opened)
        crawler.signals.connect(self.closed, signals.spider_closed)
        for signal in more:
            crawler.signals.connect(self.told, signal)

    def opened(self, spider: Spider) -> Any:
        self.heard.append(f"opened {spider.name}")

    def closed(self) -> None:
        self.heard.append("closed")

    def told(self) -> None:
        self.heard.append("told")


class Awaiting(Middleware):
    async def opened(self, spider: Spider) -> None:
        await asyncio.sleep(0)
        self.heard.append(f"opened {spider.name}")


class Failing(Middleware):
    def opened(self, spider: Spider) -> None:
        raise OSError("no room")


class Starting(Middleware):
    async def process_start(self, start: Any) -> Any:
        return start


@pytest.fixture
def crawler() -> Crawler:
    return Crawler()


def sleeping(crawler: Crawler, *middlewares: Any) -> DormantMiddlewares:
    return DormantMiddlewares(crawler, middlewares)  # type: ignore[arg-type]


def test_a_middleware_that_is_not_used_hears_nothing(crawler: Crawler) -> None:
    one = Middleware(crawler)
    sleeping(crawler, one)
    crawler.say(signals.spider_opened, signals.spider_closed)
    assert one.heard == []


def test_one_that_starts_or_hears_the_supervisor_hears_all(crawler: Crawler) -> None:
    used = [Starting(crawler), Middleware(crawler, signals.item_scraped)]
    sleeping(crawler, *used)
    crawler.say(signals.spider_opened, signals.item_scraped, signals.spider_closed)
    assert [one.heard for one in used] == [
        ["opened one", "closed"],
        ["opened one", "told", "closed"],
    ]


@pytest.mark.parametrize("kind", [Middleware, Awaiting])
def test_once_it_is_used_it_hears_what_it_has_missed(
    kind: type[Middleware], crawler: Crawler
) -> None:
    one = kind(crawler)
    dormant = sleeping(crawler, one)
    crawler.say(signals.spider_opened)
    asyncio.run(dormant.wake())
    assert one.heard == ["opened one"]
    asyncio.run(dormant.wake())
    crawler.say(signals.spider_closed)
    assert one.heard == ["opened one", "closed"]


def test_woken_before_the_spider_opens_it_is_told_once(crawler: Crawler) -> None:
    one = Middleware(crawler)
    asyncio.run(sleeping(crawler, one).wake())
    crawler.say(signals.spider_opened)
    assert one.heard == ["opened one"]


def test_an_error_is_logged_as_by_scrapy(
    crawler: Crawler, caplog: pytest.LogCaptureFixture
) -> None:
    one = Failing(crawler)
    dormant = sleeping(crawler, one)
    crawler.say(signals.spider_opened)
    asyncio.run(dormant.wake())
    (record,) = caplog.records
    assert record.getMessage().startswith("Error caught on signal handler: <bound")
