"""What a worker receives and sends, with the supervisor's end in the test."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import pickle
import socket
from typing import TYPE_CHECKING, Any, get_args

import pytest
from scrapy import Request
from scrapy.http import Response

from concurcrawl.errors import NotShippableError
from concurcrawl.workers import children
from concurcrawl.workers.protocol import log_forwarding
from concurcrawl.workers.protocol.messages.directions import ToWorker
from concurcrawl.workers.protocol.messages.leases import (
    Dispatch,
    Idle,
    Recall,
    Returned,
)
from concurcrawl.workers.protocol.messages.lifecycle import (
    Drain,
    Inspect,
    Inspected,
    Pause,
    Ping,
    Pong,
    Stop,
    WorkerInit,
)
from concurcrawl.workers.protocol.messages.limits import Throttled
from concurcrawl.workers.protocol.messages.questions import Answer, Ask, Enter
from concurcrawl.workers.protocol.messages.results import PartialResult, RequestResult
from concurcrawl.workers.protocol.messages.state import (
    ReadStats,
    SetAttributes,
    SetStats,
)
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.worker.app import WorkerApp
from concurcrawl.workers.worker.exclusive import DbmFiles
from concurcrawl.workers.worker.outbox import PART_BYTES
from tests.support.fakes import (
    FarEnd,
    in_fake_time,
    made_crawler,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

URL = "http://a.example/"


class Bench:
    """A worker whose engine is a fake, and the supervisor's end of its connection."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.far = FarEnd(theirs)
        self.crawler = made_crawler()
        self.crawler.closes_spider = False
        self.engine: Any = self.crawler.engine
        self.app = WorkerApp("worker-1", ours, DbmFiles(), self.crawler)

    async def connect(self) -> None:
        await self.app.connect()

    def start(self) -> None:
        """Ask for the first request, as the engine does."""
        self.app.start()
        assert self.app.leases.next_request() is None

    def add_item(self, context: contextvars.Context, **item: Any) -> None:
        context.run(self.app.products.add_item, item)

    def write(self, context: contextvars.Context, key: str) -> None:
        context.run(self.app.outbox.write_stat, "inc", key, 1)

    def finish(self, request: Request, context: contextvars.Context) -> None:
        context.run(self.app.finisher.finish, request)

    async def receive(self, *messages: Any) -> None:
        self.far.send(*messages)
        await settled()

    def lease(self, *lease_ids: int) -> list[Dispatch]:
        encode = Codec().encode
        return [
            Dispatch(lease_id, 0.0, encode(Request(f"{URL}{lease_id}")))
            for lease_id in lease_ids
        ]

    def begin(self) -> tuple[Request, contextvars.Context]:
        """Begin the next request, in a context of its own as the engine does."""
        context = contextvars.copy_context()
        request = context.run(self.app.leases.next_request)
        assert request is not None
        return request, context

    async def sent(self, kind: Any = object) -> list[Any]:
        """Return what the supervisor got since the last call."""
        await settled()
        while self.far.read():  # much comes as the pipe has room
            await settled()
        return [one for one in self.far.received() if isinstance(one, kind)]

    async def flushed(self) -> list[Any]:
        """Return it after what lingers was sent, too."""
        await asyncio.sleep(1)
        return await self.sent()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the test's own process would have been ended for; its logging stays."""
    found: list[str] = []
    monkeypatch.setattr(children, "end_now", lambda: found.append("ended"))
    monkeypatch.setattr(log_forwarding, "remove_root_handlers", list)
    monkeypatch.setattr(log_forwarding, "raise_scrapys_level", lambda: None)
    level, handlers = logging.root.level, [*logging.root.handlers]
    yield found
    logging.root.setLevel(level)
    for handler in {*logging.root.handlers} - {*handlers}:
        logging.root.removeHandler(handler)


def on_bench(
    test: Callable[[Bench], Coroutine[Any, Any, None]],
) -> Callable[[list[str]], None]:
    """Run a test with a channel that is connected and read from."""

    async def run() -> None:
        bench = Bench()
        await bench.connect()
        bench.start()
        try:
            await test(bench)
        finally:
            bench.app.control.is_stopping = True
            bench.far.close()
            await settled()

    def test_it(ended: list[str]) -> None:
        in_fake_time(run)()

    test_it.__name__ = test.__name__
    return test_it


# Results ----------------------------------------------------------------------------


@on_bench
async def test_leases_are_begun_in_the_order_in_which_they_came(bench: Bench) -> None:
    await bench.receive(*bench.lease(3, 1), *bench.lease(2))
    assert bench.app.leases.lease_ids() == {1, 2, 3}
    urls = [bench.begin()[0].url for _ in range(3)]
    assert urls == [f"{URL}{number}" for number in (3, 1, 2)]
    assert bench.app.leases.next_request() is None


@on_bench
async def test_all_that_a_request_comes_to_is_sent_together_when_it_is_done(
    bench: Bench,
) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    bench.add_item(context, name="a")
    new = Request(f"{URL}new")
    context.run(bench.app.products.add_request, new, "a.example")
    bench.write(context, "seen")
    assert await bench.flushed() == []
    bench.app.work.note_response(request, Response(request.url, status=404))
    bench.finish(request, context)
    (result,) = await bench.sent(RequestResult)
    assert (result.lease_id, result.status, result.items) == (1, 404, 1)
    assert [product.is_item for product in result.products] == [True, False]
    assert result.products[1].key
    assert result.stats == {("inc", "seen"): 1}
    assert bench.app.leases.lease_ids() == set()


@on_bench
async def test_a_result_is_sent_at_most_once(bench: Bench) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    bench.finish(request, context)
    bench.finish(request, context)
    assert [one.lease_id for one in await bench.flushed()] == [1]


@on_bench
async def test_what_is_added_after_a_result_goes_into_the_general_one(
    bench: Bench,
) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    bench.finish(request, context)
    bench.write(context, "late")
    bench.add_item(context, name="late")
    first, general = await bench.flushed()
    assert (first.lease_id, first.stats, first.items) == (1, {}, 0)
    assert (general.lease_id, general.stats) == (None, {("inc", "late"): 1})
    assert general.items == 1


@on_bench
async def test_what_belongs_to_no_request_is_sent_together(bench: Bench) -> None:
    for _ in range(3):
        bench.app.outbox.write_stat("inc", "ticks", 1)
    assert await bench.sent() == []
    (general,) = await bench.flushed()
    assert (general.lease_id, general.stats) == (None, {("inc", "ticks"): 3})
    assert await bench.flushed() == []


@on_bench
async def test_requests_at_a_time_do_not_mix(bench: Bench) -> None:
    await bench.receive(*bench.lease(1, 2))
    (one, its), (two, others) = bench.begin(), bench.begin()
    bench.write(others, "two")
    bench.write(its, "one")
    bench.finish(two, others)
    bench.finish(one, its)
    results = await bench.sent(RequestResult)
    assert [(one.lease_id, [*one.stats]) for one in results] == [
        (2, [("inc", "two")]),
        (1, [("inc", "one")]),
    ]


@on_bench
async def test_much_of_one_page_is_sent_ahead(bench: Bench) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    for _ in range(3):
        bench.add_item(context, text="a" * PART_BYTES)
    bench.finish(request, context)
    said = await bench.sent()
    assert [type(one) for one in said] == [PartialResult, PartialResult, RequestResult]
    assert [len(one.products) for one in said] == [1, 1, 1]
    assert said[-1].items == 3


@on_bench
async def test_a_log_line_goes_with_the_next_result(bench: Bench) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    logging.getLogger("project").warning("look here")
    bench.finish(request, context)
    (result,) = await bench.sent(RequestResult)
    assert [line.message for line in result.logs] == ["look here"]


@on_bench
async def test_a_lease_that_cannot_be_read_ends_with_nothing_and_the_next_begins(
    bench: Bench,
) -> None:
    await bench.receive(Dispatch(1, 0.0, b"no pickle"), *bench.lease(2))
    request, _ = bench.begin()
    assert request.url == f"{URL}2"
    (result,) = await bench.sent(RequestResult)
    assert (result.lease_id, result.products) == (1, [])
    assert "cannot be read back" in result.logs[0].message


@on_bench
async def test_a_request_that_cannot_travel_is_refused(bench: Bench) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    live = Request(URL, meta={"file": (n for n in range(3))})
    with pytest.raises(NotShippableError):
        context.run(bench.app.products.add_request, live, "a.example")
    bench.finish(request, context)
    (result,) = await bench.sent(RequestResult)
    assert result.products == []


# Messages ---------------------------------------------------------------------------


@on_bench
async def test_each_message_but_the_first_has_a_handler(bench: Bench) -> None:
    assert set(bench.app.handlers()) == {*get_args(ToWorker)} - {WorkerInit}


@on_bench
async def test_each_question_gets_its_own_answer(bench: Bench) -> None:
    asked = [
        asyncio.ensure_future(bench.app.connection.ask(Enter(group, None)))
        for group in "abc"
    ]
    questions = await bench.sent(Ask)
    assert [one.question.group for one in questions] == ["a", "b", "c"]
    one, two, three = (question.number for question in questions)
    asked[2].cancel()
    error = OSError("the site is away")
    await bench.receive(Answer(three), Answer(two, error=error), Answer(one, b"yes"))
    assert asked[0].result() == b"yes"
    assert str(asked[1].exception()) == "the site is away"
    assert asked[2].cancelled()


@on_bench
async def test_a_pause_returns_the_leases_that_are_not_begun(bench: Bench) -> None:
    await bench.receive(*bench.lease(1, 2, 3))
    bench.begin()
    await bench.receive(Pause(True))
    assert bench.engine.paused
    assert await bench.sent() == [Returned((2, 3))]
    await bench.receive(*bench.lease(4))  # it was on its way
    assert await bench.sent() == [Returned((4,))]
    assert bench.app.leases.lease_ids() == {1}
    await bench.receive(Pause(False), *bench.lease(2))
    assert not bench.engine.paused
    assert await bench.sent() == []


@on_bench
async def test_a_pause_that_begins_here_is_passed_on(bench: Bench) -> None:
    bench.app.control.pause(is_on=True)
    assert bench.engine.paused
    assert await bench.sent() == [Pause(True)]


@on_bench
async def test_a_stop_closes_the_spider_for_its_reason(bench: Bench) -> None:
    await bench.receive(Stop("enough"))
    assert bench.app.control.is_stopping
    assert bench.engine.closed_for == ["enough"]


@on_bench
async def test_the_rest_is_sent_when_the_loop_has_ended(bench: Bench) -> None:
    bench.app.outbox.write_stat("inc", "early", 1)
    await bench.app.outbox.close()
    (early,) = await bench.sent(RequestResult)
    assert early.stats == {("inc", "early"): 1}
    bench.app.outbox.write_stat("inc", "late", 1)
    assert await bench.flushed() == []
    bench.app.outbox.send_last()
    (late,) = bench.far.received()
    assert late.stats == {("inc", "late"): 1}


@on_bench
async def test_a_ping_is_answered_with_whether_something_moves(bench: Bench) -> None:
    await bench.receive(Ping())
    assert await bench.sent() == [Pong(False)]
    await bench.receive(*bench.lease(1))
    _, context = bench.begin()
    bench.add_item(context, name="a")
    await bench.receive(Ping(), Ping())
    assert await bench.sent() == [Pong(True), Pong(False)]


@on_bench
async def test_a_look_is_answered_with_what_the_engine_has(bench: Bench) -> None:
    bench.engine.inspect = lambda: None
    await bench.receive(Inspect())
    assert await bench.sent() == [Inspected(None)]


@on_bench
async def test_a_recall_also_counts_for_what_comes_with_it(bench: Bench) -> None:
    await bench.receive(Recall(True), *bench.lease(1))
    assert await bench.sent() == [Idle((1,))]
    await bench.receive(Recall(False), *bench.lease(2))
    assert await bench.sent() == []


@on_bench
async def test_a_throttled_group_is_asked_for(bench: Bench) -> None:
    await bench.receive(Throttled("a.example"), *bench.lease(1))
    request, context = bench.begin()
    entering = context.run(asyncio.ensure_future, bench.app.limiter.enter(request))
    (asked,) = await bench.sent(Ask)
    assert asked.question == Enter("a.example", 1)
    await bench.receive(Answer(asked.number))
    assert await entering


@on_bench
async def test_after_a_drain_no_local_request_is_begun(bench: Bench) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    live = Request(URL, meta={"file": object}, dont_filter=True)
    assert context.run(bench.app.claims.keep, live)
    assert len(bench.app.leases) == 1
    await bench.receive(Drain())
    assert len(bench.app.leases) == 0
    bench.finish(request, context)
    assert [one.lease_id for one in await bench.sent(RequestResult)] == [1, 1]


def test_nothing_is_read_before_the_engine_asks(ended: list[str]) -> None:
    @in_fake_time
    async def test() -> None:
        bench = Bench()
        await bench.connect()
        await bench.receive(*bench.lease(1), Stop())
        assert not bench.app.leases.lease_ids()
        assert bench.engine.closed_for == []
        bench.start()
        await settled()
        assert bench.app.leases.lease_ids() == {1}
        assert bench.engine.closed_for == ["finished"]
        bench.far.close()
        await settled()

    test()
    assert ended == []


def test_a_worker_whose_supervisor_is_gone_ends(ended: list[str]) -> None:
    @in_fake_time
    async def test() -> None:
        bench = Bench()
        await bench.connect()
        bench.start()
        bench.far.close()
        await settled()

    test()
    assert ended == ["ended"]


@pytest.mark.parametrize(
    "garbage",
    [
        (5).to_bytes(8, "big") + b"trash",
        len(pickle.dumps(print)).to_bytes(8, "big") + pickle.dumps(print),
    ],
    ids=["no pickle", "no message"],
)
def test_a_worker_that_is_sent_garbage_ends(ended: list[str], garbage: bytes) -> None:
    @in_fake_time
    async def test() -> None:
        bench = Bench()
        await bench.connect()
        bench.start()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        bench.far.sock.sendall(garbage)
        await settled()
        bench.far.close()
        await settled()

    test()
    assert ended == ["ended"]


# Requests that stay here ------------------------------------------------------------


def live_request(**about: Any) -> Request:
    """Return a request that cannot leave this process."""
    return Request(f"{URL}live", meta={"numbers": (n for n in range(3))}, **about)


@pytest.mark.parametrize(("answer", "waiting"), [(b"new", 1), (b"", 0)])
def test_a_request_that_stays_here_waits_unless_it_is_a_duplicate(
    ended: list[str], answer: bytes, waiting: int
) -> None:
    @on_bench
    async def test(bench: Bench) -> None:
        await bench.receive(*bench.lease(1))
        request, context = bench.begin()
        assert context.run(bench.app.claims.keep, live_request())
        (asked,) = await bench.sent(Ask)
        assert asked.question.lease_id == 1
        await bench.receive(Answer(asked.number, answer))
        assert len(bench.app.leases) == waiting
        bench.finish(request, context)
        partial, *last = await bench.sent(RequestResult)
        assert partial.is_partial
        assert [one.lease_id for one in last] == [1] * (1 - waiting)

    test(ended)


@on_bench
async def test_a_request_whose_claim_fails_is_dropped_and_named(bench: Bench) -> None:
    await bench.receive(*bench.lease(1))
    request, context = bench.begin()
    assert context.run(bench.app.claims.keep, live_request())
    (asked,) = await bench.sent(Ask)
    await bench.receive(Answer(asked.number, error=OSError("no frontier")))
    bench.finish(request, context)
    results = await bench.sent(RequestResult)
    lines = [line.message for result in results for line in result.logs]
    assert lines == [f"<GET {URL}live> is dropped"]
    assert len(bench.app.leases) == 0


@on_bench
async def test_outside_of_a_lease_no_request_stays_here(bench: Bench) -> None:
    assert not bench.app.claims.keep(live_request())


# What all processes share -----------------------------------------------------------


@on_bench
async def test_reading_a_stat_waits_for_the_crawls_total(bench: Bench) -> None:
    values = Codec().encode({"pages": 7})
    bench.far.send(*bench.lease(1), SetStats(values, 0, 1))
    assert bench.crawler.stats.get_value("pages") == 7
    assert bench.app.leases.lease_ids() == set()  # the loop has not turned meanwhile
    assert await bench.sent() == [ReadStats(1, "pages")]
    assert bench.app.leases.lease_ids() == {1}


@on_bench
async def test_attributes_of_the_spider_are_set(bench: Bench) -> None:
    changes = Codec().encode([("limit", ("add", 5, 0, 5))])
    await bench.receive(SetAttributes(changes))
    assert bench.crawler.spider.limit == 5


class Counted:
    """Counts in its class how often one was pickled and unpickled."""

    pickled = unpickled = 0

    def __getstate__(self) -> dict[str, int]:
        Counted.pickled += 1
        return {"one": 1}

    def __setstate__(self, state: dict[str, int]) -> None:
        Counted.unpickled += 1


@on_bench
async def test_a_request_is_unpickled_once_and_a_new_one_pickled_once(
    bench: Bench,
) -> None:
    payload = Codec().encode(Request(URL, meta={"counted": Counted()}))
    Counted.pickled = Counted.unpickled = 0
    await bench.receive(Dispatch(1, 0.0, payload))
    request, context = bench.begin()
    assert (Counted.pickled, Counted.unpickled) == (0, 1)
    new = request.replace(url=f"{URL}new")
    context.run(bench.app.products.add_request, new, "a.example")
    bench.finish(request, context)
    (result,) = await bench.sent(RequestResult)
    assert [product.is_item for product in result.products] == [False]
    assert (Counted.pickled, Counted.unpickled) == (1, 1)
