"""What the supervisor's scheduler gives out and takes back, over a real frontier."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, Spider, signals
from scrapy.dupefilters import BaseDupeFilter
from scrapy.utils.defer import maybe_deferred_to_future

from concurcrawl import registry
from concurcrawl.durable import jobdir
from concurcrawl.errors import LeaseLostError, UnreadableError
from concurcrawl.frontier.base import Entry
from concurcrawl.workers.protocol.messages.results import Product
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.supervisor.app import SupervisorApp
from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler
from tests.support.fakes import counted, in_fake_time, made_crawler, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from concurcrawl.frontier.base import Lease
    from tests.support.fakes import FakeEngine

URL = "http://a.example/"


class Bench:
    """A scheduler, and an engine that passes requests to it as Scrapy's does."""

    def __init__(self, crawler: Any = None) -> None:
        self.crawler = crawler or made_crawler()
        self.engine: FakeEngine = self.crawler.engine
        self.scheduler = SupervisorScheduler.from_crawler(self.crawler)
        self.app = registry.app_of(self.crawler, SupervisorApp)
        self.queue = self.app.queue
        self.frontier: Any = self.app.storage.frontier
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

    def acquire(self) -> tuple[Request, Lease]:
        request = self.queue.acquire()
        assert request is not None
        lease = self.queue.lease_of(request)
        assert lease is not None
        return request, lease

    def left(self) -> str:
        """Lease all that waits; return the names."""
        return "".join(self.acquire()[0].url[-1] for _ in range(len(self.scheduler)))

    def counted(self, *keys: str) -> Any:
        return counted(self.crawler.stats, *keys)


def on_bench(
    test: Callable[[Bench], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    @in_fake_time
    async def run() -> None:
        bench = Bench()
        await test(bench)
        bench.frontier.close()

    def test_it() -> None:
        run()

    return test_it


@on_bench
async def test_what_waits_is_leased_and_never_begun_by_the_engine(bench: Bench) -> None:
    bench.push("a", "b")
    assert bench.scheduler.next_request() is None
    assert bench.scheduler.has_pending_requests()
    request, _ = bench.acquire()
    assert request.url == f"{URL}b"
    assert bench.queue.leased() == {request}
    bench.acquire()
    assert bench.queue.acquire() is None
    assert not bench.scheduler.has_pending_requests()


@on_bench
async def test_the_requests_of_a_result_wait_once_its_lease_is_complete(
    bench: Bench,
) -> None:
    bench.push("a")
    request, lease = bench.acquire()
    products = [bench.product("b"), bench.product("a"), bench.product("c")]
    assert not bench.scheduler.has_pending_requests()
    assert await bench.queue.commit(lease, products) == []
    bench.queue.forget(request)
    assert bench.queue.leased() == set()
    assert bench.left() == "cb"
    assert bench.dropped == ["a"]
    assert bench.counted("dupefilter/filtered", "scheduler/enqueued") == {
        "dupefilter/filtered": 1,
        "scheduler/enqueued": 3,
    }


@on_bench
async def test_requests_of_no_lease_are_pushed_and_items_kept(bench: Bench) -> None:
    products = [bench.product("b")]
    assert await bench.queue.commit(None, products, [b"item"]) == [1]
    assert bench.left() == "b"


@on_bench
async def test_the_items_of_a_result_are_numbered(bench: Bench) -> None:
    bench.push("a")
    _, lease = bench.acquire()
    assert await bench.queue.commit(lease, [], [b"one", b"two"]) == [1, 2]


@on_bench
async def test_of_a_lease_that_was_lost_nothing_is_taken(bench: Bench) -> None:
    bench.push("a")
    _, lease = bench.acquire()
    await bench.queue.commit(lease, [])
    with pytest.raises(LeaseLostError):
        await bench.queue.commit(lease, [bench.product("b")], [b"item"])
    assert not bench.scheduler.has_pending_requests()
    assert bench.counted("scheduler/enqueued") == {"scheduler/enqueued": 1}


@on_bench
async def test_what_is_given_back_waits_again_and_is_counted_once(
    bench: Bench,
) -> None:
    bench.push("a")
    request, _ = bench.acquire()
    bench.queue.release(request)
    assert bench.queue.leased() == set()
    assert bench.left() == "a"
    assert bench.counted("scheduler/dequeued") == {"scheduler/dequeued": 1}


@on_bench
async def test_of_a_result_with_an_unreadable_request_nothing_is_applied(
    bench: Bench,
) -> None:
    bench.push("a")
    request, lease = bench.acquire()
    products = [bench.product("b"), Product(False, b"no pickle", b"k")]
    with pytest.raises(UnreadableError, match="a request cannot be read back"):
        await bench.queue.commit(lease, products)
    assert not bench.scheduler.has_pending_requests()
    bench.queue.release(request)
    assert bench.left() == "a"


@on_bench
async def test_a_request_that_cannot_be_read_when_it_is_due_is_dropped(
    bench: Bench,
) -> None:
    unreadable = Entry(None, "a.example", 1, is_start=False, payload=b"no pickle")
    bench.frontier.push([unreadable])
    bench.push("a")
    logging.disable()
    try:
        request, _ = bench.acquire()
    finally:
        logging.disable(logging.NOTSET)
    assert request.url == f"{URL}a"
    assert not bench.scheduler.has_pending_requests()
    assert bench.counted("concurcrawl/not_shippable") == {
        "concurcrawl/not_shippable": 1
    }


@on_bench
async def test_a_request_that_the_engine_drops_is_not_pushed(bench: Bench) -> None:
    engine: Any = bench.engine
    engine.crawl = lambda _: None  # as if a receiver of a signal had dropped it
    await bench.queue.commit(None, [bench.product("b")])
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
async def test_a_frontier_that_cannot_be_written_fails_the_crawl_once(
    bench: Bench,
) -> None:
    bench.push("a")
    bench.frontier.close()
    logging.disable()
    try:
        assert not bench.scheduler.enqueue_request(Request(f"{URL}b"))
        assert bench.queue.acquire() is None
        await settled()
    finally:
        logging.disable(logging.NOTSET)
    assert bench.engine.closed_for == ["storage_failed"]
    assert not bench.app.dispatcher.has_capacity()


@on_bench
async def test_a_request_that_stays_in_a_worker_is_known_once(bench: Bench) -> None:
    bench.push("a")
    request, lease = bench.acquire()
    local = Request(f"{URL}l")
    key = bench.crawler.request_fingerprinter.fingerprint(local)
    claim = bench.queue.claim
    assert await claim(lease.lease_id, key, local)
    assert not await claim(lease.lease_id, key, local)
    assert not await claim(lease.lease_id, bench.product("a").key, request)
    bench.queue.start_over([lease.lease_id])  # its worker is gone: it is done again
    assert await claim(lease.lease_id, key, local)
    await bench.queue.commit(lease, [bench.product("l"), bench.product("b")])
    assert bench.left() == "b"
    assert bench.counted("scheduler/enqueued") == {"scheduler/enqueued": 2}
    bench.queue.forget(request)
    assert not bench.scheduler.enqueue_request(local)  # also after its lease


@on_bench
async def test_a_lease_that_is_started_over_waits_at_no_site(bench: Bench) -> None:
    bench.push("a")
    _, lease = bench.acquire()
    withdrawn: list[set[int]] = []
    admissions: Any = bench.app.admissions
    admissions.withdraw = withdrawn.append
    bench.queue.start_over([lease.lease_id])
    assert withdrawn == [{lease.lease_id}]
    assert bench.queue.leased()  # it is done again by another worker
    await bench.queue.commit(lease, [])


class Seen:
    """Notes whether a transaction was open whenever code of the project ran."""

    def __init__(self) -> None:
        self.was_open: list[tuple[str, bool]] = []
        self.frontier: Any = None

    def note(self, where: str) -> None:
        self.was_open.append((where, self.frontier._db.in_transaction))


class SeenFilter(BaseDupeFilter):
    """A filter of the project's own."""

    seen: Seen

    def request_seen(self, request: Request) -> bool:
        self.seen.note("filter")
        return request.url.endswith("x")

    def log(self, request: Request, spider: Any) -> None:
        self.seen.note("log")


class SeenValue:
    """A value of ``spider.state``."""

    seen: Seen

    def __init__(self) -> None:
        self.count = 0

    def __getstate__(self) -> Any:
        self.seen.note("pickled")
        return {"count": self.count}

    def __setstate__(self, state: Any) -> None:
        self.seen.note("unpickled")
        self.count = state["count"]


class JobBench(Bench):
    """A bench with a JOBDIR, in which all code of the project is seen."""

    def __init__(self, folder: Path) -> None:
        self.seen = SeenFilter.seen = SeenValue.seen = Seen()
        crawler = made_crawler(
            JOBDIR=str(folder),
            DUPEFILTER_CLASS=SeenFilter,
            CONCURCRAWL_KEEPS_STATE=True,
        )
        crawler.spidercls = type("One", (Spider,), {"name": "one"})
        jobdir.claim(crawler, str(folder))
        super().__init__(crawler)
        self.frontier: Any = self.frontier
        self.seen.frontier = self.frontier
        connect, self._signals = crawler.signals.connect, crawler.signals
        connect(self._on_scheduled, signals.request_scheduled)
        connect(self._on_dropped, signals.request_dropped)
        engine: Any = self.engine
        engine.crawl = self._crawl
        assert self.app.storage.state is not None
        self.state = self.app.storage.state
        self.state.open()

    def _crawl(self, request: Request) -> None:
        """As Scrapy's engine does."""
        self._signals.send_catch_log(signals.request_scheduled, request=request)
        if not self.scheduler.enqueue_request(request):
            self._signals.send_catch_log(signals.request_dropped, request=request)

    def _on_scheduled(self, request: Request) -> None:
        self.seen.note("scheduled")
        if request.url.endswith("b"):
            self._crawl(Request(f"{URL}other"))

    def _on_dropped(self) -> None:
        self.seen.note("dropped")


def test_no_code_of_the_project_runs_in_an_open_transaction(tmp_path: Path) -> None:
    @in_fake_time
    async def test() -> None:
        bench = JobBench(tmp_path)
        state: dict[str, Any] = bench.crawler.spider.state
        state["value"] = SeenValue()
        bench.state.save()
        bench.push("a")
        _, lease = bench.acquire()
        state["value"].count = 1
        change = pickle.dumps(("other", ("put", SeenValue())))
        products = [bench.product("b"), bench.product("x")]
        await bench.queue.commit(lease, products, (), ([change], "worker-2"))
        where = {where for where, _ in bench.seen.was_open}
        assert where == {
            *("scheduled", "dropped", "filter", "log", "pickled", "unpickled")
        }
        assert not any(was_open for _, was_open in bench.seen.was_open)
        assert len(bench.scheduler) == 2  # "b" and what its receiver had crawled
        assert bench.frontier.keys.asked() == set()
        assert len(bench.frontier.state.rows()) == 3  # the whole, and two changes
        bench.frontier.close()

    test()


@on_bench
async def test_of_a_lost_lease_no_state_is_kept(bench: Bench) -> None:
    """What the commit takes with it is not applied either."""

    class State:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def prepare(self, changes: Any, worker: str) -> Any:
            self.calls.append("prepare")
            return changes, worker

        def commit(self, prepared: Any) -> None:
            self.calls.append("commit")

        def committed(self, prepared: Any) -> None:
            self.calls.append("committed")

    storage: Any = bench.app.storage
    state = storage.state = storage._committer._state = State()
    bench.push("a")
    _, lease = bench.acquire()
    changes = ([b"change"], "worker-2")
    await bench.queue.commit(lease, [bench.product("b")], (), changes)
    with pytest.raises(LeaseLostError):
        await bench.queue.commit(lease, [], (), changes)
    assert state.calls.count("committed") == 1


@on_bench
async def test_items_that_are_replayed_keep_the_crawl_open(bench: Bench) -> None:
    journal: Any = bench.app.storage.delivery
    assert not bench.scheduler.has_pending_requests()
    journal.is_replaying = True
    assert bench.scheduler.has_pending_requests()


def test_workers_end_before_the_delivery_and_the_frontier() -> None:
    @in_fake_time
    async def test() -> None:
        bench = Bench()
        calls: list[str] = []

        async def close_pool() -> None:
            assert bench.scheduler.has_pending_requests()  # the frontier is open
            calls.append("closed")

        async def close_delivery() -> None:
            calls.append("delivery")

        pool: Any = bench.app.pool
        pool.stop, pool.close = calls.append, close_pool
        delivery: Any = bench.app.storage.delivery
        delivery.close = close_delivery
        opened = bench.scheduler.open(bench.crawler.spider)
        assert opened is not None
        await maybe_deferred_to_future(opened)
        bench.push("a")
        closed = bench.scheduler.close("enough")
        assert closed is not None
        await maybe_deferred_to_future(closed)
        assert calls == ["enough", "closed", "delivery"]
        assert bench.scheduler.enqueue_request(Request(f"{URL}b"))  # of start()
        pool.stop = lambda: calls.append("stopped")
        bench.app.stop()
        assert calls[3:] == ["stopped"]

    test()


@pytest.mark.parametrize("has_jobdir", [False, True])
def test_telnet_finds_what_waits_where_scrapy_keeps_it(
    has_jobdir: bool, tmp_path: Path
) -> None:
    @in_fake_time
    async def test() -> None:
        bench = Bench(made_crawler(JOBDIR=str(tmp_path) if has_jobdir else None))
        bench.push("a")
        disk = bench.scheduler.dqs
        assert (disk is not None) == has_jobdir
        assert len(bench.scheduler.mqs) + len(disk or ()) == 1
        bench.frontier.close()

    test()
