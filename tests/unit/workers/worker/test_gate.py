"""When a worker asks before a request, with a desk that is made up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from scrapy import Request
from scrapy.settings import Settings

from concurcrawl.limits.limiter import FetchResult, Written
from concurcrawl.limits.slots import Slots
from concurcrawl.workers.protocol.messages import ChangeLimits, Enter, Idle
from concurcrawl.workers.worker.crawler import WorkerGate

if TYPE_CHECKING:
    from collections.abc import Callable


class Desk:
    """Has leases, and notes what is said."""

    def __init__(self, **leases: Request) -> None:
        self.leases = {request: int(name[1:]) for name, request in leases.items()}
        self.waiting: set[int] = set()  # tickets of those not taken from the inbox
        self.troubled: set[str] = set()
        self.is_recalled = False
        self.said: list[object] = []
        self.on_recall: Callable[[], None] = lambda: None
        self.on_limits: Callable[[ChangeLimits], None] = lambda _: None

    def ticket_of(self, request: Request) -> int | None:
        return self.leases.get(request)

    def tickets(self) -> set[int]:
        return {*self.leases.values(), *self.waiting}

    async def ask(self, question: object) -> None:
        self.said.append(question)

    def send(self, message: object) -> None:
        self.said.append(message)


def gate_of(desk: Desk, **settings: Any) -> WorkerGate:
    return WorkerGate(cast("Any", desk), Settings(settings))


A, B, C = (Request(f"http://{host}/") for host in ("a", "b", "c"))
TOKEN = Request("http://token/")


def test_a_leased_request_without_limits_asks_nobody() -> None:
    desk = Desk(_1=A)
    asyncio.run(gate_of(desk).enter(A))
    assert desk.said == []


def test_before_a_request_without_a_lease_those_not_at_their_sites_are_reported() -> (
    None
):
    desk = Desk(_1=A, _2=B)
    desk.waiting = {3}
    gate = gate_of(desk)

    async def run() -> None:
        await gate.enter(A)
        await gate.enter(TOKEN)

    asyncio.run(run())
    (idle, enter) = desk.said
    assert isinstance(idle, Idle)
    assert set(idle.tickets) == {2, 3}
    assert enter == Enter("token", None)


def test_a_lease_that_was_reported_asks_before_it_goes_to_its_site() -> None:
    desk = Desk(_1=A)
    gate = gate_of(desk)
    gate.report_idle()
    asyncio.run(gate.enter(A))
    assert desk.said == [Idle((1,)), Enter("a", 1)]


def test_a_lease_is_reported_once() -> None:
    desk = Desk(_1=A)
    gate = gate_of(desk)
    gate.report_idle()
    gate.report_idle()
    assert desk.said == [Idle((1,))]


def test_a_lease_that_leaves_its_site_is_reported_at_once_during_a_recall() -> None:
    desk = Desk(_1=A)
    gate = gate_of(desk)
    asyncio.run(gate.enter(A))
    desk.is_recalled = True
    desk.on_recall()
    assert desk.said == []  # it is at its site
    gate.leave(A, FetchResult(status=200))
    assert desk.said == [Idle((1,))]


def test_during_a_recall_each_request_asks() -> None:
    desk = Desk(_1=A)
    desk.is_recalled = True
    asyncio.run(gate_of(desk).enter(A))
    assert desk.said == [Enter("a", 1)]


def test_what_is_written_to_a_slot_is_said_and_counts_at_once() -> None:
    desk = Desk(_1=A, _2=B)
    gate = gate_of(desk)
    slots = Slots()
    slots.limits = gate.slot_limits
    slots.open("a", A).delay = 3
    said = ChangeLimits("a", "a", Written(delay_s=3))
    assert desk.said == [said]
    assert slots["a"].delay == 3
    assert asyncio.run(gate.enter(A))
    assert not asyncio.run(gate.enter(B))
    assert desk.said == [said, Enter("a", 1)]


def test_what_another_process_wrote_to_a_slot_is_shown() -> None:
    desk = Desk()
    slots = Slots()
    slots.limits = gate_of(desk).slot_limits
    slot = slots.open("a", A)
    desk.on_limits(ChangeLimits("a", "a", Written(delay_s=3, concurrency=2)))
    assert (slot.delay, slot.concurrency) == (3, 2)
    slot.delay = 3  # as it is
    assert desk.said == []


def test_a_request_that_was_moved_out_of_a_group_with_limits_asks() -> None:
    moved = Request("http://a/", meta={"download_slot": "mine"})
    desk = Desk(_1=moved)
    slots = {"mine": {"delay": 0}}
    asyncio.run(gate_of(desk, DOWNLOAD_DELAY=1, DOWNLOAD_SLOTS=slots).enter(moved))
    assert desk.said == [Enter("mine", 1)]
