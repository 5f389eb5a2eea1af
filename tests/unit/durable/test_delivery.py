"""What a delivery keeps in a JOBDIR and for how long, over a real frontier."""

from __future__ import annotations

import asyncio
import json
import pickle
import sqlite3
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, signals
from scrapy.http import HtmlResponse

from concurcrawl.durable.delivery import JobDirDelivery, read_entry
from concurcrawl.durable.feeds import LedgerStorage, item_at_hand
from concurcrawl.durable.jobdir import FINISHED, SPIDER
from concurcrawl.durable.start import StartOutputs
from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.workers.protocol.messages.signals import ResponseMeta
from concurcrawl.workers.protocol.pickle_codec import Codec
from tests.support.fakes import in_fake_time, made_crawler, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

META = ResponseMeta(HtmlResponse, "http://a/", 200, {b"A": [b"1"]}, ("x",), None)


def test_an_item_and_its_page_are_read_as_they_were_kept() -> None:
    assert read_entry(pickle.dumps((b"item", META))) == (b"item", META)
    assert read_entry(pickle.dumps((b"item", None))) == (b"item", None)


def test_an_item_that_an_earlier_release_kept_is_read() -> None:
    kept = pickle.dumps((b"item", META), 0)
    new = b"cconcurcrawl.workers.protocol.messages.signals\nResponseMeta\n"
    assert kept.count(new) == 1
    old = kept.replace(new, b"cconcurcrawl.workers.messages\nHead\n")
    assert read_entry(old) == (b"item", META)


class FakePipelines:
    """Keeps the items that it is given.

    Attributes:
        processed: They, decoded.
    """

    codec = Codec()

    def __init__(self) -> None:
        self.processed: list[Any] = []

    async def process_kept(self, payload: bytes, meta: Any, number: int) -> None:
        self.processed.append(self.codec.decode(payload))


class Life:
    """One run of a crawl in a folder, and what it has done.

    Attributes:
        failures: What the crawl was told to fail for.
        folder: Where the frontier and the feed are.
    """

    def __init__(self, folder: Path, *, has_jobdir: bool = True) -> None:
        self.folder = folder
        self.is_resumed = (folder / "frontier").exists()
        self.frontier = SqliteFrontier(path=str(folder / "frontier"))
        self.crawler = made_crawler()
        self.start = StartOutputs(self.crawler, self.frontier)
        self.failures: list[Exception] = []
        self.pipelines = FakePipelines()
        jobdir: Any = SimpleNamespace(is_resumed=self.is_resumed)
        self.delivery = JobDirDelivery(
            self.crawler,
            self.frontier,
            jobdir if has_jobdir else None,
            self.start,
            self.pipelines,
            self.failures.append,
        )
        self.feed: Any = None

    @property
    def processed(self) -> list[Any]:
        """Items that went through the pipelines."""
        return self.pipelines.processed

    def keep(self, *names: str) -> list[int]:
        """Keep items, as the end of a lease does."""
        entry = self.delivery.entry
        entries = [entry(name, pickle.dumps(name), None) for name in names]
        return self.frontier.keep(entries, {}).value

    def write(self, number: int, line: bytes) -> None:
        """Write an item into the feed, as an exporter does."""
        if self.feed is None:
            path = str(self.folder / "feed.jsonl")
            options = {"format": "jsonlines"}
            storage = LedgerStorage.from_crawler(
                self.crawler, path, feed_options=options
            )
            self.feed = storage.open(self.crawler.spider)
        token = item_at_hand.set(number)
        self.feed.write(line)
        item_at_hand.reset(token)

    def kept(self) -> list[int]:
        return [number for number, _ in self.frontier.items().value]

    def notes(self) -> dict[str, str]:
        return self.frontier.notes().value

    def push(self, request: Request) -> None:
        """Push a request of start(), as the scheduler does."""
        entry = Entry(None, "a.example", 0, is_start=True, payload=b"request")
        self.frontier.push([entry], None, self.start.output_of(request))

    def lease(self) -> int:
        lease = self.frontier.acquire()
        assert lease is not None
        return lease.lease_id

    async def outputs(self, *things: Any, most: int = 99) -> list[Any]:
        """Let the engine have what start() yields, *most* of it; return that."""

        async def outputs() -> AsyncIterator[Any]:
            for thing in things:
                yield thing

        found: list[Any] = []
        turns = self.delivery.in_turns(outputs())
        async for thing in turns:
            self.push(thing)
            found.append(thing.url[-1])
            if len(found) == most:
                await turns.aclose()  # type: ignore[attr-defined]
                break
        return found


@asynccontextmanager
async def life(folder: Path, **about: Any) -> AsyncIterator[Life]:
    """Live until it is killed: what is not safe by then is lost."""
    one = Life(folder, **about)
    await one.delivery.open()
    try:
        yield one
    finally:
        if one.delivery._timer is not None:
            one.delivery._timer.cancel()
        if one.feed is not None:
            one.feed.close()
        one.frontier.close()


def request(name: str) -> Request:
    return Request(f"http://a.example/{name}", dont_filter=True)


# Items ------------------------------------------------------------------------------


@in_fake_time
async def test_an_item_is_kept_until_pipelines_and_feeds_have_had_it(
    tmp_path: Path,
) -> None:
    async with life(tmp_path) as one:
        first, second = one.keep("a", "b")
        await asyncio.sleep(5)
        assert one.kept() == [first, second]
        one.delivery.processed([first])
        await asyncio.sleep(5)
        assert one.kept() == [second]
        assert one.failures == []


@in_fake_time
async def test_an_item_in_the_feed_is_let_go_of_though_a_pipeline_is_still_busy(
    tmp_path: Path,
) -> None:
    async with life(tmp_path) as one:
        (number,) = one.keep("a")
        one.write(number, b"a")
        await asyncio.sleep(5)
        assert one.kept() == []


@in_fake_time
async def test_no_note_promises_what_the_feed_does_not_have(tmp_path: Path) -> None:
    feed = tmp_path / "feed.jsonl"
    async with life(tmp_path) as one:
        numbers = one.keep("a", "b")
        deliver, sizes = one.frontier.deliver, []

        def check(items: Any, notes: Any, *more: Any) -> Any:
            noted = int(notes.get(f"feed:{feed}", 0))
            sizes.append((noted, feed.stat().st_size))
            return deliver(items, notes, *more)

        frontier: Any = one.frontier
        frontier.deliver = check
        for number in numbers:
            one.write(number, b"line\n")
            await asyncio.sleep(2)
        assert sizes == [(0, 0), (5, 5), (10, 10)]
        assert one.kept() == []


@in_fake_time
async def test_a_feed_is_cut_to_what_was_safe_and_its_items_are_replayed(
    tmp_path: Path,
) -> None:
    async with life(tmp_path) as one:
        for number in one.keep("safe"):
            one.write(number, b"safe\n")
        await asyncio.sleep(2)
        for number in one.keep("lost"):
            one.write(number, b"lost\n")
        one.feed.flush()
    assert (tmp_path / "feed.jsonl").read_bytes() == b"safe\nlost\n"
    async with life(tmp_path) as two:
        assert (tmp_path / "feed.jsonl").read_bytes() == b"safe\n"
        assert two.delivery.is_replaying
        assert two.processed == []  # pipelines are not open yet
        two.crawler.signals.send_catch_log(signals.engine_started)
        await settled()
        assert two.processed == ["lost"]
        assert not two.delivery.is_replaying


@in_fake_time
async def test_a_replay_that_fails_does_not_keep_the_crawl_open(
    tmp_path: Path,
) -> None:
    async with life(tmp_path) as one:
        one.keep("a", "b")
    async with life(tmp_path) as two:

        async def fail(*_: Any) -> None:
            raise OSError("no more files")

        pipelines: Any = two.pipelines
        pipelines.process_kept = fail
        with pytest.raises(OSError, match="no more files"):
            await two.delivery._replay()
        assert not two.delivery.is_replaying
        assert len(two.kept()) == 2


@pytest.mark.parametrize("error", [OSError("full"), sqlite3.OperationalError("full")])
def test_what_cannot_be_made_safe_is_reported_once(
    tmp_path: Path, error: Exception
) -> None:
    @in_fake_time
    async def test() -> None:
        async with life(tmp_path) as one:

            def fail(*_: Any) -> Any:
                raise error

            frontier: Any = one.frontier
            frontier.deliver = fail
            one.delivery.processed(one.keep("a"))
            await asyncio.sleep(60)
            assert one.failures == [error]

    test()


@in_fake_time
async def test_the_last_items_are_safe_when_the_delivery_closes(
    tmp_path: Path,
) -> None:
    async with life(tmp_path) as one:
        one.delivery.processed(one.keep("a"))
        await one.delivery.close()
        assert one.kept() == []
        await asyncio.sleep(60)
        assert one.failures == []


@in_fake_time
async def test_without_a_jobdir_nothing_is_kept(tmp_path: Path) -> None:
    async with life(tmp_path, has_jobdir=False) as one:
        assert not one.delivery.is_kept
        assert one.delivery.entry("item", b"item", None) == b""
        assert await one.outputs(request("a"), request("a")) == ["a", "a"]
        await one.delivery.close()
        assert one.notes() == {}


# The start --------------------------------------------------------------------------


@in_fake_time
async def test_what_start_has_yielded_is_not_taken_again(tmp_path: Path) -> None:
    outputs = [request("a"), {"item": 1}, request("b"), request("a"), request("c")]
    async with life(tmp_path) as one:
        assert await one.outputs(*outputs, most=2) == ["a", "b"]
        assert one.processed == [{"item": 1}]
    async with life(tmp_path) as two:
        # Known by what they are, and not by their places.
        assert await two.outputs(*reversed(outputs)) == ["c", "a"]
        assert two.processed == []
    async with life(tmp_path) as three:
        assert await three.outputs(*outputs, {"item": 1}) == []
        assert three.processed == [{"item": 1}]


@in_fake_time
async def test_start_ends_once_its_items_cannot_be_kept(tmp_path: Path) -> None:
    async with life(tmp_path) as one:
        error = sqlite3.OperationalError("full")

        def fail(*_: Any) -> Any:
            raise error

        frontier: Any = one.frontier
        frontier.keep = fail
        assert await one.outputs(request("a"), {"item": 1}, request("b")) == ["a"]
        assert (one.failures, one.processed) == ([error], [])


@in_fake_time
async def test_others_have_their_turn_between_two_outputs(tmp_path: Path) -> None:
    async with life(tmp_path) as one:
        turns: list[str] = []
        asyncio.get_running_loop().call_soon(turns.append, "somebody else")

        async def outputs() -> AsyncIterator[Any]:
            for name in "ab":
                turns.append(name)
                yield request(name)

        async for thing in one.delivery.in_turns(outputs()):
            one.push(thing)
        assert turns == ["a", "somebody else", "b"]


# The end ----------------------------------------------------------------------------


async def _nothing(one: Life) -> None:
    await one.outputs()


async def _not_exhausted(one: Life) -> None:
    await one.outputs(request("a"), request("b"), most=1)
    one.frontier.ack(one.lease())


async def _waiting(one: Life) -> None:
    await one.outputs(request("a"))


async def _leased(one: Life) -> None:
    await one.outputs(request("a"))
    one.lease()


async def _undelivered(one: Life) -> None:
    await one.outputs()
    one.keep("a")


async def _delivered(one: Life) -> None:
    await one.outputs()
    one.delivery.processed(one.keep("a"))


@pytest.mark.parametrize(
    ("happens", "reason", "is_over"),
    [
        (_nothing, "finished", True),
        (_delivered, "finished", True),
        (_nothing, "shutdown", False),
        (_not_exhausted, "finished", False),
        (_waiting, "finished", False),
        (_leased, "finished", False),
        (_undelivered, "finished", False),
    ],
)
def test_a_crawl_is_over_only_when_all_is_done(
    tmp_path: Path, happens: Any, reason: str, is_over: bool
) -> None:
    @in_fake_time
    async def test() -> None:
        async with life(tmp_path) as one:
            await happens(one)
            await one.delivery.close()
            one.delivery.end(reason)
            assert (FINISHED in one.notes()) == is_over

    test()


@in_fake_time
async def test_a_crawl_that_is_over_begins_anew(tmp_path: Path) -> None:
    async with life(tmp_path) as one:
        assert await one.outputs(request("a")) == ["a"]
        one.frontier.ack(one.lease())
        await one.delivery.close()
        one.delivery.end("finished")
        assert json.loads(one.notes()[FINISHED]) == 1
    async with life(tmp_path) as two:
        assert two.notes() == {SPIDER: "one"}
        assert await two.outputs(request("a")) == ["a"]
