"""What a node may say to the script in Redis: an operation a class. Pure.

``protocol.py`` says how they are encoded: as maps of these attributes. What a class
says is what ``operations.<name>`` in ``lua/*.lua`` does. Each is atomic, as is all of
the exchange that it is part of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.frontier.base import Entry, Output
    from concurcrawl.limits.limiter import FetchResult, GroupLimits


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a node has done, or asks for.

    Attributes:
        name: How the script calls it.
        needs_lease: Whether it is void once others have what this node held. Else a
            node that was taken for dead says it again when it has joined anew.
    """

    name: ClassVar[str]
    needs_lease: ClassVar[bool] = True

    @property
    def size(self) -> int:
        """How many bytes of payloads it has, roughly: few others matter."""
        return 0


# Requests ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Push(Operation):
    """Add each request whose key is new, and take notes.

    An entry with an empty payload is only remembered. If *output* was taken before, no
    request is added; else it counts as taken in the same step.

    Answers ``added``: of each entry, whether it was.
    """

    name: ClassVar[str] = "push"
    needs_lease: ClassVar[bool] = False
    entries: Sequence[Entry]
    notes: Mapping[str, str]
    output: Output | None = None

    @property
    @override
    def size(self) -> int:
        return sum(len(entry.payload) for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Ack(Operation):
    """End a lease, push its new requests and keep its items, in one step.

    All three or none: if the node does not hold the lease, nothing is done.

    Answers ``is_lost``, or ``added`` as of a push and ``first_item``, the number of the
    first item; the others follow it.
    """

    name: ClassVar[str] = "ack"
    lease_id: int
    entries: Sequence[Entry]
    items: Sequence[bytes]

    @property
    @override
    def size(self) -> int:
        requests = sum(len(entry.payload) for entry in self.entries)
        return requests + sum(map(len, self.items))


@dataclass(frozen=True, slots=True)
class Release(Operation):
    """End a lease; its request waits again at its old place. Not held: nothing."""

    name: ClassVar[str] = "release"
    lease_id: int


@dataclass(frozen=True, slots=True)
class Begun(Operation):
    """Note that a worker got a leased request: if the node dies, it may be why."""

    name: ClassVar[str] = "begun"
    lease_id: int


@dataclass(frozen=True, slots=True)
class StartOver(Operation):
    """Count a leased request as on its way to its site again, not as there."""

    name: ClassVar[str] = "start_over"
    lease_id: int


@dataclass(frozen=True, slots=True)
class DeadLetter(Operation):
    """Append a request that was given up to the dead letters."""

    name: ClassVar[str] = "dead_letter"
    needs_lease: ClassVar[bool] = False
    attempts: int
    group: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Retry(Operation):
    """Make all dead-lettered requests wait again.

    Answers ``count``: how many they were.
    """

    name: ClassVar[str] = "retry"
    needs_lease: ClassVar[bool] = False


# Items and notes ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keep(Operation):
    """Keep items that came of no lease, and take notes.

    If *output* was taken before, no item is kept; else it counts as taken in the same
    step.

    Answers ``first_item``, the number of the first item; false if the output was taken.
    """

    name: ClassVar[str] = "keep"
    needs_lease: ClassVar[bool] = False
    items: Sequence[bytes]
    notes: Mapping[str, str]
    output: Output | None = None

    @property
    @override
    def size(self) -> int:
        return sum(map(len, self.items))


@dataclass(frozen=True, slots=True)
class Deliver(Operation):
    """Delete items by their numbers, as they are safe elsewhere, and take notes."""

    name: ClassVar[str] = "deliver"
    items: Sequence[int]
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prepare(Operation):
    """Move items of this node into a batch, which is in doubt until it is committed.

    Attributes:
        batch: Id of the batch.
        about: JSON with the name of the node under ``node``, and what its next life
            needs to tell whether the items were written.
        items: Their numbers.
    """

    name: ClassVar[str] = "prepare"
    batch: str
    about: str
    items: Sequence[int]


@dataclass(frozen=True, slots=True)
class Commit(Operation):
    """End the doubt about a batch, and take notes.

    Its items are deleted if they were written; else any node may adopt them. If the
    batch is not in doubt, only the notes are taken.
    """

    name: ClassVar[str] = "commit"
    needs_lease: ClassVar[bool] = False
    batch: str
    notes: Mapping[str, str]
    was_written: bool


# Limits ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits(Operation):
    """Set the limits of a group, unless a node has changed them meanwhile."""

    name: ClassVar[str] = "limits"
    needs_lease: ClassVar[bool] = False
    group: str
    limits: GroupLimits


@dataclass(frozen=True, slots=True)
class ChangeLimits(Operation):
    """Set other limits of a group for all nodes, and tell them that it is throttled."""

    name: ClassVar[str] = "change_limits"
    needs_lease: ClassVar[bool] = False
    group: str
    limits: GroupLimits
    was_free: bool


@dataclass(frozen=True, slots=True)
class Admit(Operation):
    """Count a request as in flight in its group, if the limits let it start now.

    Answers one of: ``is_lost``, if the node does not hold the lease; ``paused_s``, if
    that is longer than the group may wait; ``wait_s``, which is 0 if it may start,
    infinity if another must end first, and else comes with ``may_be_sooner``: whether
    news of a request that was sent may end the wait.
    """

    name: ClassVar[str] = "admit"
    group: str
    lease_id: int | None


@dataclass(frozen=True, slots=True)
class Sent(Operation):
    """Count the delay and the rate of a group from when a request was sent."""

    name: ClassVar[str] = "sent"
    group: str
    lease_id: int | None
    ago_s: float


@dataclass(frozen=True, slots=True)
class Leave(Operation):
    """Count a request as in flight no longer, and learn from how it went.

    A 429 or 503 pauses the group, and all nodes are told that it is throttled.
    """

    name: ClassVar[str] = "leave"
    group: str
    lease_id: int | None
    result: FetchResult


@dataclass(frozen=True, slots=True)
class SlowDown(Operation):
    """Keep at least a delay in a group, and tell all nodes that it is throttled."""

    name: ClassVar[str] = "slow_down"
    needs_lease: ClassVar[bool] = False
    group: str
    delay_s: float


# The crawl ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stat(Operation):
    """Merge a value into the stats of all nodes.

    Attributes:
        how: ``inc`` adds, ``max`` and ``min`` compare, ``set`` replaces.
        stat: The stat's name.
        value: As text, so that no digit is lost; a number except with ``set``.
    """

    name: ClassVar[str] = "stat"
    needs_lease: ClassVar[bool] = False
    how: str
    stat: str
    value: str


@dataclass(frozen=True, slots=True)
class Counts(Operation):
    """Answer ``sums``: of each stat that is added up, its sum over all nodes."""

    name: ClassVar[str] = "counts"
    stats: Sequence[str]


@dataclass(frozen=True, slots=True)
class Cookies(Operation):
    """Append changes of cookies to those that the other nodes get."""

    name: ClassVar[str] = "cookies"
    needs_lease: ClassVar[bool] = False
    change: bytes


@dataclass(frozen=True, slots=True)
class Finish(Operation):
    """End the job with a reason, unless that is ``finished`` and requests are left.

    Answers ``has_ended``: whether it has, now or before.
    """

    name: ClassVar[str] = "finish"
    reason: str


@dataclass(frozen=True, slots=True)
class Quit(Operation):
    """Take back all that the node holds, and end its membership."""

    name: ClassVar[str] = "quit"
