"""What state a crawl is said to be in, as it is watched."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from concurcrawl.frontier.base import GroupState
from concurcrawl.frontier.redis import admin, connection
from concurcrawl.frontier.redis.admin import GroupStatus, NodeStatus
from concurcrawl.frontier.redis.admin import Snapshot as Job
from concurcrawl.frontier.redis.control import JobControl
from concurcrawl.monitor import observer
from concurcrawl.monitor.error_log import ErrorLog
from concurcrawl.monitor.observer import Observer
from concurcrawl.monitor.processes import Processes
from concurcrawl.monitor.shared_job import JobObserver, with_job, with_reports
from concurcrawl.monitor.snapshot import CrawlSnapshot, Progress, Worker

WORKER = Worker(
    name="main", host="a", pid=1, state="busy", in_flight=1, slots=4, done=0
)
PAUSED = GroupState(name="a.example", in_flight=0, waiting=3, paused_s=9.0)
OPEN = GroupState(name="b.example", in_flight=1)


@dataclass
class View:
    """A crawl that is as a test wants it."""

    spider: str = "one"
    mode: str = "async"
    job: str = ""
    records: str = ""
    stats: dict[str, Any] = field(default_factory=dict)
    is_paused: bool = False
    is_closing: bool = False
    is_starting: bool = False
    waiting: int | None = 3
    leased: int = 1
    restarts: int = 2
    found: tuple[list[GroupState], int] = ([OPEN], 0)

    def groups(self, most: int) -> tuple[list[GroupState], int]:
        return self.found

    def processes(self) -> dict[int, str]:
        return {}

    def workers(self) -> tuple[Worker, ...]:
        return (WORKER,)

    def urls(self) -> tuple[tuple[()], tuple[()]]:
        return (), ()

    def feeds(self) -> tuple[()]:
        return ()


def looked(**about: Any) -> CrawlSnapshot:
    return asyncio.run(observed(View(**about)).look())


def observed(view: Any) -> Observer:
    return Observer(view, Processes(), ErrorLog())


@pytest.mark.parametrize(
    ("about", "state"),
    [
        ({}, "running"),
        ({"is_paused": True}, "paused"),
        ({"is_paused": True, "is_closing": True}, "closing"),
        ({"found": ([PAUSED], 0)}, "waiting"),
        ({"found": ([PAUSED, OPEN], 0)}, "running"),
        ({"found": ([PAUSED], 7)}, "running"),
    ],
)
def test_the_state_of_a_crawl(about: dict[str, Any], state: str) -> None:
    assert looked(**about).state == state


def test_a_crawl_in_which_nothing_is_done_stalls_until_something_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    view = View()
    watching = observed(view)

    async def after(seconds: float) -> CrawlSnapshot:
        now_s[0] += seconds
        return await watching.look()

    async def watch() -> list[str]:
        states = [(await after(s)).state for s in (0, 1, observer.STALLED_AFTER_S)]
        view.stats["response_received_count"] = 1
        states.append((await after(1)).state)
        view.leased = 0  # nothing is in progress: it waits, for new URLs say
        return [*states, (await after(observer.STALLED_AFTER_S)).state]

    assert asyncio.run(watch()) == [
        "running",
        "running",
        "stalled",
        "running",
        "running",
    ]


def test_the_end_keeps_the_last_values() -> None:
    view = View(stats={"item_scraped_count": 5, "scheduler/dequeued": 4})

    async def end() -> CrawlSnapshot:
        watching = observed(view)
        await watching.look()
        view.waiting, view.leased = None, 0
        watching.end("shutdown")
        return await watching.look()

    last = asyncio.run(end())
    assert (last.state, last.reason) == ("finished", "shutdown")
    assert last.progress == Progress(waiting=3, leased=0, done=4, items=5)
    assert last.workers == (WORKER,)
    assert last.counts.restarts == 2


def test_a_crawl_that_stalled_ends_so_also_if_it_was_never_looked_at() -> None:
    last = observed(View()).end("stalled")
    assert (last.state, last.reason) == ("stalled", "stalled")


NODE = NodeStatus(
    name="n-1",
    is_live=True,
    is_leader=True,
    is_dead=False,
    joined_s=1.0,
    left_s=None,
    silent_s=0.5,
    done=40,
    leased=3,
    about={"host": "a", "workers": 2},
)
DEAD = replace(NODE, name="n-2", is_live=False, is_leader=False, is_dead=True)
JOB = Job(
    job="shop",
    spider="one",
    state="live",
    reason="",
    at_s=100.0,
    began_s=40.0,
    ended_s=None,
    waiting=7,
    leased=3,
    done=80,
    undelivered=0,
    in_doubt=0,
    streamed=0,
    nodes=(NODE, DEAD),
    groups=(GroupStatus("a.example", 7, 3, 0.5, 2.0, 8),),
    failures=({"request": "x"},),
    stats={"item_scraped_count": 70, "downloader/response_status_count/200": 80},
)


def test_a_job_of_several_nodes_is_shown_as_a_whole() -> None:
    seen = with_job(looked(), JOB)
    assert (seen.job, seen.elapsed_s) == ("shop", 60.0)
    assert (seen.progress.waiting, seen.progress.leased, seen.progress.done) == (
        7,
        3,
        80,
    )
    assert (seen.progress.items, seen.counts.requests) == (70, {"2xx": 80})
    assert seen.counts.dead_letters == 1
    assert [(one.name, one.state) for one in seen.nodes] == [
        ("n-1", "leads"),
        ("n-2", "dead"),
    ]
    assert (seen.groups[0].limit, seen.groups[0].paused_s) == (8, 2.0)
    assert seen.workers == (WORKER,)  # of this node


def test_a_job_is_shown_with_what_its_live_nodes_say_of_themselves() -> None:
    said = {"restarts": 2, "memory_bytes": 7, "cpu": 0.5, "cpu_s": 3.0}
    seen = with_reports(with_job(looked(), JOB), JOB, {"n-1": said, "n-2": said})
    assert [(one.name, one.memory_bytes) for one in seen.processes] == [("n-1", 7)]
    assert [node.restarts for node in seen.nodes] == [2, None]
    assert (seen.memory_bytes, seen.counts.restarts) == (7, 2)


def test_a_job_seen_from_outside_stalls_and_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = replace(JOB, groups=())
    now_s, jobs = [time.monotonic()], [live]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(admin, "snapshot", lambda *_, **__: jobs[0])
    monkeypatch.setattr(JobControl, "reports", lambda _: {})
    watching = JobObserver(connection.parse("redis://127.0.0.1", "c", "j"))

    async def states(*moments: tuple[float, Job]) -> list[str]:
        found = []
        for seconds, job in moments:
            now_s[0] += seconds
            jobs[0] = job
            found.append((await watching.values())["state"])
        return found

    longer_s = observer.STALLED_AFTER_S
    moved = replace(live, done=81)
    paused = replace(moved, is_paused=True)
    assert asyncio.run(
        states(
            (0.0, live),
            (longer_s, live),
            (1.0, moved),
            (longer_s, paused),
            (1.0, moved),
            (longer_s, moved),
            (1.0, replace(moved, nodes=(DEAD,))),
            (1.0, replace(moved, state="ended", reason="finished", ended_s=99.0)),
        )
    ) == [
        *("running", "stalled", "running", "paused", "running", "stalled"),
        *("gone", "finished"),
    ]
