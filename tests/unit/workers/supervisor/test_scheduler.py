"""What the supervisor's scheduler gives out and takes back, over a real frontier."""

from __future__ import annotations

import logging
import pickle
import sqlite3
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, signals
from scrapy.utils.defer import maybe_deferred_to_future

from concurcrawl.errors import LeaseLostError
from concurcrawl.limits.limiter import Written
from concurcrawl.workers.protocol.messages.results import Product
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler, scheduler_of
from tests.support.fakes import counted, in_fake_time, made_crawler

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from concurcrawl.frontier.base import Lease
    from tests.support.fakes import FakeEngine, FakeSupervisor

URL = "http://a.example/"


class Bench:
    """A scheduler, and an engine that passes requests to it as Scrapy's does."""

    def __init__(self, **settings: Any) -> None:
        self.crawler = made_crawler(**settings)
        self.engine: FakeEngine = self.crawler.engine
        self.downloader: FakeSupervisor = self.crawler.engine.downloader
        self.scheduler = SupervisorScheduler(self.crawler)
        self.engine.scheduler = self.scheduler
        self.dropped: list[str] = []
        self.crawler.signals.connect(self._note_drop, signals.request_dropped)

    def _note_drop(self, request: Request) -> None:
        self.dropped.append(request.url[-1])

    def push(self, *names: str) -> None:
        for name in names:
            assert self.scheduler.enqueue_request(Request(URL + name))

    def product(self, name: str, **about: Any) -> Product:
        """A request as a worker sends it."""
        request = Request(URL + name, **about)
        fingerprint = self.crawler.request_fingerprinter.fingerprint
        key = b"" if request.dont_filter else fingerprint(request)
        return Product(False, Codec().encode(request), key)

    def lend(self) -> tuple[Request, Lease]:
        request = self.scheduler.lend()
        assert request is not None
        lease = self.scheduler.lease_of(request)
        assert lease is not None
        return request, lease

    def left(self) -> str:
        """Lend all that waits; return the names."""
        return "".join(self.lend()[0].url[-1] for _ in range(len(self.scheduler)))

    def counted(self, *keys: str) -> Any:
        return counted(self.crawler.stats, *keys)


def on_bench(
    test: Callable[[Bench], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    @in_fake_time
    async def run() -> None:
        bench = Bench()
        await test(bench)
        bench.scheduler._close_frontier()

    def test_it() -> None:
        run()

    return test_it


@on_bench
async def test_what_waits_is_lent_and_never_begun_by_the_engine(bench: Bench) -> None:
    bench.push("a", "b")
    assert bench.scheduler.next_request() is None
    assert bench.scheduler.has_pending_requests()
    request, _ = bench.lend()
    assert request.url == f"{URL}b"
    assert bench.scheduler.leased() == {request}
    bench.lend()
    assert bench.scheduler.lend() is None
    assert not bench.scheduler.has_pending_requests()


@on_bench
async def test_the_requests_of_a_result_wait_once_its_lease_is_complete(
    bench: Bench,
) -> None:
    bench.push("a")
    request, lease = bench.lend()
    products = [bench.product("b"), bench.product("a"), bench.product("c")]
    assert not bench.scheduler.has_pending_requests()
    assert await bench.scheduler.complete(lease, products) == []
    bench.scheduler.forget(request)
    assert bench.scheduler.leased() == set()
    assert bench.left() == "cb"
    assert bench.dropped == ["a"]
    assert bench.counted("dupefilter/filtered", "scheduler/enqueued") == {
        "dupefilter/filtered": 1,
        "scheduler/enqueued": 3,
    }


@on_bench
async def test_requests_of_no_lease_are_pushed_and_items_kept(bench: Bench) -> None:
    products = [bench.product("b")]
    assert await bench.scheduler.complete(None, products, [b"item"]) == [1]
    assert bench.left() == "b"


@on_bench
async def test_the_items_of_a_result_are_numbered(bench: Bench) -> None:
    bench.push("a")
    _, lease = bench.lend()
    assert await bench.scheduler.complete(lease, [], [b"one", b"two"]) == [1, 2]


@on_bench
async def test_of_a_lease_that_was_lost_nothing_is_taken(bench: Bench) -> None:
    bench.push("a")
    _, lease = bench.lend()
    await bench.scheduler.complete(lease, [])
    with pytest.raises(LeaseLostError):
        await bench.scheduler.complete(lease, [bench.product("b")], [b"item"])
    assert not bench.scheduler.has_pending_requests()
    assert bench.counted("scheduler/enqueued") == {"scheduler/enqueued": 1}


@on_bench
async def test_what_is_given_back_waits_again_and_is_counted_once(
    bench: Bench,
) -> None:
    bench.push("a")
    request, _ = bench.lend()
    bench.scheduler.give_back(request)
    assert bench.scheduler.leased() == set()
    assert bench.left() == "a"
    assert bench.counted("scheduler/dequeued") == {"scheduler/dequeued": 1}


@on_bench
async def test_a_request_of_a_worker_that_cannot_be_read_is_named_and_dropped(
    bench: Bench,
) -> None:
    bench.push("a")
    request, lease = bench.lend()
    heard: list[logging.LogRecord] = []
    handler: Any = SimpleNamespace(level=0, handle=heard.append)
    logger = logging.getLogger(SupervisorScheduler.__module__)
    logger.addHandler(handler)
    try:
        products = [Product(False, b"no pickle", b"k"), bench.product("b")]
        await bench.scheduler.complete(lease, products)
    finally:
        logger.removeHandler(handler)
    assert bench.left() == "b"
    assert [record.getMessage() for record in heard] == [
        f"A request of {request} cannot be read back and is dropped"
    ]
    assert bench.counted("concurcrawl/not_shippable") == {
        "concurcrawl/not_shippable": 1
    }


@on_bench
async def test_a_request_that_the_engine_drops_is_not_pushed(bench: Bench) -> None:
    engine: Any = bench.engine
    engine.crawl = lambda _: None  # as if a receiver of a signal had dropped it
    await bench.scheduler.complete(None, [bench.product("b")])
    assert not bench.scheduler.has_pending_requests()
    assert bench.dropped == []


@on_bench
async def test_a_request_that_cannot_travel_reaches_its_errback(bench: Bench) -> None:
    failed: list[Any] = []
    bench.engine.scraper.enqueue_scrape = lambda *about: failed.append(about)
    live = Request(URL, meta={"file": (n for n in range(3))}, errback=print)
    logging.disable()
    try:
        assert not bench.scheduler.enqueue_request(live)
    finally:
        logging.disable(logging.NOTSET)
    ((_, request),) = failed
    assert request is live
    assert bench.counted("concurcrawl/not_shippable") == {
        "concurcrawl/not_shippable": 1
    }


@on_bench
async def test_a_frontier_that_cannot_be_written_fails_the_crawl(bench: Bench) -> None:
    bench.push("a")
    bench.scheduler._frontier.close()
    assert not bench.scheduler.enqueue_request(Request(f"{URL}b"))
    assert bench.scheduler.lend() is None
    kinds = [type(error) for error in bench.downloader.failures]
    assert kinds == [sqlite3.ProgrammingError] * 2


@on_bench
async def test_a_request_that_stays_in_a_worker_is_known_once(bench: Bench) -> None:
    bench.push("a")
    request, lease = bench.lend()
    local = Request(f"{URL}l")
    key = bench.crawler.request_fingerprinter.fingerprint(local)
    claim = bench.scheduler.claim
    assert await claim(lease.lease_id, key, local)
    assert not await claim(lease.lease_id, key, local)
    assert not await claim(lease.lease_id, bench.product("a").key, request)
    bench.scheduler.start_over([lease.lease_id])  # its worker is gone: it is done again
    assert await claim(lease.lease_id, key, local)
    await bench.scheduler.complete(lease, [bench.product("l"), bench.product("b")])
    assert bench.left() == "b"
    assert bench.counted("scheduler/enqueued") == {"scheduler/enqueued": 2}
    bench.scheduler.forget(request)
    assert not bench.scheduler.enqueue_request(local)  # also after its lease


@on_bench
async def test_a_lease_that_is_started_over_waits_at_no_site(bench: Bench) -> None:
    bench.push("a")
    _, lease = bench.lend()
    withdrawn: list[set[int]] = []
    admissions: Any = bench.scheduler.admissions
    admissions.withdraw = withdrawn.append
    bench.scheduler.start_over([lease.lease_id])
    assert withdrawn == [{lease.lease_id}]
    assert bench.scheduler.leased()  # it is done again by another worker
    await bench.scheduler.complete(lease, [])


@on_bench
async def test_limits_that_were_written_are_told_to_all_workers(bench: Bench) -> None:
    told: list[Any] = []
    bench.downloader.coordinator.tell_limits = lambda *about: told.append(about)
    written = Written(delay_s=3)
    bench.scheduler.change_limits("a.example", "a.example", written)
    assert told == [("a.example", "a.example", written)]
    assert bench.scheduler.politeness.needs_asking("a.example")


@on_bench
async def test_state_is_merged_in_the_step_that_completes_the_lease(
    bench: Bench,
) -> None:
    class State:
        """Notes whether what it is asked belongs to a step under way."""

        def __init__(self, is_under_way: Callable[[], bool]) -> None:
            self.merged: list[Any] = []
            self._is_under_way = is_under_way

        def merge(self, changes: Any, worker: str) -> None:
            assert self._is_under_way()
            self.merged.append((changes, worker))

    frontier: Any = bench.scheduler._frontier
    state: Any = State(lambda: frontier._db.in_transaction)
    bench.scheduler.state = state
    bench.push("a")
    _, lease = bench.lend()
    changes = ([pickle.dumps(("seen", ("put", 1)))], "worker-2")
    await bench.scheduler.complete(lease, [bench.product("b")], (), changes)
    assert state.merged == [changes]
    with pytest.raises(LeaseLostError):
        await bench.scheduler.complete(lease, [], (), changes)
    assert state.merged == [changes]


@on_bench
async def test_items_that_are_replayed_keep_the_crawl_open(bench: Bench) -> None:
    journal: Any = bench.scheduler.journal
    assert not bench.scheduler.has_pending_requests()
    journal.is_replaying = True
    assert bench.scheduler.has_pending_requests()


def test_workers_end_before_the_journal_and_the_frontier() -> None:
    @in_fake_time
    async def test() -> None:
        bench = Bench()
        calls: list[str] = []

        async def close_pool() -> None:
            assert bench.scheduler.has_pending_requests()  # the frontier is open
            calls.append("closed")

        async def close_journal() -> None:
            calls.append("journal")

        bench.downloader.pool = SimpleNamespace(stop=calls.append, close=close_pool)
        journal: Any = bench.scheduler.journal
        journal.close = close_journal
        opened = bench.scheduler.open(bench.crawler.spider)
        assert opened is not None
        await maybe_deferred_to_future(opened)
        assert bench.downloader.is_connected
        assert scheduler_of(bench.crawler) is bench.scheduler
        bench.push("a")
        closed = bench.scheduler.close("enough")
        assert closed is not None
        await maybe_deferred_to_future(closed)
        assert calls == ["enough", "closed", "journal"]

    test()
