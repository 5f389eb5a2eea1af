"""A node's lives in a job: how it joins, and how it makes an exchange."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from concurcrawl.errors import FrontierError
from concurcrawl.frontier.redis import protocol
from concurcrawl.frontier.redis.protocol import Exchange, Join, Refusal, Reply
from concurcrawl.limits.limiter import GroupLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from concurcrawl.frontier.redis.operations import Operation


class Link(Protocol):
    """The way to Redis."""

    async def exchange(self, message: bytes) -> bytes:
        """Run the script and return its raw reply; try again until it is there.

        Raises:
            FrontierError: If Redis was out of reach for too long, or refuses.
        """

    async def notes(self) -> dict[str, str]:
        """Return the notes of the job."""

    async def times_taken(self, what: bytes) -> int:
        """Return how many outputs of ``start()`` with this digest were taken."""

    async def items(self, node: str) -> list[tuple[int, bytes]]:
        """Return the items that *node* keeps."""

    async def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node as the others see it.

    Attributes:
        node: Its name.
        spider: The spider it crawls with.
        how: Whether it joins or resumes a job (``auto``), begins a ``new`` one, or
            only goes on with one (``resume``).
        lease_s: How long it may be silent before others do what it holds.
        max_attempts: Deaths of nodes that one request may cause.
        streams: Whether items go into one stream.
        about: What others are told of it.
        limits: What groups must not exceed that have no limits of their own.
        started_s: When its process was started, as ``time.monotonic()`` counts.
    """

    node: str
    spider: str
    how: str = "auto"
    lease_s: float = 60.0
    max_attempts: int = 3
    streams: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    limits: GroupLimits = field(default_factory=GroupLimits)
    started_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a node would take in an exchange.

    Attributes:
        requests: How many; -1 for none, only to learn when there are any.
        prefetch: How many of those it would only keep ready.
        items: Items of dead nodes.
    """

    requests: int = 0
    prefetch: int = 0
    items: int = 0


class Session:
    """Makes the exchanges of a node, one after another.

    Invariant: an exchange is applied at most once, however often it had to be sent,
    and only while Redis takes the node for alive, in the job it has joined.
    """

    def __init__(
        self,
        link: Link,
        member: Member,
        clock: Callable[[], float] | None,
        *,
        newest_first: bool,
    ) -> None:
        """Make one that has not joined.

        Args:
            link: The way to Redis.
            member: Who we are.
            clock: Seconds, or None for Redis's own clock.
            newest_first: Whether the newest request of a priority leaves first.
        """
        self._link = link
        self._member = member
        self._clock = clock
        self._newest_first = newest_first
        self._job_id = ""
        self._begin_life()

    def _begin_life(self) -> None:
        self._incarnation = secrets.token_hex(8)
        self._seq = self._cookies_from = self._throttled_from = 0

    @property
    def has_joined(self) -> bool:
        """Whether the node is or was one of the job."""
        return bool(self._job_id)

    async def join(self, wanted: Wanted) -> Reply | Refusal:
        """Join the job, or begin it, or join it anew.

        Returns:
            A refusal if the crawl was over when the node came.

        Raises:
            FrontierError: If it cannot be joined, or is no longer the same one.
        """
        self._begin_life()
        first_wait_s = None
        while True:
            found = await self._send(wanted, [], self._joining())
            if isinstance(found, Reply):
                if self._job_id not in {"", found.job_id}:
                    raise FrontierError("frontier_lost", _GONE)
                self._job_id = found.job_id
                return self._counted(found)
            if found.why == "late":
                return found
            if found.why == "spider":
                raise self._other_spider(found.spider)
            if found.why == "format":
                raise _other_format(found.format)
            wait_s = found.free_in_s  # it may be our own life before a crash
            if first_wait_s is not None and wait_s > first_wait_s:
                raise self._name_is_taken()
            first_wait_s = wait_s
            await asyncio.sleep(min(wait_s + 0.01, self._member.lease_s / 4))

    async def exchange(
        self, wanted: Wanted, operations: Sequence[Operation]
    ) -> Reply | Refusal:
        """Make one exchange.

        Returns:
            A refusal if others were given what this node held: it must join anew.

        Raises:
            FrontierError: If Redis is out of reach, or has lost the job.
        """
        found = await self._send(wanted, operations)
        if isinstance(found, Reply):
            return self._counted(found)
        if found.why == "gone" or found.job_id != self._job_id:
            raise FrontierError("frontier_lost", _GONE)
        return found

    async def _send(
        self,
        wanted: Wanted,
        operations: Sequence[Operation],
        join: Join | None = None,
    ) -> Reply | Refusal:
        message = protocol.encode(self._exchange(wanted, operations, join))
        return protocol.read(await self._link.exchange(message))

    def _counted(self, reply: Reply) -> Reply:
        """Ask for what comes after it next time."""
        self._seq += 1
        self._cookies_from += len(reply.cookies)
        self._throttled_from += len(reply.throttled)
        return reply

    def _exchange(
        self,
        wanted: Wanted,
        operations: Sequence[Operation],
        join: Join | None,
    ) -> Exchange:
        member = self._member
        return Exchange(
            node=member.node,
            incarnation=self._incarnation,
            seq=self._seq,
            now_s=None if self._clock is None else self._clock(),
            lease_s=member.lease_s,
            want=wanted.requests,
            prefetch=wanted.prefetch,
            max_attempts=member.max_attempts,
            seed=random.randrange(1, 2**31 - 1),  # noqa: S311 - no secret
            cookies_from=self._cookies_from,
            throttled_from=self._throttled_from,
            adopts=wanted.items,
            newest_first=self._newest_first,
            streams=member.streams,
            join=join,
            operations=operations,
        )

    def _joining(self) -> Join:
        member = self._member
        return Join(
            how="auto" if self.has_joined else member.how,
            age_s=time.monotonic() - member.started_s,
            job_id=secrets.token_hex(8),
            spider=member.spider,
            about=json.dumps(dict(member.about)),
            limits=member.limits,
        )

    def _other_spider(self, spider: str) -> FrontierError:
        return FrontierError(
            "frontier_refused",
            f"this job belongs to the spider {spider!r}, not to "
            f"{self._member.spider!r}; choose another CONCURCRAWL_FRONTIER_JOB.",
        )

    def _name_is_taken(self) -> FrontierError:
        return FrontierError(
            "frontier_refused",
            f"another live node is called {self._member.node!r}; choose another "
            "CONCURCRAWL_FRONTIER_NODE.",
        )


def _other_format(number: int) -> FrontierError:
    return FrontierError(
        "frontier_refused",
        f"this job is of another release of concurcrawl (format {number}; this release "
        f"has {protocol.FORMAT}): finish it with that release and delete it with "
        "concurcrawl purge, or choose another CONCURCRAWL_FRONTIER_JOB.",
    )


_GONE = (
    "Redis no longer knows this crawl: its data was lost or purged, or it was begun "
    "anew. Start the crawl again; with appendonly yes Redis keeps it over a restart."
)
