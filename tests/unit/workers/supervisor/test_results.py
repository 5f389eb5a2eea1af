"""In which order what a worker did is made true, with a real scheduler and frontier."""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, signals
from scrapy.http import Response

from concurcrawl import registry
from concurcrawl.errors import LeaseLostError, UnreadableError
from concurcrawl.tracing.record import Record
from concurcrawl.workers.protocol.messages.results import Product, RequestResult
from concurcrawl.workers.protocol.messages.signals import Event, OwnEvent
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.protocol.response_meta import meta_of
from concurcrawl.workers.protocol.spool import Spool
from concurcrawl.workers.supervisor.app import SupervisorApp
from concurcrawl.workers.supervisor.results import ResultParts, Results
from concurcrawl.workers.supervisor.scheduler import SupervisorScheduler
from tests.support.fakes import counted, in_fake_time, made_crawler, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.support.fakes import FakeEngine

URL = "http://a.example/"


class Bench:
    """Results of a crawl with one lease, and a log of their effects.

    Attributes:
        effects: What happened, in order.
        fails_on: The item that a pipeline fails for.
    """

    def __init__(self) -> None:
        self.crawler = made_crawler(CONCURRENT_ITEMS=2)
        self.engine: FakeEngine = self.crawler.engine
        self.engine.scheduler = SupervisorScheduler.from_crawler(self.crawler)
        self.app = registry.app_of(self.crawler, SupervisorApp)
        self.queue, self.pipelines = self.app.queue, self.app.pipelines
        self.engine.scraper.start_itemproc_async = self._through_pipelines
        self.hearing: list[asyncio.Task[None]] = []
        self.effects: list[Any] = []
        self.pages: list[Any] = []
        self.most_items = 0
        self.fails_on: Any = None
        self._items_now = 0
        audience: Any = SimpleNamespace(
            pass_on=lambda _: self.hearing, name_left_out=lambda _: None
        )
        records: Any = SimpleNamespace(
            write=lambda record: self.effects.append(
                "no record" if record is None else "record"
            )
        )
        self.results = Results(
            self.crawler,
            self.app.codec,
            ResultParts(
                self.queue,
                self.app.storage.delivery,
                self.pipelines,
                audience,
                records,
                self._note_close,
                self.engine.downloader.note_slot,
            ),
        )
        queue: Any = self.queue
        self._commit, queue.commit = self.queue.commit, self._note_commit
        assert self.queue.push(Request(f"{URL}leased"))
        request = self.queue.acquire()
        assert request is not None
        self.request = request

    def _note_close(self, reason: str) -> None:
        self.effects.append(reason)

    async def _note_commit(self, lease: Any, *about: Any) -> list[int]:
        numbers: list[int] = await self._commit(lease, *about)
        self.effects.append("partial" if lease is None else "complete")
        return numbers

    async def _through_pipelines(self, item: Any, *, response: Any) -> None:
        self._items_now += 1
        self.most_items = max(self.most_items, self._items_now)
        await asyncio.sleep(1)
        self._items_now -= 1
        if item == self.fails_on:
            raise OSError("no more files")
        self.effects.append(item)
        self.pages.append(response)

    def lease_id(self) -> int | None:
        lease = self.queue.lease_of(self.request)
        return None if lease is None else lease.lease_id

    def result(self, *items: Any, **about: Any) -> RequestResult:
        products = [Product(True, Codec().encode(item)) for item in items]
        return RequestResult(
            self.lease_id(), products=products, items=len(items), **about
        )

    async def take(self, result: RequestResult, products: Any = None) -> None:
        found = result.products if products is None else products
        # In a task of its own, as what waits for the end of a lease has one.
        await asyncio.ensure_future(self.results.apply(result, found, self.request))


def on_bench(
    test: Callable[[Bench], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    @in_fake_time
    async def run() -> None:
        bench = Bench()
        await test(bench)
        bench.app.storage.frontier.close()

    def test_it() -> None:
        run()

    return test_it


def request_product(name: str) -> Product:
    return Product(False, Codec().encode(Request(URL + name)), name.encode())


def log_record() -> Record:
    kinds = {field.name: field.type for field in dataclasses.fields(Record)}
    blank: Any = {"str": "", "float": 0.0, "int": 0, "bool": False}
    return Record(**{name: blank.get(kind) for name, kind in kinds.items()})


@on_bench
async def test_the_lease_is_complete_before_items_go_on_and_the_record_is_last(
    bench: Bench,
) -> None:
    await bench.take(bench.result("item", record=log_record()))
    assert bench.effects == ["complete", "item", "record"]


@on_bench
async def test_stats_are_counted_before_receivers_of_signals_are_told(
    bench: Bench,
) -> None:
    seen: list[tuple[int, str]] = []

    def on_response(response: Response, request: Request) -> None:
        count = bench.crawler.stats.get_value("seen_count")
        seen.append((count, request.url))

    bench.crawler.signals.connect(on_response, signals.response_received)
    page = Response(f"{URL}leased", status=404)
    result = bench.result(
        responses=[meta_of(page)],
        events=[Event("response_received", response=0)],
        stats={("inc", "seen_count"): 3},
    )
    await bench.take(result)
    assert seen == [(3, bench.request.url)]


@on_bench
async def test_the_crawl_is_closed_in_the_turn_that_commits_the_result(
    bench: Bench,
) -> None:
    result = bench.result("item", close_reason="enough")
    result.products.append(request_product("new"))
    await bench.take(result)
    assert bench.effects == ["complete", "enough", "item", "no record"]
    assert len(bench.queue) == 1  # kept for a crawl that resumes


@on_bench
async def test_an_item_comes_with_its_page(bench: Bench) -> None:
    page = Response(f"{URL}leased", status=404)
    await bench.take(bench.result("item", responses=[meta_of(page)], page=0))
    (response,) = bench.pages
    assert (response.status, response.request) == (404, bench.request)


@on_bench
async def test_items_of_several_pages_come_each_with_its_own(bench: Bench) -> None:
    heads = [meta_of(Response(URL, status=status)) for status in (201, 202)]
    pages = [(1, 1), (1, None), (1, 0)]
    await bench.take(bench.result("a", "b", "c", responses=heads, pages=pages))
    found = dict(zip(bench.effects[1:], bench.pages, strict=False))
    statuses = {item: page and page.status for item, page in found.items()}
    assert statuses == {"a": 202, "b": None, "c": 201}


@on_bench
async def test_no_more_items_are_in_the_pipelines_than_may_be(bench: Bench) -> None:
    taking = asyncio.ensure_future(bench.take(bench.result(*"abcde")))
    await settled()
    assert bench.pipelines.is_full
    await taking
    assert bench.most_items == 2
    assert bench.pipelines.items_at_work == 0


@on_bench
async def test_of_a_result_with_an_unreadable_item_nothing_is_applied(
    bench: Bench,
) -> None:
    page = meta_of(Response(URL))
    result = bench.result("a", "b", responses=[page], page=0, close_reason="enough")
    result.products.insert(1, Product(True, b"no pickle"))
    result.events.append(Event("response_received", response=0))
    result.stats["inc", "seen_count"] = 3
    told: list[Any] = []
    bench.crawler.signals.connect(lambda: told.append(1), signals.response_received)
    with pytest.raises(UnreadableError, match="an item cannot be read back"):
        await bench.take(result)
    assert (bench.effects, told) == ([], [])
    assert counted(bench.crawler.stats, "seen_count") == {}
    assert bench.lease_id() is not None


@on_bench
async def test_signals_follow_the_commit_and_stats(bench: Bench) -> None:
    def on_response() -> None:
        bench.effects.append(bench.crawler.stats.get_value("seen_count"))

    bench.crawler.signals.connect(on_response, signals.response_received)
    events = [Event("response_received", response=0)]
    page = meta_of(Response(URL))
    stats = {("inc", "seen_count"): 3}
    await bench.take(bench.result("item", responses=[page], events=events, stats=stats))
    assert bench.effects == ["complete", 3, "item", "no record"]


@on_bench
async def test_a_record_is_written_although_a_pipeline_fails(bench: Bench) -> None:
    bench.fails_on = "b"
    with pytest.raises(OSError, match="no more files"):
        await bench.take(bench.result("a", "b", record=log_record()))
    assert bench.effects == ["complete", "a", "record"]
    assert bench.pipelines.items_at_work == 0


@on_bench
async def test_of_a_lost_lease_neither_items_nor_requests_are_taken(
    bench: Bench,
) -> None:
    lease = bench.queue.lease_of(bench.request)
    assert lease is not None
    await bench.queue.commit(lease, [])
    bench.effects.clear()
    result = bench.result("item")
    result.products.append(request_product("new"))
    with pytest.raises(LeaseLostError):
        await bench.take(result)
    assert bench.effects == []
    assert len(bench.queue) == 0


@on_bench
async def test_a_partial_result_is_applied_and_the_lease_is_held(bench: Bench) -> None:
    result = bench.result("item", is_partial=True)
    result.products.append(request_product("new"))
    await bench.take(result)
    assert bench.effects == ["partial", "item", "no record"]
    assert len(bench.queue) == 1
    await bench.take(bench.result("last"))
    assert bench.effects[3:] == ["complete", "last", "no record"]


@on_bench
async def test_what_came_of_no_lease_is_applied(bench: Bench) -> None:
    result = bench.result("item")
    result.lease_id = None
    await bench.results.apply(result, result.products, None)
    assert bench.effects == ["partial", "item", "no record"]


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_was_sent_ahead_is_applied_whole_and_let_go_of(is_lost: bool) -> None:
    @on_bench
    async def test(bench: Bench) -> None:
        spool = Spool()
        closed: list[bool] = []
        close, spool.close = spool.close, lambda: closed.append(True)  # type: ignore[method-assign]
        spool.add([Product(True, Codec().encode("item")), request_product("a")])
        spool.add([request_product("b")])
        lease = bench.queue.lease_of(bench.request)
        if is_lost and lease is not None:
            await bench.queue.commit(lease, [])
            with pytest.raises(LeaseLostError):
                await bench.take(bench.result(), spool)
        else:
            await bench.take(bench.result(), spool)
            assert len(bench.queue) == 2
            assert bench.effects == ["complete", "item", "no record"]
        assert closed == [True]
        close()

    test()


@on_bench
async def test_receivers_that_are_coroutines_end_before_items_go_on(
    bench: Bench,
) -> None:
    async def hear() -> None:
        await asyncio.sleep(1)
        bench.effects.append("heard")

    bench.hearing.append(asyncio.ensure_future(hear()))
    await bench.take(bench.result("item", events=[OwnEvent(0, b"")]))
    assert bench.effects == ["complete", "heard", "item", "no record"]


@on_bench
async def test_what_scrapy_notes_in_the_meta_is_noted(bench: Bench) -> None:
    event = Event("request_reached_downloader", latency_s=0.25, slot="mine")
    await bench.take(bench.result(events=[event]))
    meta = bench.request.meta
    assert (meta["download_latency"], meta["download_slot"]) == (0.25, "mine")
    assert bench.engine.downloader.noted == [bench.request]


@on_bench
async def test_an_error_of_a_callback_is_told_as_it_was(bench: Bench) -> None:
    told: list[Any] = []

    def on_error(failure: Any) -> None:
        told.append(failure)

    bench.crawler.signals.connect(on_error, signals.spider_error)
    failure = Codec().encode(ValueError("no price"))
    event = Event("spider_error", response=0, failure=failure)
    result = bench.result(responses=[meta_of(Response(URL))], events=[event])
    await bench.take(result)
    assert [repr(one) for one in told] == ["ValueError('no price')"]
