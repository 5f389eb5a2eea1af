"""Changes of plain attributes on the supervisor's spider, made on that of a worker."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from scrapy import Spider
from scrapy.settings import Settings

from concurcrawl.durable.state import KEEPS_STATE
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.supervisor.attributes import AttributeWatch
from concurcrawl.workers.worker.attributes import set_attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.workers.protocol.messages.state import SetAttributes


class Shop(Spider):
    name = "shop"
    limit = 3
    shared: ClassVar[list[str]] = []

    def __init__(self) -> None:
        super().__init__()
        self.is_over = False
        self.seen = {"a"}
        self.counts = {"x": 1}
        self.queue = ["one"]
        self.not_a_number = math.nan
        self.client = object()


class Crawl:
    """A supervisor's spider, a worker's, and what goes from one to the other."""

    def __init__(self, **settings: Any) -> None:
        self.ours, self.theirs = Shop(), Shop()
        crawler: Any = SimpleNamespace(spider=self.ours, settings=Settings(settings))
        self.watch = AttributeWatch(crawler)
        self.watch._send = self.send
        self.sent = 0

    def send(self, message: SetAttributes) -> None:
        self.sent += 1
        set_attributes(self.theirs, Codec().decode(message.changes))


@pytest.fixture
def crawl() -> Crawl:
    return Crawl()


def test_nothing_is_sent_while_nothing_changes(crawl: Crawl) -> None:
    for _ in range(3):
        crawl.watch.look()
    assert crawl.sent == 0
    assert crawl.watch.since_start() is None


CHANGES: list[tuple[Callable[[Any], Any], str, Any]] = [
    (lambda spider: setattr(spider, "is_over", True), "is_over", True),
    (lambda spider: setattr(spider, "made", b"late"), "made", b"late"),
    (lambda spider: setattr(spider, "limit", 5), "limit", 5),
    (lambda spider: setattr(spider, "is_over", 0), "is_over", 0),
    (lambda spider: spider.seen.add("b"), "seen", {"a", "b"}),
    (lambda spider: spider.seen.discard("a"), "seen", set()),
    (lambda spider: spider.counts.update(y=[1, (2, None)]), "counts", None),
    (lambda spider: spider.queue.append("two"), "queue", ["one", "two"]),
    (lambda spider: spider.queue.clear(), "queue", []),
    (lambda spider: setattr(spider, "seen", ["other"]), "seen", ["other"]),
    (lambda spider: setattr(spider, "shared", ["own"]), "shared", ["own"]),
]


@pytest.mark.parametrize(("change", "name", "expected"), CHANGES)
def test_a_change_arrives(
    change: Callable[[Any], Any], name: str, expected: Any, crawl: Crawl
) -> None:
    change(crawl.ours)
    crawl.watch.look()
    crawl.watch.look()
    assert crawl.sent == 1
    found = getattr(crawl.theirs, name)
    assert found == (getattr(crawl.ours, name) if expected is None else expected)
    assert type(found) is type(getattr(crawl.ours, name))


@pytest.mark.parametrize(("change", "name", "expected"), CHANGES)
def test_a_worker_that_comes_later_is_told(
    change: Callable[[Any], Any], name: str, expected: Any, crawl: Crawl
) -> None:
    change(crawl.ours)
    crawl.watch._send = lambda _: None
    crawl.watch.look()
    message = crawl.watch.since_start()
    assert message is not None
    crawl.send(message)
    assert getattr(crawl.theirs, name) == getattr(crawl.ours, name)


def test_what_is_deleted_is_gone(crawl: Crawl) -> None:
    del crawl.ours.is_over
    crawl.watch.look()
    assert not hasattr(crawl.theirs, "is_over")


def test_what_a_callback_has_set_stays_until_it_changes_here(crawl: Crawl) -> None:
    crawl.theirs.limit, crawl.theirs.is_over = 9, True
    crawl.theirs.queue.append("its own")
    crawl.ours.limit = 4
    crawl.ours.queue.append("two")
    crawl.watch.look()
    assert (crawl.theirs.limit, crawl.theirs.is_over) == (4, True)
    assert crawl.theirs.queue == ["one", "its own", "two"]


def test_what_others_hold_is_changed_in_place(crawl: Crawl) -> None:
    held = crawl.theirs.seen
    crawl.ours.seen.add("b")
    crawl.watch.look()
    assert held == {"a", "b"}


def test_what_is_no_plain_value_stays_where_it_is(crawl: Crawl) -> None:
    theirs = crawl.theirs.client
    crawl.ours.client = object()
    crawl.ours.seen = {object()}  # type: ignore[arg-type]
    crawl.watch.look()
    assert crawl.sent == 0
    assert crawl.theirs.client is theirs


def test_what_grows_too_large_is_named_once(
    crawl: Crawl, caplog: pytest.LogCaptureFixture
) -> None:
    for size in (500, 5000, 6000):
        crawl.ours.queue = [str(number) for number in range(size)]
        crawl.watch.look()
    assert len(crawl.theirs.queue) == 500
    assert caplog.text.count("spider.queue is no longer passed on") == 1


def test_the_state_of_a_jobdir_has_its_own_way() -> None:
    crawl = Crawl(**{KEEPS_STATE: True})
    crawl.ours.state = {"n": 1}  # type: ignore[attr-defined]
    crawl.watch.look()
    assert crawl.sent == 0
