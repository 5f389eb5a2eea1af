"""What a worker is told and what it sends, with the supervisor's end in the test."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import pickle
import socket
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request
from scrapy.http import Response

from concurcrawl.errors import NotShippableError
from concurcrawl.workers import children
from concurcrawl.workers.protocol import log_forwarding
from concurcrawl.workers.protocol.messages.leases import Dispatch, Recall, Returned
from concurcrawl.workers.protocol.messages.lifecycle import (
    Drain,
    Inspect,
    Inspected,
    Pause,
    Ping,
    Pong,
    Stop,
)
from concurcrawl.workers.protocol.messages.limits import Throttled
from concurcrawl.workers.protocol.messages.questions import Answer, Ask, Enter
from concurcrawl.workers.protocol.messages.results import PartialResult, RequestResult
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.worker import channel as module
from concurcrawl.workers.worker.channel import SupervisorChannel
from tests.support.fakes import (
    FarEnd,
    in_fake_time,
    made_crawler,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

URL = "http://a.example/"


class Desk:
    """A channel, the crawler that it is of, and the supervisor's end of it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.far = FarEnd(theirs)
        self.channel = SupervisorChannel("worker-1", ours)
        self.crawler = made_crawler()
        self.crawler.closes_spider = False
        self.engine: Any = self.crawler.engine

    async def tell(self, *messages: Any) -> None:
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
        request = context.run(self.channel.next_request)
        assert request is not None
        return request, context

    async def said(self, kind: Any = object) -> list[Any]:
        """Return what the supervisor got since the last call."""
        await settled()
        while self.far.read():  # much comes as the pipe has room
            await settled()
        return [one for one in self.far.received() if isinstance(one, kind)]

    async def flushed(self) -> list[Any]:
        """Return it after what lingers was sent, too."""
        await asyncio.sleep(1)
        return await self.said()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the test's own process would have been ended for; its logging stays."""
    found: list[str] = []
    monkeypatch.setattr(children, "end_now", lambda: found.append("ended"))
    monkeypatch.setattr(log_forwarding, "leave_to_supervisor", list)
    monkeypatch.setattr(log_forwarding, "spare_unheard", lambda: None)
    level, handlers = logging.root.level, [*logging.root.handlers]
    yield found
    logging.root.setLevel(level)
    for handler in {*logging.root.handlers} - {*handlers}:
        logging.root.removeHandler(handler)


def at_desk(
    test: Callable[[Desk], Coroutine[Any, Any, None]],
) -> Callable[[list[str]], None]:
    """Run a test with a channel that is connected and read from."""

    async def run() -> None:
        desk = Desk()
        await desk.channel.connect(desk.crawler)
        assert desk.channel.next_request() is None
        try:
            await test(desk)
        finally:
            desk.channel.is_stopping = True
            desk.far.close()
            await settled()

    def test_it(ended: list[str]) -> None:
        in_fake_time(run)()

    test_it.__name__ = test.__name__
    return test_it


# Outcomes ---------------------------------------------------------------------------


@at_desk
async def test_leases_are_begun_in_the_order_in_which_they_came(desk: Desk) -> None:
    await desk.tell(*desk.lease(3, 1), *desk.lease(2))
    assert desk.channel.lease_ids() == {1, 2, 3}
    urls = [desk.begin()[0].url for _ in range(3)]
    assert urls == [f"{URL}{number}" for number in (3, 1, 2)]
    assert desk.channel.next_request() is None


@at_desk
async def test_all_that_a_request_comes_to_is_sent_together_when_it_is_done(
    desk: Desk,
) -> None:
    await desk.tell(*desk.lease(1))
    request, context = desk.begin()
    context.run(desk.channel.add_item, {"name": "a"})
    context.run(desk.channel.add_request, Request(f"{URL}new"))
    context.run(desk.channel.write_stat, "inc", "seen", 1)
    assert await desk.flushed() == []
    desk.channel.note_page(request, Response(request.url, status=404))
    desk.channel.finish(request)
    (result,) = await desk.said(RequestResult)
    assert (result.lease_id, result.status, result.items) == (1, 404, 1)
    assert [product.is_item for product in result.products] == [True, False]
    assert result.products[1].key
    assert result.stats == {("inc", "seen"): 1}
    assert desk.channel.lease_ids() == set()


@at_desk
async def test_a_result_is_sent_at_most_once(desk: Desk) -> None:
    await desk.tell(*desk.lease(1))
    request, _ = desk.begin()
    desk.channel.finish(request)
    desk.channel.finish(request)
    assert [one.lease_id for one in await desk.flushed()] == [1]


@at_desk
async def test_what_is_added_after_a_result_goes_into_the_general_one(
    desk: Desk,
) -> None:
    await desk.tell(*desk.lease(1))
    request, context = desk.begin()
    desk.channel.finish(request)
    context.run(desk.channel.write_stat, "inc", "late", 1)
    context.run(desk.channel.add_item, {"name": "late"})
    first, general = await desk.flushed()
    assert (first.lease_id, first.stats, first.items) == (1, {}, 0)
    assert (general.lease_id, general.stats) == (None, {("inc", "late"): 1})
    assert general.items == 1


@at_desk
async def test_what_belongs_to_no_request_is_sent_together(desk: Desk) -> None:
    for _ in range(3):
        desk.channel.write_stat("inc", "ticks", 1)
    assert await desk.said() == []
    (general,) = await desk.flushed()
    assert (general.lease_id, general.stats) == (None, {("inc", "ticks"): 3})
    assert await desk.flushed() == []


@at_desk
async def test_requests_at_a_time_do_not_mix(desk: Desk) -> None:
    await desk.tell(*desk.lease(1, 2))
    (one, its), (two, others) = desk.begin(), desk.begin()
    others.run(desk.channel.write_stat, "inc", "two", 1)
    its.run(desk.channel.write_stat, "inc", "one", 1)
    desk.channel.finish(two)
    desk.channel.finish(one)
    results = await desk.said(RequestResult)
    assert [(one.lease_id, [*one.stats]) for one in results] == [
        (2, [("inc", "two")]),
        (1, [("inc", "one")]),
    ]


@at_desk
async def test_much_of_one_page_is_sent_ahead(desk: Desk) -> None:
    await desk.tell(*desk.lease(1))
    request, context = desk.begin()
    for _ in range(3):
        context.run(desk.channel.add_item, {"text": "a" * module._PART_BYTES})
    desk.channel.finish(request)
    said = await desk.said()
    assert [type(one) for one in said] == [PartialResult, PartialResult, RequestResult]
    assert [len(one.products) for one in said] == [1, 1, 1]
    assert said[-1].items == 3


@at_desk
async def test_a_log_line_goes_with_the_next_result(desk: Desk) -> None:
    await desk.tell(*desk.lease(1))
    request, _ = desk.begin()
    logging.getLogger("project").warning("look here")
    desk.channel.finish(request)
    (result,) = await desk.said(RequestResult)
    assert [line.message for line in result.logs] == ["look here"]


@at_desk
async def test_a_lease_that_cannot_be_read_ends_with_nothing_and_the_next_begins(
    desk: Desk,
) -> None:
    await desk.tell(Dispatch(1, 0.0, b"no pickle"), *desk.lease(2))
    request, _ = desk.begin()
    assert request.url == f"{URL}2"
    (result,) = await desk.said(RequestResult)
    assert (result.lease_id, result.products) == (1, [])
    assert "cannot be read back" in result.logs[0].message


@at_desk
async def test_a_request_that_cannot_travel_is_refused(desk: Desk) -> None:
    await desk.tell(*desk.lease(1))
    request, context = desk.begin()
    live = Request(URL, meta={"file": (n for n in range(3))})
    with pytest.raises(NotShippableError):
        context.run(desk.channel.add_request, live)
    desk.channel.finish(request)
    (result,) = await desk.said(RequestResult)
    assert result.products == []


# Messages ---------------------------------------------------------------------------


@at_desk
async def test_each_question_gets_its_own_answer(desk: Desk) -> None:
    asked = [
        asyncio.ensure_future(desk.channel.ask(Enter(group, None))) for group in "abc"
    ]
    questions = await desk.said(Ask)
    assert [one.question.group for one in questions] == ["a", "b", "c"]
    one, two, three = (question.number for question in questions)
    asked[2].cancel()
    error = OSError("the site is away")
    await desk.tell(Answer(three), Answer(two, error=error), Answer(one, b"yes"))
    assert asked[0].result() == b"yes"
    assert str(asked[1].exception()) == "the site is away"
    assert asked[2].cancelled()


@at_desk
async def test_a_pause_returns_the_leases_that_are_not_begun(desk: Desk) -> None:
    await desk.tell(*desk.lease(1, 2, 3))
    desk.begin()
    await desk.tell(Pause(True))
    assert desk.engine.paused
    assert await desk.said() == [Returned((2, 3))]
    await desk.tell(*desk.lease(4))  # it was on its way
    assert await desk.said() == [Returned((4,))]
    assert desk.channel.lease_ids() == {1}
    await desk.tell(Pause(False), *desk.lease(2))
    assert not desk.engine.paused
    assert await desk.said() == []


@at_desk
async def test_a_pause_that_begins_here_is_passed_on(desk: Desk) -> None:
    desk.channel.pause(is_on=True)
    assert desk.engine.paused
    assert await desk.said() == [Pause(True)]


@at_desk
async def test_a_stop_closes_the_spider_for_its_reason(desk: Desk) -> None:
    await desk.tell(Stop("enough"))
    assert desk.channel.is_stopping
    assert desk.engine.closed_for == ["enough"]


@at_desk
async def test_the_rest_is_sent_when_the_loop_has_ended(desk: Desk) -> None:
    desk.channel.write_stat("inc", "early", 1)
    await desk.channel.retire()
    (early,) = await desk.said(RequestResult)
    assert early.stats == {("inc", "early"): 1}
    desk.channel.write_stat("inc", "late", 1)
    assert await desk.flushed() == []
    desk.channel.send_the_rest()
    (late,) = desk.far.received()
    assert late.stats == {("inc", "late"): 1}


@at_desk
async def test_a_ping_is_answered_with_whether_something_moves(desk: Desk) -> None:
    await desk.tell(Ping())
    assert await desk.said() == [Pong(False)]
    await desk.tell(*desk.lease(1))
    _, context = desk.begin()
    context.run(desk.channel.add_item, {"name": "a"})
    await desk.tell(Ping(), Ping())
    assert await desk.said() == [Pong(True), Pong(False)]


@at_desk
async def test_a_look_is_answered_with_what_the_engine_has(desk: Desk) -> None:
    desk.engine.look = lambda: None
    await desk.tell(Inspect())
    assert await desk.said() == [Inspected(None)]


@at_desk
async def test_a_recall_also_counts_for_what_comes_with_it(desk: Desk) -> None:
    seen: list[set[int]] = []
    desk.channel.on_recall = lambda: seen.append(desk.channel.lease_ids())
    await desk.tell(Recall(True), *desk.lease(1))
    assert seen[-1] == {1}
    await desk.tell(Recall(False), Throttled("a.example"))
    assert not desk.channel.is_recalled
    assert desk.channel.throttled == {"a.example"}


@at_desk
async def test_after_a_drain_no_local_request_is_begun(desk: Desk) -> None:
    await desk.tell(*desk.lease(1))
    request, context = desk.begin()
    live = Request(URL, meta={"file": object}, dont_filter=True)
    assert context.run(desk.channel.keep_local, live)
    assert len(desk.channel.local) == 1
    await desk.tell(Drain())
    assert len(desk.channel.local) == 0
    desk.channel.finish(request)
    assert [one.lease_id for one in await desk.said(RequestResult)] == [1, 1]


def test_nothing_is_read_before_the_engine_asks(ended: list[str]) -> None:
    @in_fake_time
    async def test() -> None:
        desk = Desk()
        await desk.channel.connect(desk.crawler)
        await desk.tell(*desk.lease(1), Stop())
        assert not desk.channel.inbox
        assert desk.engine.closed_for == []
        assert desk.channel.next_request() is None
        await settled()
        assert desk.channel.lease_ids() == {1}
        assert desk.engine.closed_for == ["finished"]
        desk.far.close()
        await settled()

    test()
    assert ended == []


def test_a_worker_whose_supervisor_is_gone_ends(ended: list[str]) -> None:
    @in_fake_time
    async def test() -> None:
        desk = Desk()
        await desk.channel.connect(desk.crawler)
        desk.channel.next_request()
        desk.far.close()
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
        desk = Desk()
        await desk.channel.connect(desk.crawler)
        desk.channel.next_request()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        desk.far.sock.sendall(garbage)
        await settled()
        desk.far.close()
        await settled()

    test()
    assert ended == ["ended"]
