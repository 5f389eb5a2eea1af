"""What the engine gets from the scheduler of one process, over a real frontier."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request
from scrapy.dupefilters import BaseDupeFilter

from concurcrawl import registry
from concurcrawl.limits.limiter import FetchResult
from concurcrawl.local import waiting
from concurcrawl.local.app import LocalApp
from concurcrawl.local.scheduler import FrontierScheduler
from tests.support.fakes import counted, in_fake_time, made_crawler, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.support.fakes import FakeEngine

URL = "http://a.example/"
FIFO = "scrapy.squeues.FifoMemoryQueue"


class Bench:
    """A scheduler that is open, and the engine that it is of."""

    def __init__(self, **settings: Any) -> None:
        self.crawler = made_crawler(**settings)
        self.engine: FakeEngine = self.crawler.engine
        self.scheduler = FrontierScheduler.from_crawler(self.crawler)
        self.app = registry.app_of(self.crawler, LocalApp)
        self.engine.scheduler = self.scheduler
        self.scheduler.open(self.crawler.spider)

    def push(self, *names: str, **about: Any) -> list[bool]:
        requests = [Request(URL + name, **about) for name in names]
        return [self.scheduler.enqueue_request(request) for request in requests]

    def next(self) -> Request:
        """Begin the next request, which must be there."""
        request = self.scheduler.next_request()
        assert request is not None
        self.engine._slot.inprogress.add(request)
        return request

    def order(self) -> str:
        """Begin all that may start; return their names."""
        return "".join(self.next().url[-1] for _ in range(len(self.scheduler)))

    def let_go(self, *requests: Request) -> None:
        """Have the engine let go of requests, and look for others."""
        self.engine._slot.inprogress.difference_update(requests)
        self.engine._slot.nextcall._func()

    async def pause_site(self, pause_s: float) -> None:
        """Have the site ask for a pause while a request waits."""
        self.push("first", "next")
        request, limiter = self.next(), self.app.limiter
        await limiter.enter(request)
        limiter.leave(request, FetchResult(status=503, retry_after_s=pause_s))

    def counted(self, *keys: str) -> Any:
        return counted(self.crawler.stats, *keys)


def on_bench(
    **settings: Any,
) -> Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], Callable[[], None]]:
    """Run a test with a bench, made with these settings, which it may close."""

    def decorate(
        test: Callable[[Bench], Coroutine[Any, Any, None]],
    ) -> Callable[[], None]:
        @in_fake_time
        async def run() -> None:
            bench = Bench(**settings)
            await test(bench)
            bench.scheduler.close("finished")

        def test_it() -> None:
            run()

        return test_it

    return decorate


@on_bench()
async def test_the_highest_priority_leaves_first_and_of_equals_the_newest(
    bench: Bench,
) -> None:
    bench.push("a", "b")
    bench.push("c", priority=5)
    bench.push("d", meta={"is_start_request": True})
    bench.push("e")
    assert bench.order() == "cebad"


@on_bench(SCHEDULER_MEMORY_QUEUE=FIFO, SCHEDULER_START_MEMORY_QUEUE=None)
async def test_a_queue_that_is_set_is_followed(bench: Bench) -> None:
    bench.push("a", meta={"is_start_request": True})
    bench.push("b", "c")
    assert bench.order() == "abc"


@pytest.mark.parametrize("queue", ["Lifo", "Fifo"])
def test_the_order_is_the_same_where_many_wait(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []

    @on_bench(SCHEDULER_MEMORY_QUEUE=f"scrapy.squeues.{queue}MemoryQueue")
    async def crawl(bench: Bench) -> None:
        for number in range(26):
            about = {"priority": number % 3, "meta": {"is_start_request": number < 9}}
            bench.push(chr(ord("a") + number), **about)
        orders.append(bench.order())

    crawl()
    monkeypatch.setattr(waiting, "_MOST_OBJECTS", 2)
    monkeypatch.setattr(waiting, "_PACKED_TOGETHER", 3)
    crawl()
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == [*"abcdefghijklmnopqrstuvwxyz"]


@on_bench()
async def test_a_request_is_the_very_object_that_was_pushed(bench: Bench) -> None:
    request = Request(URL, meta={"live": (n for n in range(3))})
    assert bench.scheduler.enqueue_request(request)
    assert bench.next() is request


@on_bench()
async def test_a_duplicate_is_dropped_and_counted_unless_it_asks_not_to_be(
    bench: Bench,
) -> None:
    assert bench.push("a", "a", "b") == [True, False, True]
    assert bench.push("a", dont_filter=True) == [True]
    bench.let_go(bench.next())
    assert bench.push("a") == [False]  # also when it is done
    assert bench.counted("dupefilter/filtered", "scheduler/enqueued") == {
        "dupefilter/filtered": 2,
        "scheduler/enqueued": 3,
    }


class Own(BaseDupeFilter):
    """Knows what ends with x, and whether it was opened and closed."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def open(self) -> None:
        self.calls.append("open")

    def close(self, reason: str) -> None:
        self.calls.append(reason)

    def request_seen(self, request: Request) -> bool:
        return request.url.endswith("x")

    def log(self, request: Request, spider: Any) -> None:
        self.calls.append("log")


@on_bench(DUPEFILTER_CLASS=Own)
async def test_a_filter_of_the_projects_own_decides_alone(bench: Bench) -> None:
    assert bench.push("a", "a", "x") == [True, True, False]
    assert bench.push("x", dont_filter=True) == [True]
    own: Any = bench.app.duplicates.own_filter
    bench.scheduler.close("enough")
    assert own.calls == ["open", "log", "enough"]


@on_bench()
async def test_a_request_is_pending_until_it_is_begun(bench: Bench) -> None:
    assert not bench.scheduler.has_pending_requests()
    bench.push("a")
    assert bench.scheduler.has_pending_requests()
    assert len(bench.scheduler) == len(bench.scheduler.mqs) == 1
    bench.next()
    assert not bench.scheduler.has_pending_requests()
    assert bench.scheduler.next_request() is None
    assert not bench.app.holds_back()
    assert bench.counted("scheduler/dequeued", "scheduler/dequeued/memory") == {
        "scheduler/dequeued": 1,
        "scheduler/dequeued/memory": 1,
    }


@on_bench()
async def test_a_lease_ends_when_the_engine_lets_go_of_its_request(
    bench: Bench,
) -> None:
    bench.push("a", "b")
    one, two = bench.next(), bench.next()
    bench.let_go(one)
    assert bench.app.queue.lease_of(one) is None
    assert bench.app.queue.lease_of(two) is not None


@on_bench()
async def test_what_waits_for_time_is_held_back_and_the_engine_looks_in_time(
    bench: Bench,
) -> None:
    await bench.pause_site(100)
    assert bench.scheduler.next_request() is None
    assert bench.scheduler.has_pending_requests()
    assert bench.app.holds_back()
    looks = bench.engine.looks
    await asyncio.sleep(50)
    assert bench.engine.looks == looks
    await asyncio.sleep(60)
    assert bench.engine.looks == looks + 1


@on_bench(CONCURRENT_REQUESTS=1)
async def test_a_site_is_entered_by_as_many_as_may(bench: Bench) -> None:
    bench.push("a", "b")
    one, two = bench.next(), bench.next()
    limiter = bench.app.limiter
    await limiter.enter(one)
    second = asyncio.ensure_future(limiter.enter(two))
    await settled()
    assert (set(limiter.inside), limiter.waiting) == ({one}, {two})
    limiter.leave(one, FetchResult(status=200))
    await second
    assert (set(limiter.inside), limiter.waiting) == ({two}, set())


@on_bench()
async def test_what_start_yields_after_the_end_is_let_through(bench: Bench) -> None:
    bench.scheduler.close("enough")
    assert bench.push("a") == [True]


@on_bench()
async def test_after_the_end_the_engine_is_not_asked_to_look(bench: Bench) -> None:
    await bench.pause_site(100)
    assert bench.scheduler.next_request() is None
    bench.scheduler.close("enough")
    looks = bench.engine.looks
    await asyncio.sleep(200)
    assert bench.engine.looks == looks


@on_bench()
async def test_telnet_finds_what_waits_where_scrapy_keeps_it(bench: Bench) -> None:
    bench.push("a")
    assert bench.scheduler.dqs is None
    assert len(bench.scheduler.mqs) == 1
