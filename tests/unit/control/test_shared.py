"""A node does what stands in Redis, and what was wanted here stays done."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.control.operations import AddResult
from concurcrawl.control.shared import SharedControl
from concurcrawl.errors import ControlError
from concurcrawl.frontier.redis.control import WATCHED, Orders

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeControl:
    leads = True
    is_stopping = False

    def __init__(self) -> None:
        self.did: list[Any] = []

    def pause_here(self) -> None:
        self.did.append("pause")

    def resume_here(self) -> None:
        self.did.append("resume")

    def change_limits_here(self, group: str, **limits: float) -> None:
        if group == "forbidden":
            raise ControlError("the profile says no")
        self.did.append((group, limits))

    async def add(self, urls: list[str]) -> AddResult:
        return AddResult(taken=len(urls))

    async def retry(self) -> int:
        raise ControlError("the crawl ends")


class FakeAnnouncer:
    """An announcer that is its own way to Redis."""

    def __init__(self) -> None:
        self.node = self
        self.done: dict[str, str] = {}
        self.changes, self.is_telling = 0, False
        self.wanted: Mapping[str, str] = {}
        self.commands: list[bytes] = []
        self.answers: dict[str, Any] = {}
        self.reports: list[tuple[str, str]] = []

    async def orders(self, *, leads: bool) -> Orders:
        return Orders(self.wanted, self.commands if leads else [])

    async def answer(self, command: bytes, number: str, answer: object) -> None:
        self.answers[number] = answer

    async def report(self, node: str, text: str) -> None:
        self.reports.append((node, text))

    async def discard(self, command: bytes) -> None:
        self.answers["dropped"] = command


class FailingAnnouncer(FakeAnnouncer):
    """Its Redis fails; the crawl ends when it was asked twice."""

    def __init__(self, error: Exception, control: FakeControl) -> None:
        super().__init__()
        self.error, self.control, self.asked = error, control, 0

    async def orders(self, *, leads: bool) -> Orders:
        self.asked += 1
        self.control.is_stopping = self.asked == 2
        raise self.error


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def shared(control: FakeControl) -> Any:
    found: Any = SharedControl.__new__(SharedControl)
    found._control, found._crawler = control, SimpleNamespace()
    return found


def test_what_is_wanted_is_done_once(shared: Any, control: FakeControl) -> None:
    announcer = FakeAnnouncer()
    limits = json.dumps({"in_flight": 2})
    announcer.wanted = {"paused": "1", "limits:a": limits, "limits:forbidden": limits}
    for _ in range(2):
        asyncio.run(shared._look(announcer))
    announcer.wanted = {"paused": "0"}
    asyncio.run(shared._look(announcer))
    assert control.did == ["pause", ("a", {"in_flight": 2}), "resume"]


def test_a_node_reports_once_each_time_it_is_watched(shared: Any) -> None:
    async def report() -> tuple[str, str]:
        return "n-1", "{}"

    announcer, shared.report = FakeAnnouncer(), report
    for at_s in ("1.0", "1.0", "6.0"):
        announcer.wanted = {WATCHED: at_s}
        asyncio.run(shared._look(announcer))
    assert announcer.reports == [("n-1", "{}")] * 2


@pytest.mark.parametrize(
    ("error", "level"), [(ConnectionError("away"), "DEBUG"), (KeyError("bug"), "ERROR")]
)
def test_a_redis_that_is_away_is_asked_again_and_a_bug_is_named(
    error: Exception,
    level: str,
    shared: Any,
    control: FakeControl,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "concurcrawl.control.shared")
    monkeypatch.setattr("concurcrawl.control.shared._INTERVAL_S", 0)
    announcer = FailingAnnouncer(error, control)
    asyncio.run(shared._run(announcer))
    assert {record.levelname for record in caplog.records} == {level}
    assert announcer.asked == (2 if level == "DEBUG" else 1)


def test_what_was_wanted_here_is_not_undone_by_older_news(
    shared: Any, control: FakeControl
) -> None:
    announcer = FakeAnnouncer()
    announcer.done, announcer.wanted = {"paused": "1"}, {"paused": "0"}
    announcer.is_telling = True
    asyncio.run(shared._look(announcer))
    assert control.did == []


def test_commands_are_answered_also_those_that_are_refused(
    shared: Any, control: FakeControl
) -> None:
    announcer = FakeAnnouncer()
    announcer.commands = [
        b'{"id": "1", "op": "add", "urls": ["a", "b"]}',
        b'{"id": "2", "op": "retry"}',
        b'{"id": "3", "op": "dance"}',
        b"garbage",
    ]
    asyncio.run(shared._look(announcer))
    taken = {"taken": 2, "duplicates": 0, "refused": []}
    assert announcer.answers == {
        "1": {"done": taken},
        "2": {"error": "the crawl ends"},
        "3": {"error": "this release has no command 'dance'"},
        "dropped": b"garbage",
    }
    control.leads, announcer.answers = False, {}
    asyncio.run(shared._look(announcer))
    assert announcer.answers == {}
