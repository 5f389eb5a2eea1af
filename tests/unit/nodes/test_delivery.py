"""Which items of a node are in its files, and what it agrees with Redis before."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from scrapy import Request

from concurcrawl.durable.feeds import LedgerStorage, item_at_hand
from concurcrawl.durable.start import StartOutputs
from concurcrawl.errors import FrontierError, LeaseLostError
from concurcrawl.frontier.base import Done
from concurcrawl.nodes.delivery import NodeDelivery
from concurcrawl.nodes.json_codec import JsonCodec
from concurcrawl.workers.protocol.pickle_codec import Codec
from tests.support.fakes import in_fake_time, made_crawler, settled

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Mapping,
        Sequence,
    )
    from pathlib import Path

HOME = "home-1"


class FakeFrontier:
    """A node's part of a frontier in Redis, and the connection to it.

    Attributes:
        calls: What it was asked, in order.
        seen: What :attr:`look` returned at each call.
        error: What it raises when a batch is announced, if it is set.
        batches: Those in doubt, by name.
    """

    def __init__(self) -> None:
        self.node = "node-1"
        self.has_joined = self.is_leader = True
        self.is_quiet = False
        self.calls: list[tuple[Any, ...]] = []
        self.look: Any = lambda: None
        self.seen: list[Any] = []
        self.error: Exception | None = None
        self.noted: dict[str, str] = {}
        self.batches: dict[str, str] = {}
        self.live = {self.node}
        self._number = 0

    def _called(self, *call: Any) -> None:
        self.calls.append(call)
        self.seen.append(self.look())

    async def notes(self) -> dict[str, str]:
        return self.noted

    async def prepare(self, batch: str, about: str, items: Sequence[int]) -> None:
        self._called("prepare", items)
        if self.error is not None:
            raise self.error
        self.batches[batch] = about

    async def commit(
        self, batch: str, notes: Mapping[str, str], *, was_written: bool
    ) -> None:
        self._called("commit", was_written)
        self.batches.pop(batch)
        self.noted.update(notes)

    async def deliver(self, items: Sequence[int], notes: Mapping[str, str]) -> None:
        self._called("deliver", items)

    async def keep(
        self, items: Sequence[bytes], notes: Mapping[str, str], output: Any = None
    ) -> list[int]:
        self._called("keep", [json.loads(item) for item in items])
        first, self._number = self._number + 1, self._number + len(items)
        return [*range(first, self._number + 1)]

    def times_taken(self, what: bytes) -> Done[int]:
        return Done(0)

    # The connection.

    async def nodes(self) -> set[str]:
        return self.live

    async def in_doubt(self) -> dict[str, str]:
        return dict(self.batches)


async def _never() -> bool:
    return False


class Node:
    """A delivery, its feed and what it has done."""

    def __init__(
        self, folder: Path, frontier: FakeFrontier, *, streams: bool = False
    ) -> None:
        self.path = str(folder / "feed.jsonl")
        self.frontier = frontier
        self.crawler = made_crawler()
        self.codec = Codec()
        self.processed: list[Any] = []
        self.failures: list[Exception] = []
        self.lead: Callable[[], Awaitable[bool]] = _never
        fake: Any = frontier
        self.delivery = NodeDelivery(
            self.crawler,
            fake,
            fake,
            JsonCodec(self.crawler.spider),
            HOME,
            StartOutputs(self.crawler, fake),
            streams=streams,
            pipelines=self,
            lead=self._lead,
            fail=self.failures.append,
        )
        self.feed: Any = None

    async def process_kept(self, payload: bytes, meta: Any, number: int) -> None:
        self.processed.append(self.codec.decode(payload))

    async def _lead(self) -> bool:
        return await self.lead()

    def open_feed(self) -> None:
        options = {"format": "jsonlines"}
        storage = LedgerStorage.from_crawler(
            self.crawler, self.path, feed_options=options
        )
        self.feed = storage.open(self.crawler.spider)

    def write(self, number: int, line: str) -> None:
        """Write an item into the feed, as an exporter does."""
        if self.feed is None:
            self.open_feed()
        token = item_at_hand.set(number)
        self.feed.write(line.encode())
        item_at_hand.reset(token)

    def content(self) -> str:
        with open(self.path, encoding="utf-8") as file:  # noqa: PTH123 - what is on disk
            return file.read()


@asynccontextmanager
async def node(
    folder: Path, frontier: FakeFrontier | None = None, **about: Any
) -> AsyncIterator[Node]:
    one = Node(folder, frontier or FakeFrontier(), **about)
    await one.delivery.open()
    try:
        yield one
    finally:
        if one.delivery._timer is not None:
            one.delivery._timer.cancel()
        if one.feed is not None:
            one.feed.close()


def prepared(path: str, at: int, end: int, **about: Any) -> str:
    """Return what a node has said of a batch before it wrote it."""
    me = psutil.Process()
    return json.dumps(
        {
            "home": HOME,
            "node": "node-0",
            "files": {path: (at, end)},
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "born_s": me.create_time(),
            **about,
        }
    )


# Files ------------------------------------------------------------------------------


@in_fake_time
async def test_a_line_is_written_between_prepare_and_commit(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        one.delivery.kept([1, 2])
        one.write(1, "a\n")
        one.write(2, "b\n")
        one.frontier.look = one.content
        assert one.content() == ""
        await one.delivery.make_safe()
        assert one.frontier.calls == [("prepare", [1, 2]), ("commit", True)]
        assert one.frontier.seen == ["", "a\nb\n"]
        assert one.frontier.noted == {f"feed:{HOME}:{one.path}": "4"}
        one.frontier.calls.clear()
        await one.delivery.make_safe()
        assert one.frontier.calls == []


@in_fake_time
async def test_an_item_that_is_in_no_file_is_let_go_of(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        one.delivery.kept([1, 2])
        one.delivery.processed([1])
        await one.delivery.make_safe()
        assert one.frontier.calls == [("deliver", [1])]


@in_fake_time
async def test_a_line_of_an_item_that_others_have_is_never_written(
    tmp_path: Path,
) -> None:
    async with node(tmp_path) as one:
        one.delivery.kept([2])
        one.write(1, "a\n")
        one.write(2, "b\n")
        await one.delivery.make_safe()
        assert one.content() == "b\n"


@in_fake_time
async def test_a_batch_that_is_refused_is_not_written(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        one.delivery.kept([1])
        one.write(1, "a\n")
        one.frontier.error = LeaseLostError(1)
        one.delivery.processed([1])
        await one.delivery.make_safe()
        assert [call[0] for call in one.frontier.calls] == ["prepare"]
        assert one.content() == ""


@in_fake_time
async def test_a_node_that_lost_all_its_items_writes_none(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        one.delivery.kept([1])
        one.write(1, "a\n")
        one.delivery.disown()
        await settled()
        await one.delivery.make_safe()
        assert (one.frontier.calls, one.content()) == ([], "")


@in_fake_time
async def test_a_failure_is_reported_once(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        one.delivery.kept([1])
        one.write(1, "a\n")
        one.frontier.error = FrontierError("frontier_lost", "Redis is away")
        await asyncio.sleep(60)
        assert one.failures == [one.frontier.error]


@in_fake_time
async def test_what_is_ready_is_written_when_the_delivery_closes(
    tmp_path: Path,
) -> None:
    async with node(tmp_path) as one:
        one.delivery.kept([1])
        one.write(1, "a\n")
        await one.delivery.close()
        assert one.content() == "a\n"


@in_fake_time
async def test_an_item_without_json_is_named_and_left_out(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        entry = one.delivery.entry
        assert entry({"price": 1}, b"", None)
        assert entry({"price": print}, b"", None) is None
        assert one.crawler.stats.get_value("concurcrawl/not_shippable") == 1


# In doubt ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "was_written", "left"),
    [("old\nnew\n", True, "old\nnew\n"), ("old\nne", False, "old\n")],
    ids=["written", "torn"],
)
def test_a_batch_of_an_earlier_life_is_committed_if_its_file_has_it(
    tmp_path: Path, content: str, was_written: bool, left: str
) -> None:
    @in_fake_time
    async def test() -> None:
        path = tmp_path / "feed.jsonl"
        path.write_text(content)
        frontier = FakeFrontier()
        frontier.noted[f"feed:{HOME}:{path}"] = "4"
        frontier.batches["batch"] = prepared(str(path), 4, 8)
        async with node(tmp_path, frontier) as one:
            assert frontier.calls == [("commit", was_written)]
            assert frontier.batches == {}
            one.open_feed()
            assert one.content() == left
            assert frontier.noted[f"feed:{HOME}:{path}"] == str(len(left))

    test()


@pytest.mark.parametrize(
    ("about", "is_live", "is_settled"),
    [
        ({}, False, True),
        ({"home": "another"}, False, False),
        ({}, True, False),  # its process runs: it is this one
        ({"born_s": 0.0}, True, True),  # another process has its number by now
        ({"host": "another"}, True, False),
    ],
    ids=["dead", "another home", "alive", "number taken over", "alive elsewhere"],
)
def test_a_batch_in_doubt_is_left_to_a_node_that_may_live(
    tmp_path: Path, about: dict[str, Any], is_live: bool, is_settled: bool
) -> None:
    @in_fake_time
    async def test() -> None:
        frontier = FakeFrontier()
        if is_live:
            frontier.live.add("node-0")
        path = str(tmp_path / "feed.jsonl")
        frontier.batches["batch"] = prepared(path, 0, 4, **about)
        async with node(tmp_path, frontier):
            assert (frontier.batches == {}) == is_settled

    test()


@in_fake_time
async def test_a_crawl_that_is_over_is_left_as_it_is(tmp_path: Path) -> None:
    frontier = FakeFrontier()
    frontier.has_joined = False
    frontier.batches["batch"] = prepared(str(tmp_path / "feed.jsonl"), 0, 4)
    async with node(tmp_path, frontier) as one:
        await one.delivery.close()
        assert frontier.calls == []


@in_fake_time
async def test_items_of_dead_nodes_are_processed_here(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        kept = one.delivery.entry({"price": 1}, b"", None)
        assert kept is not None
        one.delivery.adopt([(7, b"no json"), (8, kept)])
        replaying = [one.delivery.is_replaying]
        await settled()
        assert [*replaying, one.delivery.is_replaying] == [True, False]
        assert one.processed == [{"price": 1}]
        await one.delivery.make_safe()
        assert one.frontier.calls == [("deliver", [7, 8])]


# The start --------------------------------------------------------------------------


async def _outputs(one: Node, *things: Any) -> list[Any]:
    async def outputs() -> AsyncIterator[Any]:
        for thing in things:
            yield thing

    return [thing async for thing in one.delivery.in_turns(outputs())]


@in_fake_time
async def test_start_runs_on_the_node_that_leads(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        assert await _outputs(one, Request("http://a/")) == []
        led = iter([True, False])

        async def lead() -> bool:
            return next(led)

        one.lead = lead
        one.frontier.is_leader = False  # it leads no longer after the first output
        requests = [Request(f"http://a/{name}") for name in "ab"]
        assert await _outputs(one, *requests) == requests[:1]


@in_fake_time
async def test_an_item_of_start_is_kept_and_processed(tmp_path: Path) -> None:
    async with node(tmp_path) as one:
        one.lead = _leads
        assert await _outputs(one, {"price": 1}) == []
        assert one.frontier.calls == [
            ("keep", [{"item": {"price": 1}, "page": None}]),
        ]
        assert one.processed == [{"price": 1}]
        await one.delivery.make_safe()
        assert one.frontier.calls[1:] == [("deliver", [1])]


@in_fake_time
async def test_a_stream_gets_what_the_pipelines_have_made(tmp_path: Path) -> None:
    async with node(tmp_path, streams=True) as one:

        async def process(payload: bytes, *_: Any) -> None:
            for item in ({"price": 2}, {"price": print}):
                one.delivery._scraped(item)

        fake: Any = one
        fake.process_kept, one.lead = process, _leads
        assert await _outputs(one, {"price": 1}) == []
        assert one.frontier.calls == [("keep", [{"price": 2}])]
        one.delivery._scraped({"price": 3})  # of no page that is kept here
        assert len(one.frontier.calls) == 1


async def _leads() -> bool:
    return True
