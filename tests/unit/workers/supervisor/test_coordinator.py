"""What workers ask and are told, with workers that are connections in the test."""

from __future__ import annotations

import asyncio
from http.cookiejar import Cookie
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http import TextResponse

from concurcrawl import registry
from concurcrawl.errors import LeaseReturnedError
from concurcrawl.limits.limiter import FetchResult, Written
from concurcrawl.workers.protocol.cookies import CookieChange
from concurcrawl.workers.protocol.messages.leases import Idle, Recall, Returned
from concurcrawl.workers.protocol.messages.lifecycle import Drain, Pause
from concurcrawl.workers.protocol.messages.limits import (
    CrawlDelay,
    RequestLeft,
    RequestSent,
    SlotChanged,
    Throttled,
)
from concurcrawl.workers.protocol.messages.questions import (
    Answer,
    Ask,
    Claim,
    Enter,
    FetchRobots,
)
from concurcrawl.workers.protocol.messages.signals import Subscribe
from concurcrawl.workers.protocol.messages.state import ChangeState, SetCookies
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.supervisor.app import SupervisorApp
from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler
from tests.support.fakes import (
    FakeTransport,
    in_fake_time,
    made_crawler,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from concurcrawl.frontier.base import Lease
    from concurcrawl.workers.supervisor.worker_handle import WorkerHandle

A, B = "a.example", "b.example"
ROBOTS = Request("http://a.example/robots.txt", meta={"live": 1})
COOKIE = CookieChange(
    None,
    Cookie(
        *(0, "id", "7", None, False, A, True, False, "/", True, False, None),
        *(True, None, None, {}),
    ),
    (A, "/", "id"),
)


class Bench:
    """A coordinator of two workers, which are connections without processes."""

    def __init__(self, **settings: Any) -> None:
        self.crawler = made_crawler(CookiesMiddleware(), slots=(4, 4), **settings)
        self.engine: Any = self.crawler.engine
        self.scheduler = SupervisorScheduler.from_crawler(self.crawler)
        self.engine.scheduler = self.scheduler
        self.app = registry.app_of(self.crawler, SupervisorApp)
        self.pool, self.coordinator = self.app.pool, self.app.coordinator
        self.coordinator.open()
        self.one, self.two = self.pool.workers
        self.transports = {one: FakeTransport() for one in self.pool.workers}
        for worker, transport in self.transports.items():
            worker.connection_made(transport)

    def hear(self, worker: WorkerHandle, message: Any) -> None:
        self.app.on_message(worker, message)

    async def said(self, worker: WorkerHandle, kind: Any = object) -> list[Any]:
        """Return what *worker* was sent since the last call."""
        await settled()
        received = self.transports[worker].received()
        return [one for one in received if isinstance(one, kind)]

    def lease(self, worker: WorkerHandle, name: str = "") -> Lease:
        """Have *worker* hold a request."""
        assert self.scheduler.enqueue_request(Request(f"http://{A}/{name}"))
        request = self.app.queue.acquire()
        assert request is not None
        lease = self.app.queue.lease_of(request)
        assert lease is not None
        others = [one for one in self.pool.workers if one is not worker]
        for one in others:
            one.is_standby = True
        end = self.pool.dispatch(lease)
        end.add_done_callback(asyncio.Future.exception)
        for one in others:
            one.is_standby = False
        self.ends = [*getattr(self, "ends", ()), end]
        return lease

    def ask(self, worker: WorkerHandle, number: int, question: Any) -> None:
        self.hear(worker, Ask(number, question))

    def close(self) -> None:
        self.app.storage.frontier.close()
        self.engine.downloader.launcher.close_all()


def on_bench(
    **settings: Any,
) -> Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], Callable[[], None]]:
    def decorate(
        test: Callable[[Bench], Coroutine[Any, Any, None]],
    ) -> Callable[[], None]:
        @in_fake_time
        async def run() -> None:
            bench = Bench(**settings)
            try:
                await test(bench)
            finally:
                bench.close()

        def test_it() -> None:
            run()

        return test_it

    return decorate


# Questions --------------------------------------------------------------------------


@on_bench(DOWNLOAD_SLOTS={A: {"concurrency": 1}})
async def test_a_request_that_asks_starts_when_its_site_has_room(bench: Bench) -> None:
    bench.ask(bench.one, 1, Enter(A, None))
    bench.ask(bench.two, 7, Enter(A, None))
    assert await bench.said(bench.one, Answer) == [Answer(1)]
    assert await bench.said(bench.two, Answer) == []
    bench.hear(bench.one, RequestSent(A, None, 0.0))
    bench.hear(bench.one, RequestLeft(A, None, FetchResult(status=200)))
    assert await bench.said(bench.two, Answer) == [Answer(7)]


@on_bench()
async def test_an_error_is_the_askers_to_handle(bench: Bench) -> None:
    bench.ask(bench.one, 3, Claim(1, b"k", b"no pickle"))
    (answer,) = await bench.said(bench.one, Answer)
    assert answer.number == 3
    assert answer.error is not None


@on_bench()
async def test_a_request_that_stays_in_a_worker_is_new_once(bench: Bench) -> None:
    lease = bench.lease(bench.one)
    claim = Claim(lease.lease_id, b"k", Codec().encode(Request(f"http://{A}/l")))
    bench.ask(bench.one, 1, claim)
    bench.ask(bench.one, 2, claim)
    found = await bench.said(bench.one, Answer)
    assert found == [Answer(1, b"new"), Answer(2, b"")]


@on_bench()
async def test_a_robots_txt_is_fetched_once_for_all(bench: Bench) -> None:
    bench.engine.respond = lambda request: TextResponse(request.url, body=b"Allow: /")
    question = FetchRobots(Codec().encode(ROBOTS))
    bench.ask(bench.one, 1, question)
    bench.ask(bench.two, 2, question)
    await asyncio.sleep(5)
    bench.ask(bench.two, 3, question)
    answers = await bench.said(bench.one, Answer) + await bench.said(bench.two, Answer)
    found = [Codec().decode(answer.value) for answer in answers]
    assert [is_first for is_first, _ in found] == [True, False, False]
    assert {response.body for _, response in found} == {b"Allow: /"}
    assert len(bench.engine.fetched) == 1


@on_bench()
async def test_a_worker_that_is_gone_gets_no_answer(bench: Bench) -> None:
    bench.ask(bench.one, 1, Enter(A, None))
    bench.one.is_gone = True
    assert await bench.said(bench.one, Answer) == []


# Sites ------------------------------------------------------------------------------


@on_bench(DOWNLOAD_SLOTS={A: {"concurrency": 1}})
async def test_what_a_lost_worker_had_at_a_site_leaves_it(bench: Bench) -> None:
    bench.ask(bench.one, 1, Enter(A, None))
    bench.ask(bench.two, 2, Enter(A, None))
    await settled()
    bench.app.on_lost(bench.one)
    assert await bench.said(bench.two, Answer) == [Answer(2)]


@on_bench(DOWNLOAD_SLOTS={A: {"concurrency": 1}})
async def test_what_is_admitted_for_a_worker_that_died_in_line_leaves_again(
    bench: Bench,
) -> None:
    for number, worker in enumerate((bench.two, bench.one, bench.two)):
        bench.ask(worker, number, Enter(A, None))
        await settled()
    bench.one.is_gone = True
    bench.app.on_lost(bench.one)
    bench.hear(bench.two, RequestLeft(A, None, FetchResult(status=200)))
    assert await bench.said(bench.two, Answer) == [Answer(0), Answer(2)]


@on_bench(DOWNLOAD_SLOTS={A: {"concurrency": 1}})
async def test_a_lease_of_a_lost_worker_waits_at_no_site(bench: Bench) -> None:
    bench.ask(bench.two, 1, Enter(A, None))
    await settled()
    bench.hear(bench.two, RequestLeft(A, None, FetchResult(status=200)))
    lease = bench.lease(bench.one)
    bench.ask(bench.one, 2, Enter(A, lease.lease_id))
    await settled()
    bench.app.on_lost(bench.one)
    bench.ask(bench.two, 3, Enter(A, None))
    assert Answer(3) in await bench.said(bench.two, Answer)


@on_bench(CONCURRENT_REQUESTS=2)
async def test_idle_leases_are_recalled_for_a_request_that_has_none(
    bench: Bench,
) -> None:
    lease = bench.lease(bench.one)
    other = bench.lease(bench.one, "other")
    bench.ask(bench.two, 1, Enter(B, None))
    assert await bench.said(bench.two) == []
    await asyncio.sleep(1)
    assert await bench.said(bench.one, Recall) == [Recall(True)]
    assert await bench.said(bench.two) == [Recall(True)]
    bench.hear(bench.one, Idle((lease.lease_id, 99)))
    assert await bench.said(bench.two) == [Recall(False), Answer(1)]
    assert other.lease_id in bench.one.held


@on_bench()
async def test_a_request_that_finds_room_at_once_recalls_nothing(bench: Bench) -> None:
    bench.ask(bench.two, 1, Enter(B, None))
    await asyncio.sleep(1)
    assert await bench.said(bench.one) == []


@pytest.mark.parametrize("status", [429, 503])
def test_after_a_refusal_all_workers_ask_before_they_go_there(status: int) -> None:
    @on_bench()
    async def test(bench: Bench) -> None:
        lease = bench.lease(bench.one)
        left = RequestLeft(A, lease.lease_id, FetchResult(status=status))
        bench.hear(bench.one, left)
        bench.hear(bench.one, left)
        for worker in bench.pool.workers:
            assert await bench.said(worker, Throttled) == [Throttled(A)]

    test()


@on_bench()
async def test_the_pace_of_a_robots_txt_counts_for_all(bench: Bench) -> None:
    bench.hear(bench.one, CrawlDelay(A, 7.0))
    assert await bench.said(bench.two) == [Throttled(A)]
    assert bench.app._pace.entered(A, None)  # time must pass until the next


@on_bench()
async def test_limits_that_a_worker_writes_are_told_to_all(bench: Bench) -> None:
    change = SlotChanged(A, A, Written(delay_s=3))
    bench.hear(bench.one, change)
    for worker in bench.pool.workers:
        assert await bench.said(worker) == [Throttled(A), change]
    assert bench.app.politeness.needs_asking(A)


# What all share ---------------------------------------------------------------------


@on_bench()
async def test_leases_that_are_returned_are_taken_from_the_worker(
    bench: Bench,
) -> None:
    lease = bench.lease(bench.one)
    bench.hear(bench.one, Returned((lease.lease_id,)))
    assert not bench.one.held
    assert isinstance(bench.ends[0].exception(), LeaseReturnedError)


@on_bench()
async def test_a_pause_is_the_whole_crawls(bench: Bench) -> None:
    looks = bench.engine.looks
    bench.hear(bench.one, Pause(True))
    assert bench.engine.paused
    assert bench.engine.looks == looks
    bench.engine.unpause()
    assert not bench.engine.paused
    assert bench.engine.looks == looks + 1  # it goes on at once
    for worker in bench.pool.workers:
        assert await bench.said(worker) == [Pause(True), Pause(False)]


@on_bench()
async def test_workers_drain_before_the_engine_closes(bench: Bench) -> None:
    await bench.crawler.engine.close_spider_async(reason="enough")
    assert bench.engine.closed_for == ["enough"]
    assert await bench.said(bench.one) == [Drain()]


@on_bench()
async def test_cookies_of_one_worker_reach_all_others(bench: Bench) -> None:
    bench.coordinator.on_cookies(bench.one, [])
    bench.coordinator.on_cookies(bench.one, [COOKIE])
    assert await bench.said(bench.one) == []
    (message,) = await bench.said(bench.two)
    assert [change.place for change in message.changes] == [COOKIE.place]


@on_bench()
async def test_changes_of_the_state_reach_all_but_who_made_them(bench: Bench) -> None:
    bench.coordinator.send_state([b"change"], bench.one.name)
    assert await bench.said(bench.one) == []
    assert await bench.said(bench.two) == [ChangeState((b"change",))]


@on_bench()
async def test_a_worker_that_starts_later_is_told_all_that_was_said(
    bench: Bench,
) -> None:
    coordinator = bench.coordinator
    assert [type(one) for one in bench.app.handshake()] == [
        *(Subscribe, SetCookies, Recall, Pause),
    ]
    coordinator.on_cookies(bench.one, [COOKIE])
    coordinator.throttle(B)
    coordinator.change_limits(A, A, Written(concurrency=2))
    bench.hear(bench.one, Pause(True))
    bench.engine._slot.closing = True
    listen, cookies, *others = bench.app.handshake()
    assert isinstance(listen, Subscribe)
    assert isinstance(cookies, SetCookies)
    assert [change.place for change in cookies.changes] == [COOKIE.place]
    assert set(others[:2]) == {Throttled(A), Throttled(B)}
    assert others[2:] == [
        SlotChanged(A, A, Written(concurrency=2)),
        Drain(),
        Recall(False),
        Pause(True),
    ]
