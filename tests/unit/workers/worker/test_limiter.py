"""When a worker asks before a request, with a fake connection."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from scrapy import Request
from scrapy.settings import Settings

from concurcrawl.limits.limiter import FetchResult, Written
from concurcrawl.limits.slots import Slots
from concurcrawl.workers.protocol.messages.leases import Idle, Recall
from concurcrawl.workers.protocol.messages.limits import (
    CrawlDelay,
    RequestLeft,
    RequestSent,
    SlotChanged,
    Throttled,
)
from concurcrawl.workers.protocol.messages.questions import Enter
from concurcrawl.workers.worker.limiter import WorkerLimiter


class Bench:
    """The leases of a worker, its limiter and the messages that were sent.

    Attributes:
        waiting: Leases that are not begun.
    """

    def __init__(self, *leases: Request, **settings: Any) -> None:
        self.leases = {request: number for number, request in enumerate(leases, 1)}
        self.waiting: set[int] = set()
        self.sent: list[object] = []
        found = cast("Any", self)
        self.limiter = WorkerLimiter(found, found, found, Settings(settings))

    def enter(self, request: Request) -> bool:
        return asyncio.run(self.limiter.enter(request))

    def lease_id_of(self, request: Request | None) -> int | None:
        return None if request is None else self.leases.get(request)

    def lease_ids(self) -> set[int]:
        return {*self.leases.values(), *self.waiting}

    async def ask(self, question: object) -> None:
        self.sent.append(question)

    def send(self, message: object) -> None:
        self.sent.append(message)


A, B, C = (Request(f"http://{host}/") for host in ("a", "b", "c"))
TOKEN = Request("http://token/")


def test_a_leased_request_without_limits_does_not_ask() -> None:
    bench = Bench(A)
    bench.enter(A)
    assert bench.sent == []


def test_before_a_request_without_a_lease_those_not_at_their_sites_are_reported() -> (
    None
):
    bench = Bench(A, B)
    bench.waiting = {3}
    bench.enter(A)
    bench.enter(TOKEN)
    (idle, enter) = bench.sent
    assert isinstance(idle, Idle)
    assert set(idle.lease_ids) == {2, 3}
    assert enter == Enter("token", None)


def test_a_lease_that_was_reported_asks_before_it_goes_to_its_site() -> None:
    bench = Bench(A)
    bench.limiter.report_idle()
    bench.enter(A)
    assert bench.sent == [Idle((1,)), Enter("a", 1)]


def test_a_lease_is_reported_once() -> None:
    bench = Bench(A)
    bench.limiter.report_idle()
    bench.limiter.report_idle()
    assert bench.sent == [Idle((1,))]


def test_a_lease_that_leaves_its_site_is_reported_at_once_during_a_recall() -> None:
    bench = Bench(A)
    bench.enter(A)
    bench.limiter.on_recall(Recall(True))
    bench.limiter.report_if_recalled()
    assert bench.sent == []  # it is at its site
    bench.limiter.leave(A, FetchResult(status=200))
    assert bench.sent == [Idle((1,))]


def test_during_a_recall_each_request_asks() -> None:
    bench = Bench(A)
    bench.limiter.on_recall(Recall(True))
    bench.enter(A)
    assert bench.sent == [Enter("a", 1)]


def test_a_request_that_asked_reports_when_it_is_sent_and_how_it_went() -> None:
    bench = Bench(A)
    bench.limiter.on_throttled(Throttled("a"))
    assert bench.enter(A)
    bench.limiter.sent(A, 7.0)
    bench.limiter.leave(A, FetchResult(status=200))
    assert bench.sent == [
        Enter("a", 1),
        RequestSent("a", 1, 7.0),
        RequestLeft("a", 1, FetchResult(status=200)),
    ]


def test_a_refusal_is_reported_by_a_request_that_did_not_ask_too() -> None:
    bench = Bench(A, B)
    bench.enter(A)
    bench.enter(B)
    bench.limiter.leave(A, FetchResult(status=429))
    bench.limiter.leave(B, FetchResult(status=404))
    assert bench.sent == [RequestLeft("a", 1, FetchResult(status=429))]


def test_a_crawl_delay_of_a_robots_txt_is_reported_and_counts_at_once() -> None:
    bench = Bench(A)
    robots: Any = SimpleNamespace(crawl_delay=lambda _: 7)
    bench.limiter.on_robots_parsed(robots, A)
    bench.enter(A)
    assert bench.sent == [CrawlDelay("a", 7.0), Enter("a", 1)]


def test_what_is_written_to_a_slot_is_reported_and_counts_at_once() -> None:
    bench = Bench(A, B)
    slots = Slots()
    slots.limits = bench.limiter.slot_limits
    slots.open("a", A).delay = 3
    changed = SlotChanged("a", "a", Written(delay_s=3))
    assert bench.sent == [changed]
    assert slots["a"].delay == 3
    assert bench.enter(A)
    assert not bench.enter(B)
    assert bench.sent == [changed, Enter("a", 1)]


def test_what_another_process_wrote_to_a_slot_is_shown() -> None:
    bench = Bench()
    slots = Slots()
    slots.limits = bench.limiter.slot_limits
    slot = slots.open("a", A)
    written = Written(delay_s=3, concurrency=2)
    bench.limiter.on_slot_changed(SlotChanged("a", "a", written))
    assert (slot.delay, slot.concurrency) == (3, 2)
    slot.delay = 3  # as it is
    assert bench.sent == []


def test_a_request_that_was_moved_out_of_a_group_with_limits_asks() -> None:
    moved = Request("http://a/", meta={"download_slot": "mine"})
    slots = {"mine": {"delay": 0}}
    bench = Bench(moved, DOWNLOAD_DELAY=1, DOWNLOAD_SLOTS=slots)
    bench.enter(moved)
    assert bench.sent == [Enter("mine", 1)]
