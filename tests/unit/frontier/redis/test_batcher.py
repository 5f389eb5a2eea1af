"""What a node sends to Redis next, and what its callers learn of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.errors import FrontierError, LeaseLostError
from concurcrawl.frontier.redis import batcher
from concurcrawl.frontier.redis.batcher import Batcher
from concurcrawl.frontier.redis.operations import Ack, Keep, Push, Release, SlowDown
from tests.contracts.frontier.making import entry

if TYPE_CHECKING:
    from concurcrawl.frontier.redis.operations import Operation


def operations(batch: list[batcher.Outgoing]) -> list[Operation]:
    return [one.operation for one in batch]


def test_operations_leave_in_their_order_so_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batcher, "_BATCH", 2)
    outbox = Batcher()
    for lease_id in range(3):
        outbox.send(Release(lease_id))
    assert operations(outbox.next_batch()) == [Release(0), Release(1)]
    assert operations(outbox.next_batch()) == [Release(2)]
    assert operations(outbox.next_batch()) == []


@pytest.mark.parametrize(
    "large",
    [
        Push([entry("12345678")], {}),
        Push([entry("1234"), entry("5678")], {}),
        Ack(1, [entry("1234")], [b"5678"]),
        Keep([b"1234", b"5678"], {}),
    ],
)
def test_an_exchange_takes_no_more_once_its_payloads_are_large(
    large: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "_BATCH_BYTES", 8)
    outbox = Batcher()
    for operation in (Release(1), large, Release(2)):
        outbox.send(operation)
    assert operations(outbox.next_batch()) == [Release(1), large]
    assert operations(outbox.next_batch()) == [Release(2)]


def test_of_what_was_refused_only_what_needs_no_lease_is_sent_again() -> None:
    outbox, failures = Batcher(), list[Exception]()
    push, slow_down = Push([entry("x")], {}), SlowDown("a.example", 1.0)
    outbox.send(push)
    outbox.send(Ack(1, [], []), on_failure=failures.append)
    refused = outbox.next_batch()
    outbox.send(Release(2), on_failure=failures.append)
    outbox.send(slow_down)
    outbox.resend(refused)
    assert operations(outbox.next_batch()) == [push, slow_down]
    assert [type(error) for error in failures] == [LeaseLostError] * 2


def test_what_waits_can_be_withdrawn_and_what_was_sent_cannot() -> None:
    outbox = Batcher()
    outbox.send(Release(1))
    outbox.send(Release(2))
    assert outbox.withdraw(Release(1))
    assert operations(outbox.next_batch()) == [Release(2)]
    assert not outbox.withdraw(Release(2))


def test_all_callers_learn_why_there_is_no_answer() -> None:
    async def fail() -> list[Any]:
        outbox = Batcher()
        outbox.loop = asyncio.get_running_loop()
        sent = outbox.call(Release(1), lambda answer: answer)
        batch = outbox.next_batch()
        waiting = outbox.call(Release(2), lambda answer: answer)
        outbox.give_up(FrontierError("frontier_lost", "gone"), batch)
        later = outbox.call(Release(3), lambda answer: answer)
        ends = asyncio.gather(sent, waiting, later, return_exceptions=True)
        return list(await ends)

    assert [str(error) for error in asyncio.run(fail())] == ["gone"] * 3
