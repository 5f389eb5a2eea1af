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
from concurcrawl.frontier.redis.protocol import Header, Refusal, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


class Link(Protocol):
    """The way to Redis."""

    async def exchange(self, args: Sequence[protocol.Arg]) -> Any:
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
        started_s: When its process was started, as ``time.monotonic()`` counts.
    """

    node: str
    spider: str
    how: str = "auto"
    lease_s: float = 60.0
    max_attempts: int = 3
    streams: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    started_s: float = field(default_factory=time.monotonic)

    @property
    def owner(self) -> str:
        """Who keeps the items of this node: it, or the stream if that is empty."""
        return "" if self.streams else self.node


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a node would take in an exchange.

    Attributes:
        requests: How many; -1 for none, only to learn when there are any.
        spare: How many of those it would only keep ready.
        items: Items of dead nodes.
    """

    requests: int = 0
    spare: int = 0
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
        self._seq = self._cookies_from = self._troubled_from = 0

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
            found = await self._send(wanted, self._joining())
            if isinstance(found, Reply):
                if self._job_id not in {"", found.job_id}:
                    raise FrontierError("frontier_lost", _GONE)
                self._job_id = found.job_id
                return self._counted(found)
            why, _, detail = found.why.partition(" ")
            if why == "late":
                return found
            if why == "spider":
                raise self._other_spider(detail)
            wait_s = float(detail)  # somebody has our name: perhaps we, before a crash
            if first_wait_s is not None and wait_s > first_wait_s:
                raise self._name_is_taken()
            first_wait_s = wait_s
            await asyncio.sleep(min(wait_s + 0.01, self._member.lease_s / 4))

    async def exchange(
        self, wanted: Wanted, operations: Iterable[protocol.Operation]
    ) -> Reply | Refusal:
        """Make one exchange.

        Returns:
            A refusal if others were given what this node held: it must join anew.

        Raises:
            FrontierError: If Redis is out of reach, or has lost the job.
        """
        said = [arg for operation in operations for arg in operation]
        found = await self._send(wanted, said)
        if isinstance(found, Reply):
            return self._counted(found)
        if found.why == "gone" or found.detail != self._job_id:
            raise FrontierError("frontier_lost", _GONE)
        return found

    async def _send(
        self, wanted: Wanted, said: Sequence[protocol.Arg]
    ) -> Reply | Refusal:
        header = self._header(wanted)
        return protocol.read(await self._link.exchange([*header.args(), *said]))

    def _counted(self, reply: Reply) -> Reply:
        """Ask for what comes after it next time."""
        self._seq += 1
        self._cookies_from += len(reply.cookies)
        self._troubled_from += len(reply.throttled)
        return reply

    def _header(self, wanted: Wanted) -> Header:
        member = self._member
        return Header(
            node=member.node,
            incarnation=self._incarnation,
            seq=self._seq,
            now_s=None if self._clock is None else self._clock(),
            lease_s=member.lease_s,
            want=wanted.requests,
            spare=wanted.spare,
            max_attempts=member.max_attempts,
            seed=random.randrange(1, 2**31 - 1),  # noqa: S311 - no secret
            cookies_from=self._cookies_from,
            troubled_from=self._troubled_from,
            adopts=wanted.items,
            newest_first=self._newest_first,
        )

    def _joining(self) -> list[protocol.Arg]:
        member = self._member
        return protocol.join(
            "auto" if self.has_joined else member.how,
            time.monotonic() - member.started_s,
            secrets.token_hex(8),
            member.spider,
            json.dumps(dict(member.about)),
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


_GONE = (
    "Redis no longer knows this crawl: its data was lost or purged, or somebody began "
    "it anew. Start the crawl again; with appendonly yes Redis keeps it over a restart."
)
