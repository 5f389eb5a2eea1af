"""What a node and the script say to each other, as flat lists. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concurcrawl.frontier.base import Completed, Lease

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.frontier.base import Entry, Output
    from concurcrawl.limits.limiter import FetchResult, GroupLimits

#: What Redis takes for an argument.
Arg = str | bytes | int | float

#: An operation's name and arguments.
Operation = list[Arg]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What each exchange says first.

    Attributes:
        node: Who speaks.
        incarnation: Which of its lives, as a random word.
        seq: Number of the exchange; 0 joins.
        now_s: The time, or None for that of Redis.
        lease_s: How long the node may be silent.
        want: Requests it has room for.
        spare: How many of those it would only keep ready.
        max_attempts: Deaths of nodes that one request may cause.
        seed: For the random numbers of delays, from 1 to 2**31 - 2.
        cookies_from: How many changes of cookies it knows.
        troubled_from: How many troubled groups it knows.
        adopts: Items of dead nodes that it has room for.
        newest_first: Whether the newest request of a priority leaves first.
    """

    node: str
    incarnation: str
    seq: int
    now_s: float | None
    lease_s: float
    want: int
    spare: int
    max_attempts: int
    seed: int
    cookies_from: int
    troubled_from: int
    adopts: int
    newest_first: bool

    def args(self) -> list[Arg]:
        """Return it as the script reads it."""
        return [
            self.node,
            self.incarnation,
            self.seq,
            "" if self.now_s is None else repr(self.now_s),
            self.lease_s,
            self.want,
            self.spare,
            self.max_attempts,
            self.seed,
            self.cookies_from,
            self.troubled_from,
            self.adopts,
            int(self.newest_first),
        ]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an exchange did nothing.

    Attributes:
        why: ``lost``: the node was taken for dead. ``gone``: there is no such job.
            Of those who join, ``late``: it has ended; ``taken <s>``: somebody has the
            name, for so long at least; ``spider <name>``: it is another spider's.
        detail: The reason the job ended with, or its id.
    """

    why: str
    detail: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What an exchange brought.

    Attributes:
        job_id: Tells the job from an earlier one of its name.
        state: ``live`` or ``ended``.
        reason: Why it ended.
        leader: The node that leads.
        waiting: Requests that wait.
        lent: Requests that nodes have.
        kept: Items that are in no feed yet.
        stranded: Items that were being written when their node died.
        nodes: How many there are.
        ready_in_s: When time lets a request be lent; None: only an end can.
        leases: What is lent to this node now.
        adopted: Items of dead nodes, by number.
        cookies: Changes of cookies that it does not know: who made each, and it.
        troubled: Groups that have refused a request, of which it does not know.
        answers: One for each operation.
    """

    job_id: str
    state: str
    reason: str
    leader: str
    waiting: int
    lent: int
    kept: int
    stranded: int
    nodes: int
    ready_in_s: float | None
    leases: list[Lease]
    adopted: list[tuple[int, bytes]]
    cookies: list[tuple[str, bytes]]
    throttled: list[str]
    answers: list[Any]


def read(raw: Sequence[Any]) -> Reply | Refusal:
    """Read what the script returned."""
    if raw[0] != b"ok":
        return Refusal(raw[0].decode(), raw[1].decode())
    job_id, state, reason, leader = (part.decode() for part in raw[1:5])
    waiting, lent, kept, stranded, nodes = (int(part) for part in raw[5:10])
    return Reply(
        job_id=job_id,
        state=state,
        reason=reason,
        leader=leader,
        waiting=waiting,
        lent=lent,
        kept=kept,
        stranded=stranded,
        nodes=nodes,
        ready_in_s=float(raw[10]) if raw[10] else None,
        leases=[
            Lease(int(lease_id), group.decode(), payload, float(queued_s))
            for lease_id, group, payload, queued_s in raw[11]
        ],
        adopted=[(int(number), payload) for number, payload in raw[12]],
        cookies=[_from_node(change) for change in raw[13]],
        throttled=[group.decode() for group in raw[14]],
        answers=list(raw[15]),
    )


def join(how: str, age_s: float, job_id: str, spider: str, about: str) -> list[Arg]:
    """Return what follows the header of exchange 0.

    Args:
        how: ``auto``, ``new`` or ``resume``.
        age_s: How long ago the node's process was started.
        job_id: What a new job would be called.
        spider: Whose job it must be.
        about: What others are told of the node, as JSON.
    """
    return [how, repr(age_s), job_id, spider, about]


def push(
    entries: Sequence[Entry], notes: Mapping[str, str], output: Output | None = None
) -> Operation:
    """Add requests and take notes."""
    return ["push", *_output(output), *_notes(notes), *_entries(entries)]


def complete(
    lease_id: int, entries: Sequence[Entry], items: Sequence[bytes], owner: str
) -> Operation:
    """End a lease; *owner* keeps the items, or the stream if it is empty."""
    return ["complete", lease_id, owner, *_entries(entries), len(items), *items]


def keep(
    items: Sequence[bytes],
    notes: Mapping[str, str],
    owner: str,
    output: Output | None = None,
) -> Operation:
    """Keep items and take notes."""
    return ["keep", owner, *_output(output), *_notes(notes), len(items), *items]


def deliver(items: Sequence[int], notes: Mapping[str, str]) -> Operation:
    """Let go of items."""
    return ["deliver", len(items), *items, *_notes(notes)]


def offer(batch: str, about: str, items: Sequence[int]) -> Operation:
    """Announce that items are going into files."""
    return ["offer", batch, about, len(items), *items]


def settle(batch: str, notes: Mapping[str, str], *, was_written: bool) -> Operation:
    """Say whether what was announced has happened."""
    return ["settle", batch, int(was_written), *_notes(notes)]


def limits(group: str, of: GroupLimits) -> Operation:
    """Say what a group must not exceed."""
    throttle = of.throttle
    return [
        *("limits", group, of.in_flight, of.delay_s, of.jitter, of.rate_per_s),
        *(of.burst, of.min_pause_s, of.max_pause_s),
        0 if throttle is None else throttle.target,
        0 if throttle is None else throttle.start_delay_s,
        0 if throttle is None else throttle.max_delay_s,
    ]


def change_limits(group: str, to: GroupLimits, *, was_free: bool) -> Operation:
    """Say that a group must not exceed other limits from now on."""
    _, *args = limits(group, to)
    return ["change_limits", int(was_free), *args]


def admit(group: str, lease_id: int | None) -> Operation:
    """Ask whether a request may start."""
    return ["admit", group, "" if lease_id is None else lease_id]


def sent(group: str, lease_id: int | None, ago_s: float) -> Operation:
    """Say when a request was sent."""
    return ["sent", group, "" if lease_id is None else lease_id, ago_s]


def leave(group: str, lease_id: int | None, visit: FetchResult) -> Operation:
    """Say that a request is done at its site."""
    seen = (visit.status, visit.latency_s, visit.retry_after_s)
    return [
        *("leave", group, "" if lease_id is None else lease_id),
        *("" if value is None else value for value in seen),
    ]


def added(answer: bytes) -> list[bool]:
    """Read what became of the requests of a push."""
    return [one == ord("1") for one in answer]


def completed(answer: Any, items: int) -> Completed | None:
    """Read what became of a completion; None if the lease was lost.

    Args:
        answer: What the script said.
        items: How many there were.
    """
    if answer == b"lost":
        return None
    flags, first = answer
    return Completed(added(flags), numbers(first, items))


def numbers(first: bytes, items: int) -> list[int]:
    """Return the numbers that items got, of which the first is *first*."""
    if first == b"taken":
        return []
    return list(range(int(first), int(first) + items))


def wait_s(answer: bytes) -> float:
    """Read the seconds until it is worth asking again: 0, a time or infinity."""
    return math.inf if answer == b"inf" else float(answer.removeprefix(b"soon "))


def _entries(entries: Sequence[Entry]) -> list[Arg]:
    args: list[Arg] = [len(entries)]
    for entry in entries:
        key = b"" if entry.key is None else b"k" + entry.key
        args += (key, entry.group, entry.priority, int(entry.is_start), entry.payload)
    return args


def _output(output: Output | None) -> list[Arg]:
    return ["", 0] if output is None else [output.what, output.nth]


def _notes(notes: Mapping[str, str]) -> list[Arg]:
    args: list[Arg] = [len(notes)]
    for pair in notes.items():
        args += pair
    return args


def _from_node(change: bytes) -> tuple[str, bytes]:
    node, _, payload = change.partition(b"\n")
    return node.decode(), payload
