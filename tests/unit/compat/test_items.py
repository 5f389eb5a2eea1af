"""What Scrapy does for each item, with fewer tasks and log records."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from scrapy import signals
from scrapy.signalmanager import SignalManager
from twisted.internet.defer import Deferred, succeed

from concurcrawl.compat import log_lines
from concurcrawl.compat.signals import send_with_few_tasks
from tests.unit.compat.crawlers import crawler_of

LOGGER = logging.getLogger("scrapy.core.scraper")


def plain(item: Any) -> str:
    return f"plain {item}"


async def late(item: Any, signal: object) -> str:
    await asyncio.sleep(0)
    return f"late {item} {signal is signals.item_scraped}"


def deferred(**about: Any) -> Deferred[str]:
    return succeed(f"deferred {sorted(about)}")


def fails() -> None:
    raise ValueError("plain")


async def fails_late() -> None:
    raise ValueError("late")


RECEIVERS = (plain, late, deferred, fails, fails_late)


@pytest.mark.filterwarnings("ignore:.*returned a Deferred")
def test_receivers_are_called_as_scrapy_calls_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def send(*, has_few_tasks: bool) -> list[tuple[Any, str]]:
        manager = SignalManager(object())
        for receiver in RECEIVERS:
            manager.connect(receiver, signals.item_scraped)
        if has_few_tasks:
            send_with_few_tasks(manager, {signals.item_scraped})
        answers = await manager.send_catch_log_async(
            signals.item_scraped, item=1, spider=None
        )
        return [(receiver, repr(answer)) for receiver, answer in answers]

    expected = asyncio.run(send(has_few_tasks=False))
    lines = [(one.name, one.message, one.exc_info is None) for one in caplog.records]
    caplog.clear()
    assert asyncio.run(send(has_few_tasks=True)) == expected
    assert len(expected) == len(RECEIVERS)
    assert lines == [
        (one.name, one.message, one.exc_info is None) for one in caplog.records
    ]
    assert len(lines) == 2


def test_no_task_is_begun_for_a_plain_receiver() -> None:
    seen: list[asyncio.Task[Any] | None] = []

    async def send() -> None:
        manager = SignalManager(object())
        own = asyncio.current_task()

        def receive() -> None:
            seen.append(asyncio.current_task())

        manager.connect(receive, signals.item_scraped)
        manager.connect(receive, signals.spider_opened)
        send_with_few_tasks(manager, {signals.item_scraped})
        await manager.send_catch_log_async(signals.item_scraped)
        assert seen == [own]
        await manager.send_catch_log_async(signals.spider_opened)
        assert seen[1] is not own

    asyncio.run(send())


def test_a_line_is_made_only_if_something_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler = logging.Handler(logging.INFO)
    monkeypatch.setattr(LOGGER, "handlers", [handler])
    monkeypatch.setattr(LOGGER, "propagate", False)
    crawler = crawler_of()
    log_lines.leave_out_unread(crawler)

    def line() -> Any:
        assert crawler.spider is not None
        return crawler.logformatter.scraped({"a": 1}, None, crawler.spider)

    assert line() is None
    handler.setLevel(logging.DEBUG)
    assert line()["level"] == logging.DEBUG
    handler.setLevel(logging.INFO)
    monkeypatch.setattr(LOGGER, "filters", [logging.Filter()])
    assert line() is not None
