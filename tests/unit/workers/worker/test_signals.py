"""Which signals a worker sends and which it reports."""

from __future__ import annotations

import asyncio
import errno
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request, Spider, signals

from concurcrawl.errors import NotSharedError
from concurcrawl.workers.worker.signals import WorkerSignals
from tests.support.fakes import made_crawler

URL = "http://a.example/"

mine = object()


class Worker:
    """A worker's signal manager, and what its receivers and its reports get."""

    def __init__(self, *, has_app: bool = True) -> None:
        self.crawler = made_crawler()
        self.crawler.has_app = has_app
        if has_app:
            self.crawler.app = SimpleNamespace(reports=self)
        self.crawler.closes_spider = False
        self.signals = WorkerSignals(self.crawler)
        self.received: list[Any] = []
        self.reported: list[tuple[Any, ...]] = []

    def add(self, name: str, about: dict[str, Any]) -> None:
        self.reported.append(("replayed", name))

    def add_own(self, signal: Any, about: dict[str, Any]) -> None:
        self.reported.append(("own", signal))

    def receive(self) -> None:
        self.received.append("received")


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_signal_that_the_supervisor_sends_is_reported_and_not_sent_here(
    worker: Worker,
) -> None:
    worker.signals.connect(worker.receive, signals.response_received)
    worker.signals.send_catch_log(signals.response_received, request=Request(URL))
    assert worker.received == []
    assert worker.reported == [("replayed", "response_received")]


def test_a_signal_of_the_supervisor_alone_has_no_receivers_here(
    worker: Worker,
) -> None:
    worker.signals.connect(worker.receive, signals.item_scraped)
    worker.signals.send_catch_log(signals.item_scraped)
    assert worker.received == []


def test_a_signal_of_the_projects_own_is_sent_here_and_reported(
    worker: Worker,
) -> None:
    worker.signals.connect(worker.receive, mine)
    worker.signals.send_catch_log(mine)
    asyncio.run(worker.signals.send_catch_log_async(mine))
    assert worker.received == ["received", "received"]
    assert worker.reported == [("own", mine), ("own", mine)]


def test_a_signal_that_a_spider_sends_while_it_is_made_is_not_reported() -> None:
    worker = Worker(has_app=False)
    worker.signals.connect(worker.receive, mine)
    worker.signals.send_catch_log(mine)
    assert (worker.received, worker.reported) == (["received"], [])


@pytest.mark.parametrize("closes_spider", [False, True])
def test_the_spider_is_closed_here_only_where_that_is_configured(
    closes_spider: bool,
) -> None:
    class Closing(Spider):
        name = "closing"
        calls: list[str] = []  # noqa: RUF012 - of the class, as the receiver is

        def ended(self) -> None:
            self.calls.append("ended")

    worker = Worker()
    worker.crawler.spidercls = Closing
    worker.crawler.closes_spider = closes_spider
    spider = Closing()
    worker.signals.connect(spider.ended, signals.spider_closed)
    worker.signals.connect(worker.receive, signals.spider_closed)
    worker.signals.send_catch_log(signals.spider_closed)
    assert spider.calls == ["ended"] * closes_spider
    assert worker.received == ["received"]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOSPC])
def test_a_file_that_another_process_has_stops_the_worker(number: int) -> None:
    worker = Worker()

    def open_file() -> None:
        raise OSError(number, "cannot be opened")

    worker.signals.connect(open_file, signals.spider_opened)
    logging.disable()
    try:
        if number == errno.EAGAIN:
            with pytest.raises(NotSharedError):
                asyncio.run(worker.signals.send_catch_log_async(signals.spider_opened))
        else:  # which Scrapy logs, as ever
            results = dict(
                asyncio.run(worker.signals.send_catch_log_async(signals.spider_opened))
            )
            assert isinstance(results[open_file], OSError)
    finally:
        logging.disable(logging.NOTSET)
