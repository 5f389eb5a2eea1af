"""What a worker's scheduler and signals pass on, with a made-up channel."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, Spider, signals
from scrapy.utils.defer import maybe_deferred_to_future

from concurcrawl.errors import NotSharedError, NotShippableError
from concurcrawl.workers.worker.crawler import WorkerScheduler, WorkerSignals
from tests.support.fakes import in_fake_time, made_crawler

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "http://a.example/"

mine = object()


class FakeChannel:
    """Takes all but what has a live value, and notes what it is told."""

    def __init__(self) -> None:
        self.inbox: list[Request] = []
        self.local: list[Request] = []
        self.calls: list[tuple[Any, ...]] = []
        self.holds_leases = True
        self.throttled: set[str] = set()
        self.on_recall: Callable[[], None] = lambda: None
        self.on_limits: Callable[[Any], None] = lambda _: None
        self.reports = self

    def next_request(self) -> Request | None:
        return self.inbox.pop() if self.inbox else None

    def add_request(self, request: Request, group: str) -> None:
        if "live" in request.meta:
            raise NotShippableError(str(request), "it is live")
        self.calls.append(("sent", request.url))

    def keep_local(self, request: Request) -> bool:
        if self.holds_leases:
            self.local.append(request)
        return self.holds_leases

    def write_stat(self, how: str, key: str, value: Any) -> None:
        self.calls.append((how, key, value))

    async def retire(self) -> None:
        self.calls.append(("retired",))

    def add(self, name: str, about: dict[str, Any]) -> None:
        self.calls.append(("replayed", name))

    def report_own(self, signal: Any, about: dict[str, Any]) -> None:
        self.calls.append(("own", signal))


class Worker:
    """A worker's crawler, as far as it matters here."""

    def __init__(self) -> None:
        self.channel = FakeChannel()
        self.crawler = made_crawler()
        self.crawler.channel = self.channel
        self.crawler.closes_spider = False
        self.refused: list[Request] = []
        self.crawler.engine.refuse = lambda request, _: self.refused.append(request)
        self.signals = WorkerSignals(self.crawler)
        self.told: list[Any] = []

    def scheduler(self) -> WorkerScheduler:
        return WorkerScheduler(self.crawler)

    def hear(self) -> None:
        self.told.append("heard")


@pytest.fixture
def worker() -> Worker:
    return Worker()


# The scheduler ----------------------------------------------------------------------


def test_requests_come_from_the_channel(worker: Worker) -> None:
    scheduler = worker.scheduler()
    assert not scheduler.has_pending_requests()
    worker.channel.inbox.append(Request(URL))
    assert (scheduler.has_pending_requests(), len(scheduler)) == (True, 1)
    found = scheduler.next_request()
    assert found is not None
    assert found.url == URL
    assert scheduler.next_request() is None
    assert not scheduler.has_pending_requests()


def test_a_request_goes_to_the_supervisor_if_it_can(worker: Worker) -> None:
    assert worker.scheduler().enqueue_request(Request(URL))
    assert worker.channel.calls == [("sent", URL)]


def test_a_request_that_cannot_stays_here_and_is_pending(worker: Worker) -> None:
    scheduler = worker.scheduler()
    assert scheduler.enqueue_request(Request(URL, meta={"live": 1}))
    assert scheduler.has_pending_requests()
    assert len(scheduler) == 1
    assert worker.channel.calls == []


def test_a_request_of_no_lease_that_cannot_travel_is_refused(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.channel.holds_leases = False
    request = Request(URL, meta={"live": 1})
    with caplog.at_level(logging.ERROR):
        assert not worker.scheduler().enqueue_request(request)
    assert worker.refused == [request]
    assert worker.channel.calls == [("inc", "concurcrawl/not_shippable", 1)]
    assert len(caplog.records) == 1


@in_fake_time
async def test_at_the_end_the_channel_retires() -> None:
    worker = Worker()
    closed = worker.scheduler().close("finished")
    assert closed is not None
    await maybe_deferred_to_future(closed)
    assert worker.channel.calls == [("retired",)]


# Signals ----------------------------------------------------------------------------


def test_what_the_supervisor_sends_is_reported_and_not_sent_here(
    worker: Worker,
) -> None:
    worker.signals.connect(worker.hear, signals.response_received)
    worker.signals.send_catch_log(signals.response_received, request=Request(URL))
    assert worker.told == []
    assert worker.channel.calls == [("replayed", "response_received")]


def test_what_the_supervisor_sends_by_itself_has_no_receivers_here(
    worker: Worker,
) -> None:
    worker.signals.connect(worker.hear, signals.item_scraped)
    worker.signals.send_catch_log(signals.item_scraped)
    assert worker.told == []


def test_a_signal_of_the_projects_own_is_sent_here_and_reported(
    worker: Worker,
) -> None:
    worker.signals.connect(worker.hear, mine)
    worker.signals.send_catch_log(mine)
    asyncio.run(worker.signals.send_catch_log_async(mine))
    assert worker.told == ["heard", "heard"]
    assert worker.channel.calls == [("own", mine), ("own", mine)]


@pytest.mark.parametrize("closes_spider", [False, True])
def test_the_spider_hears_its_end_here_only_where_that_is_asked_for(
    closes_spider: bool,
) -> None:
    class Closing(Spider):
        name = "closing"
        heard: list[str] = []  # noqa: RUF012 - of the class, as the receiver is

        def ended(self) -> None:
            self.heard.append("ended")

    worker = Worker()
    worker.crawler.spidercls = Closing
    worker.crawler.closes_spider = closes_spider
    spider = Closing()
    worker.signals.connect(spider.ended, signals.spider_closed)
    worker.signals.connect(worker.hear, signals.spider_closed)
    worker.signals.send_catch_log(signals.spider_closed)
    assert spider.heard == ["ended"] * closes_spider
    assert worker.told == ["heard"]


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
