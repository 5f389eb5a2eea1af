"""What a node and the script in Redis say to each other. Pure.

The layout, in both directions, is MessagePack:

- ``ARGV[1]`` of the script is an :class:`Exchange`: a map of its attributes by name.
  Dataclasses within it are maps of their attributes too, and an operation
  (``operations.py``) has besides them its name under ``operation``.
  ``lua/message.lua`` reads it.
- The script returns a map. ``lua/exchange.lua`` makes it, :func:`read` reads it: a
  :class:`Refusal`, under ``refused``, or a :class:`Reply`, whose ``answers`` has a map
  for each operation, in their order, or false where there is nothing to answer.

Strings of the script's are bytes until they are read: it knows of no other.

Redis runs an exchange whole, and nothing else meanwhile. An operation therefore sees
all that those before it have done, and no other node sees a part of an exchange. One
that is sent again, because its reply was lost, is answered again and not applied again.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concurcrawl.frontier.base import Completed, Lease
from concurcrawl.frontier.redis.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.limits.limiter import GroupLimits

#: The layout of the messages and of what is stored (``lua/message.lua`` has it too).
#: 0.1.0, which stored none, is 1. Nodes refuse a job of another format.
FORMAT = 3

#: Of each dataclass that was sent, the names of its fields: to ask for them is slow.
_NAMES: dict[type, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """How a node joins a job, or begins it, before its first operations.

    Refused are a job of another spider, of another format, or one that has ended since
    the node's process was started, and a node whose name another live one has.

    Attributes:
        how: ``auto``, ``new`` or ``resume``.
        age_s: Seconds since the node's process was started.
        job_id: What a new job would be called.
        spider: Whose job it must be.
        about: What others are told of the node, as JSON.
        limits: What groups must not exceed that have no limits of their own.
    """

    how: str
    age_s: float
    job_id: str
    spider: str
    about: str
    limits: GroupLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """All that a node says at a time.

    Attributes:
        node: Who speaks.
        incarnation: Which of its lives, as a random word.
        seq: Number of the exchange in this life; the first is 0.
        now_s: The time, or None for that of Redis.
        lease_s: Seconds for which the node may be silent.
        want: Requests it has free capacity for; -1 for none, only to learn when there
            are any.
        prefetch: How many of those it would only keep ready.
        max_attempts: Deaths of nodes that one request may cause.
        seed: For the random numbers of delays, from 1 to 2**31 - 2.
        cookies_from: How many changes of cookies it knows.
        throttled_from: How many throttled groups it knows.
        adopts: Items of dead nodes that it would take.
        newest_first: Whether the newest request of a priority leaves first.
        streams: Whether items go into the stream, not to the node.
        join: How it joins, with the first exchange of a life; else None.
        operations: What it has done and asks for, in this order.
    """

    node: str
    incarnation: str
    seq: int
    now_s: float | None
    lease_s: float
    want: int
    prefetch: int
    max_attempts: int
    seed: int
    cookies_from: int
    throttled_from: int
    adopts: int
    newest_first: bool
    streams: bool
    join: Join | None
    operations: Sequence[Operation]


def encode(exchange: Exchange) -> bytes:
    """Return *exchange* as the script reads it."""
    # Redis's MessagePack knows no type of its own for bytes.
    packed: bytes = _msgpack().packb(exchange, default=_encodable, use_bin_type=False)
    return packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an exchange did nothing.

    Attributes:
        why: ``lost``: the node was taken for dead. ``gone``: there is no such job.
            Of those who join, ``late``: it has ended; ``taken``: another node has the
            name; ``spider``: it is another spider's; ``format``: other releases began
            it.
        job_id: The id of the job, of which the node is no longer: with ``lost``.
        reason: What the job ended with: with ``late``.
        free_in_s: Seconds until the name is free, at least: with ``taken``.
        spider: Whose it is: with ``spider``.
        format: In which format it is: with ``format``.
    """

    why: str
    job_id: str = ""
    reason: str = ""
    free_in_s: float = 0.0
    spider: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an exchange brought.

    Attributes:
        job_id: Tells the job from an earlier one of its name.
        state: ``live`` or ``ended``.
        reason: Why it ended.
        leader: The node that leads.
        waiting: Requests that wait.
        leased: Requests that nodes have.
        kept: Items that are in no feed yet.
        in_doubt: Items that were being written when their node died.
        nodes: How many there are.
        ready_in_s: Seconds until time lets a request be leased; None: only an end can.
        leases: What is leased to this node now.
        adopted: Items of dead nodes, by number.
        cookies: Changes of cookies that it does not know: who made each, and it.
        throttled: Groups that have refused a request, of which it does not know.
        answers: One for each operation.
    """

    job_id: str
    state: str
    reason: str
    leader: str
    waiting: int
    leased: int
    kept: int
    in_doubt: int
    nodes: int
    ready_in_s: float | None
    leases: list[Lease]
    adopted: list[tuple[int, bytes]]
    cookies: list[tuple[str, bytes]]
    throttled: list[str]
    answers: list[Any]


def read(raw: bytes) -> Reply | Refusal:
    """Read what the script returned."""
    found = _unpacked(raw)
    if "refused" in found:
        why = found.pop("refused").decode()
        return Refusal(why=why, **{name: _text(found[name]) for name in found})
    return Reply(
        job_id=found["job_id"].decode(),
        state=found["state"].decode(),
        reason=found["reason"].decode(),
        leader=found["leader"].decode(),
        waiting=found["waiting"],
        leased=found["leased"],
        kept=found["kept"],
        in_doubt=found["in_doubt"],
        nodes=found["nodes"],
        ready_in_s=found.get("ready_in_s"),
        leases=[
            Lease(
                lease["lease_id"],
                lease["group"].decode(),
                lease["payload"],
                lease["queued_s"],
            )
            for lease in found["leases"]
        ],
        adopted=[(item["number"], item["payload"]) for item in found["adopted"]],
        cookies=[_cookies(change) for change in found["cookies"]],
        throttled=[group.decode() for group in found["throttled"]],
        answers=found["answers"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLimiter:
    """What Redis has of the limiter of a group.

    Attributes:
        in_flight: Requests at its site.
        delay_s: Seconds between two starts.
        paused_until_s: When its pause ends, by the clock; 0 if there was none.
        limit: Requests at a time; 0 means no limit.
    """

    in_flight: int
    delay_s: float
    paused_until_s: float
    limit: int = 0


def read_limiter(
    packed: bytes | None, default_delay_s: float, default_limit: int = 0
) -> StoredLimiter:
    """Read a field of ``limiters``, which ``lua/limiter.lua`` writes.

    Args:
        packed: Its value; None if there is none.
        default_delay_s: The first delay of groups without limits of their own.
        default_limit: How many requests at a time those may have.
    """
    state = {} if packed is None else _unpacked(packed)
    if "has_own_limits" in state:
        delays_s = (state.get("least_delay", 0.0), state.get("start_delay", 0.0))
        default_delay_s = max(delays_s)
        default_limit = state.get("limit", 0)
    return StoredLimiter(
        in_flight=state.get("in_flight", 0),
        delay_s=state.get("delay", default_delay_s),
        paused_until_s=state.get("paused_until", 0.0),
        limit=int(default_limit),
    )


def completed(answer: Mapping[str, Any], items: int) -> Completed | None:
    """Read the answer to ``operations.Ack``; None if the lease was lost.

    Args:
        answer: What the script said.
        items: How many items there were.
    """
    if "is_lost" in answer:
        return None
    return Completed(answer["added"], numbers(answer, items))


def numbers(answer: Mapping[str, Any], items: int) -> list[int]:
    """Return the numbers that so many *items* got."""
    first = answer["first_item"]
    return list(range(first, first + items)) if first else []


@functools.cache
def _msgpack() -> Any:
    import msgpack  # late: it is part of an extra

    return msgpack


def _encodable(part: Any) -> Any:
    """Return what stands for *part*, which MessagePack does not know."""
    if isinstance(part, int):  # more than 64 bits; a number of Lua has no more anyway
        return float(part)
    names = _NAMES.get(type(part))
    if names is None:
        names = tuple(field.name for field in dataclasses.fields(part))
        _NAMES[type(part)] = names
    fields = {name: getattr(part, name) for name in names}
    if isinstance(part, Operation):
        fields["operation"] = part.name
    return fields


def _unpacked(raw: bytes) -> dict[str, Any]:
    """Return a map of the script's: names as text, values as they are."""
    found: dict[str, Any] = _msgpack().unpackb(raw, raw=True, object_hook=_named)
    return found


def _named(fields: Mapping[bytes, Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in fields.items()}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _cookies(change: bytes) -> tuple[str, bytes]:
    fields = _unpacked(change)
    return fields["node"].decode(), fields["change"]
