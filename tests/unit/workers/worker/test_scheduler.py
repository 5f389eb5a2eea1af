"""What a worker's scheduler passes on, with made-up parts of the app."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scrapy import Request
from scrapy.utils.defer import maybe_deferred_to_future

from concurcrawl.errors import NotShippableError
from concurcrawl.limits.slots import Slots
from concurcrawl.workers.worker.scheduler import WorkerScheduler

URL = "http://a.example/"


class FakeApp:
    """Takes all requests but those with a live value, and notes the calls.

    Attributes:
        waiting: Requests of leases that are not begun, and those kept here.
        holds_leases: Whether a callback of a lease runs.
    """

    def __init__(self) -> None:
        self.waiting: list[Request] = []
        self.calls: list[tuple[Any, ...]] = []
        self.holds_leases = True
        self.leases = self.products = self.claims = self.outbox = self
        self.limiter = SimpleNamespace(
            slot_limits=object(), group_of=lambda _: "a.example"
        )

    def __len__(self) -> int:
        return len(self.waiting)

    def next_request(self) -> Request | None:
        return self.waiting.pop() if self.waiting else None

    def add_request(self, request: Request, group: str) -> None:
        if "live" in request.meta:
            raise NotShippableError(str(request), "it is live")
        self.calls.append(("sent", request.url))

    def keep(self, request: Request) -> bool:
        if self.holds_leases:
            self.waiting.append(request)
        return self.holds_leases

    def write_stat(self, how: str, key: str, value: Any) -> None:
        self.calls.append((how, key, value))

    async def close(self) -> None:
        self.calls.append(("closed",))


class Bench:
    """A scheduler, the app it belongs to, and an engine that notes refusals."""

    def __init__(self) -> None:
        self.app: Any = FakeApp()
        self.refused: list[Request] = []
        self.engine = SimpleNamespace(
            refuse=lambda request, _: self.refused.append(request),
            downloader=SimpleNamespace(slots=Slots()),
        )
        self.scheduler = WorkerScheduler(cast("Any", self.app), self.engine)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_requests_come_from_leases(bench: Bench) -> None:
    scheduler = bench.scheduler
    assert not scheduler.has_pending_requests()
    bench.app.waiting.append(Request(URL))
    assert (scheduler.has_pending_requests(), len(scheduler)) == (True, 1)
    found = scheduler.next_request()
    assert found is not None
    assert found.url == URL
    assert scheduler.next_request() is None
    assert not scheduler.has_pending_requests()


def test_a_request_goes_to_the_supervisor_if_it_can(bench: Bench) -> None:
    assert bench.scheduler.enqueue_request(Request(URL))
    assert bench.app.calls == [("sent", URL)]


def test_a_request_that_cannot_stays_here_and_is_pending(bench: Bench) -> None:
    assert bench.scheduler.enqueue_request(Request(URL, meta={"live": 1}))
    assert bench.scheduler.has_pending_requests()
    assert len(bench.scheduler) == 1
    assert bench.app.calls == []


def test_a_request_of_no_lease_that_cannot_leave_is_refused(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.app.holds_leases = False
    request = Request(URL, meta={"live": 1})
    with caplog.at_level(logging.ERROR):
        assert not bench.scheduler.enqueue_request(request)
    assert bench.refused == [request]
    assert bench.app.calls == [("inc", "concurcrawl/not_shippable", 1)]
    assert len(caplog.records) == 1


def test_slots_show_the_limits_once_the_scheduler_opens(bench: Bench) -> None:
    spider: Any = None
    bench.scheduler.open(spider)
    assert bench.engine.downloader.slots.limits is bench.app.limiter.slot_limits


def test_at_the_end_the_outbox_is_closed(bench: Bench) -> None:
    async def close() -> None:
        closed = bench.scheduler.close("finished")
        assert closed is not None
        await maybe_deferred_to_future(closed)

    asyncio.run(close())
    assert bench.app.calls == [("closed",)]
