"""When a worker asks before a request, with a made-up channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from scrapy import Request
from scrapy.settings import Settings

from concurcrawl.limits.limiter import FetchResult, Written
from concurcrawl.limits.slots import Slots
from concurcrawl.workers.protocol.messages.leases import Idle
from concurcrawl.workers.protocol.messages.limits import SlotChanged
from concurcrawl.workers.protocol.messages.questions import Enter
from concurcrawl.workers.worker.crawler import WorkerGate

if TYPE_CHECKING:
    from collections.abc import Callable


class Desk:
    """Has leases, and notes what is said."""

    def __init__(self, **leases: Request) -> None:
        self.leases = {request: int(name[1:]) for name, request in leases.items()}
        self.waiting: set[int] = set()  # lease ids of those not taken from the inbox
        self.throttled: set[str] = set()
        self.is_recalled = False
        self.said: list[object] = []
        self.on_recall: Callable[[], None] = lambda: None
        self.on_limits: Callable[[SlotChanged], None] = lambda _: None

    def lease_id_of(self, request: Request) -> int | None:
        return self.leases.get(request)

    def lease_ids(self) -> set[int]:
        return {*self.leases.values(), *self.waiting}

    async def ask(self, question: object) -> None:
        self.said.append(question)

    def send(self, message: object) -> None:
        self.said.append(message)


def gate_of(channel: Desk, **settings: Any) -> WorkerGate:
    return WorkerGate(cast("Any", channel), Settings(settings))


A, B, C = (Request(f"http://{host}/") for host in ("a", "b", "c"))
TOKEN = Request("http://token/")


def test_a_leased_request_without_limits_asks_nobody() -> None:
    channel = Desk(_1=A)
    asyncio.run(gate_of(channel).enter(A))
    assert channel.said == []


def test_before_a_request_without_a_lease_those_not_at_their_sites_are_reported() -> (
    None
):
    channel = Desk(_1=A, _2=B)
    channel.waiting = {3}
    gate = gate_of(channel)

    async def run() -> None:
        await gate.enter(A)
        await gate.enter(TOKEN)

    asyncio.run(run())
    (idle, enter) = channel.said
    assert isinstance(idle, Idle)
    assert set(idle.lease_ids) == {2, 3}
    assert enter == Enter("token", None)


def test_a_lease_that_was_reported_asks_before_it_goes_to_its_site() -> None:
    channel = Desk(_1=A)
    gate = gate_of(channel)
    gate.report_idle()
    asyncio.run(gate.enter(A))
    assert channel.said == [Idle((1,)), Enter("a", 1)]


def test_a_lease_is_reported_once() -> None:
    channel = Desk(_1=A)
    gate = gate_of(channel)
    gate.report_idle()
    gate.report_idle()
    assert channel.said == [Idle((1,))]


def test_a_lease_that_leaves_its_site_is_reported_at_once_during_a_recall() -> None:
    channel = Desk(_1=A)
    gate = gate_of(channel)
    asyncio.run(gate.enter(A))
    channel.is_recalled = True
    channel.on_recall()
    assert channel.said == []  # it is at its site
    gate.leave(A, FetchResult(status=200))
    assert channel.said == [Idle((1,))]


def test_during_a_recall_each_request_asks() -> None:
    channel = Desk(_1=A)
    channel.is_recalled = True
    asyncio.run(gate_of(channel).enter(A))
    assert channel.said == [Enter("a", 1)]


def test_what_is_written_to_a_slot_is_said_and_counts_at_once() -> None:
    channel = Desk(_1=A, _2=B)
    gate = gate_of(channel)
    slots = Slots()
    slots.limits = gate.slot_limits
    slots.open("a", A).delay = 3
    said = SlotChanged("a", "a", Written(delay_s=3))
    assert channel.said == [said]
    assert slots["a"].delay == 3
    assert asyncio.run(gate.enter(A))
    assert not asyncio.run(gate.enter(B))
    assert channel.said == [said, Enter("a", 1)]


def test_what_another_process_wrote_to_a_slot_is_shown() -> None:
    channel = Desk()
    slots = Slots()
    slots.limits = gate_of(channel).slot_limits
    slot = slots.open("a", A)
    channel.on_limits(SlotChanged("a", "a", Written(delay_s=3, concurrency=2)))
    assert (slot.delay, slot.concurrency) == (3, 2)
    slot.delay = 3  # as it is
    assert channel.said == []


def test_a_request_that_was_moved_out_of_a_group_with_limits_asks() -> None:
    moved = Request("http://a/", meta={"download_slot": "mine"})
    channel = Desk(_1=moved)
    slots = {"mine": {"delay": 0}}
    asyncio.run(gate_of(channel, DOWNLOAD_DELAY=1, DOWNLOAD_SLOTS=slots).enter(moved))
    assert channel.said == [Enter("mine", 1)]
