"""How exchanges are encoded, and what the script returns is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from concurcrawl.frontier.base import Completed, Entry, Lease, Output
from concurcrawl.frontier.redis import operations, protocol
from concurcrawl.limits.limiter import FetchResult, GroupLimits, Throttle

if TYPE_CHECKING:
    from concurcrawl.frontier.redis.operations import Operation

PAYLOAD = bytes(range(256))

REPLY = {
    "job_id": "id",
    "state": "live",
    "reason": "",
    "leader": "node",
    "waiting": 1,
    "leased": 2,
    "kept": 3,
    "in_doubt": 4,
    "nodes": 5,
    "leases": [],
    "adopted": [],
    "cookies": [],
    "throttled": [],
    "answers": [],
}


def encoded(*said: Operation) -> dict[str, Any]:
    """Return an exchange as Lua sees it, with bytes where it has strings."""
    exchange = protocol.Exchange(
        node="nöde",
        incarnation="life",
        seq=0,
        now_s=None,
        lease_s=60.0,
        want=-1,
        prefetch=0,
        max_attempts=3,
        seed=1,
        cookies_from=0,
        throttled_from=0,
        adopts=0,
        newest_first=True,
        streams=False,
        join=protocol.Join(
            how="auto",
            age_s=0.5,
            job_id="id",
            spider="s",
            about="{}",
            limits=GroupLimits(),
        ),
        operations=said,
    )
    packed = protocol.encode(exchange)
    assert b"\xc4" not in packed.replace(PAYLOAD, b"")  # Redis knows no type for bytes
    found: dict[str, Any] = msgpack.unpackb(packed, raw=True, object_hook=_named)
    return found


def _named(fields: dict[bytes, Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in fields.items()}


def packed(reply: dict[str, Any]) -> bytes:
    """Return a reply as Lua packs it."""
    data: bytes = msgpack.packb(reply, use_bin_type=False)
    return data


def test_an_exchange_has_its_fields_by_name() -> None:
    found = encoded()
    assert found["node"] == "nöde".encode()
    assert (found["now_s"], found["newest_first"], found["want"]) == (None, True, -1)
    assert found["join"]["how"] == b"auto"
    assert found["operations"] == []


def test_an_operation_has_its_name_and_fields() -> None:
    entry = Entry(None, "a.example", -1, is_start=True, payload=PAYLOAD)
    push = operations.Push([entry], {"note": "text"}, Output(b"what", 2))
    assert encoded(push)["operations"] == [
        {
            "operation": b"push",
            "entries": [
                {
                    "key": None,
                    "group": b"a.example",
                    "priority": -1,
                    "is_start": True,
                    "payload": PAYLOAD,
                }
            ],
            "notes": {"note": b"text"},
            "output": {"what": b"what", "nth": 2},
        }
    ]


def test_limits_and_results_are_maps_within_an_operation() -> None:
    throttle = Throttle(target=2.0, start_delay_s=1.0, max_delay_s=60.0)
    limits, leave = encoded(
        operations.Limits("a", GroupLimits(in_flight=2, throttle=throttle)),
        operations.Leave("a", None, FetchResult(status=429, retry_after_s=1.5)),
    )["operations"]
    assert limits["limits"]["in_flight"] == 2
    assert limits["limits"]["throttle"]["max_delay_s"] == 60.0
    assert leave["result"] == {"status": 429, "latency_s": None, "retry_after_s": 1.5}


def test_a_priority_of_more_than_64_bits_is_rounded() -> None:
    entry = Entry(None, "a", 10**30, is_start=False, payload=b"x")
    (push,) = encoded(operations.Push([entry], {}))["operations"]
    assert push["entries"][0]["priority"] == 1e30


def test_a_reply_is_read_by_name() -> None:
    cookies = packed({"node": "other", "change": PAYLOAD})
    lease = {"lease_id": 7, "group": "a", "payload": PAYLOAD, "queued_s": 1.5}
    found = protocol.read(
        packed(
            REPLY
            | {"leases": [lease], "adopted": [{"number": 9, "payload": b"item"}]}
            | {"cookies": [cookies], "throttled": ["a"], "answers": [False]}
        )
    )
    assert isinstance(found, protocol.Reply)
    assert (found.job_id, found.waiting, found.in_doubt) == ("id", 1, 4)
    assert found.ready_in_s is None
    assert found.leases == [Lease(7, "a", PAYLOAD, 1.5)]
    assert found.adopted == [(9, b"item")]
    assert found.cookies == [("other", PAYLOAD)]
    assert (found.throttled, found.answers) == (["a"], [False])


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        ({"refused": "gone"}, protocol.Refusal(why="gone")),
        (
            {"refused": "lost", "job_id": "id"},
            protocol.Refusal(why="lost", job_id="id"),
        ),
        (
            {"refused": "taken", "free_in_s": 1.5},
            protocol.Refusal(why="taken", free_in_s=1.5),
        ),
        (
            {"refused": "format", "format": 1},
            protocol.Refusal(why="format", format=1),
        ),
    ],
)
def test_a_refusal_says_why(reply: dict[str, Any], refusal: protocol.Refusal) -> None:
    assert protocol.read(packed(reply)) == refusal


def test_an_ack_is_answered_with_what_was_added_and_the_numbers_of_items() -> None:
    answer = {"added": [True, False], "first_item": 5}
    assert protocol.completed(answer, 2) == Completed([True, False], [5, 6])
    assert protocol.completed({"is_lost": True}, 2) is None
    assert protocol.numbers({"first_item": False}, 2) == []


def test_infinity_comes_through() -> None:
    found = protocol.read(packed(REPLY | {"answers": [{"wait_s": math.inf}]}))
    assert isinstance(found, protocol.Reply)
    assert found.answers == [{"wait_s": math.inf}]
