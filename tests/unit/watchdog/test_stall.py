"""When a crawl counts as stalled, with crawls and looks that are made up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scrapy.signalmanager import SignalManager
from twisted.internet.defer import Deferred

from concurcrawl.watchdog import stall
from concurcrawl.watchdog.stall import StallWatch, Waiting

STUCK = Waiting("<GET http://a/>", "for free capacity at its site")
DEADLINE_S = 10.0


class Engine:
    """What a watch uses of an engine."""

    def __init__(self) -> None:
        self.paused = False
        self.reasons: list[str] = []
        self._slot = SimpleNamespace(closing=None, inprogress=set())

    def is_told_to_end(self) -> None:
        self._slot.closing = Deferred()

    async def close_spider_async(self, *, reason: str) -> None:
        self.reasons.append(reason)


class Watched:
    """A watch of a crawl of which each look finds what was planned."""

    def __init__(self, timeout_s: float, *looks: list[Waiting]) -> None:
        self.engine = Engine()
        self.crawler = SimpleNamespace(engine=self.engine, spider=object())
        self.crawler.signals = SignalManager(self.crawler)
        self.planned = list(looks)
        self.looked = 0
        self.abandoned = asyncio.Event()
        self.watch = StallWatch(
            cast("Any", self.crawler), timeout_s, self.look, self.abandoned.set
        )

    async def look(self) -> list[Waiting]:
        self.looked += 1
        return self.planned.pop(0) if len(self.planned) > 1 else self.planned[0]

    async def ends(self) -> None:
        self.watch.start()
        await asyncio.wait_for(self.abandoned.wait(), DEADLINE_S)
        self.watch.stop()

    async def looks(self, count: int) -> None:
        self.watch.start()
        async with asyncio.timeout(DEADLINE_S):
            while self.looked < count:  # noqa: ASYNC110 - a fake has no event for it
                await asyncio.sleep(0.001)
        self.watch.stop()


@pytest.fixture(autouse=True)
def _in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall, "_STEP_S", 0.001)


def test_a_crawl_in_which_nothing_moves_is_ended() -> None:
    async def run() -> Watched:
        watched = Watched(0.01, [STUCK])
        await watched.ends()
        return watched

    watched = asyncio.run(run())
    assert watched.engine.reasons == ["stalled"]
    assert watched.looked == 6  # the first, and as many that find the same


def test_a_crawl_in_which_something_has_moved_is_looked_at_anew() -> None:
    other = Waiting("<GET http://b/>", "in a downloader middleware")

    async def run() -> Watched:
        looks = [[STUCK], [STUCK], [STUCK], [], [STUCK], [STUCK], [other]]
        watched = Watched(0.01, *looks)
        await watched.ends()
        return watched

    assert asyncio.run(run()).looked == 7 + 5


def test_without_a_timeout_only_a_crawl_that_was_told_to_end_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stall, "_CLOSING_S", 0.01)

    async def run() -> Watched:
        watched = Watched(0, [STUCK])
        asyncio.get_running_loop().call_later(0.05, watched.engine.is_told_to_end)
        await watched.ends()
        return watched

    watched = asyncio.run(run())
    assert watched.engine.reasons == []  # it has one
    assert watched.looked == 6


def test_a_paused_crawl_is_left_alone() -> None:
    async def run() -> Watched:
        watched = Watched(0.01, [STUCK])
        watched.engine.paused = True
        watched.watch.start()
        await asyncio.sleep(0.05)
        assert not watched.abandoned.is_set()
        watched.engine.paused = False
        await asyncio.wait_for(watched.abandoned.wait(), DEADLINE_S)
        watched.watch.stop()
        return watched

    assert asyncio.run(run()).looked == 6


def test_the_log_names_what_waits_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many = [
        Waiting(f"<GET http://a/{n}>", "to be done", "x.py:1 in f") for n in range(25)
    ]

    async def run() -> None:
        await Watched(0.01, many).ends()

    asyncio.run(run())
    (text,) = caplog.messages
    assert "25 request(s) have been in progress for 0.01 s" in text
    assert "  <GET http://a/19> waits to be done, at x.py:1 in f\n" in text
    assert "<GET http://a/20>" not in text
    assert "  and 5 more\n" in text
    assert "CONCURCRAWL_STALL_TIMEOUT_S sets the time; 0 switches" in text
