"""Which workers are ended after a crawl was told to stop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from scrapy import Request

from concurcrawl.workers.protocol.messages.lifecycle import Ping
from concurcrawl.workers.supervisor.stopping import StopWatch, named


class FakeWorker:
    """A worker without a process."""

    def __init__(self, held: dict[int, None], pid: int | None) -> None:
        self.held, self.pid, self.progress = held, pid, 0
        self.sent: list[object] = []
        self.send = self.sent.append


def worker(*, held: bool = True, pid: int | None = 7) -> Any:
    return FakeWorker({1: None} if held else {}, pid)


def watch(*workers: Any) -> tuple[StopWatch, list[Any]]:
    stuck: list[Any] = []
    pool: Any = SimpleNamespace(workers=[*workers])
    return StopWatch(pool, 10.0, lambda: True, stuck.append), stuck


def test_a_worker_in_which_nothing_moves_is_ended_once() -> None:
    one = worker()
    stop_watch, stuck = watch(one)
    for _ in range(10):
        stop_watch.look()
    assert stuck == []
    assert one.sent == [Ping()] * 10
    for _ in range(5):
        stop_watch.look()
    assert stuck == [one]


def test_one_that_makes_progress_now_and_then_is_not() -> None:
    one = worker()
    stop_watch, stuck = watch(one)
    for look in range(60):
        one.progress += look % 8 == 0
        stop_watch.look()
    assert stuck == []


def test_one_that_holds_nothing_or_is_not_open_is_not() -> None:
    stop_watch, stuck = watch(worker(held=False), worker(pid=None))
    for _ in range(20):
        stop_watch.look()
    assert stuck == []


def test_of_very_many_requests_some_are_named() -> None:
    requests = [Request(f"http://a/{number}") for number in range(22)]
    assert named(requests[:2]) == "<GET http://a/0>, <GET http://a/1>"
    assert named(requests).endswith("<GET http://a/19> and 2 more")
