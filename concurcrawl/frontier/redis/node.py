"""A node among those that share a crawl: what it tells them and learns of them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from concurcrawl.errors import FrontierError
from concurcrawl.frontier.redis.batcher import Batcher
from concurcrawl.frontier.redis.protocol import Reply
from concurcrawl.frontier.redis.session import Session, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from concurcrawl.frontier.redis.batcher import Said
    from concurcrawl.frontier.redis.session import Link, Member

#: Items of dead nodes that a node takes at a time.
_ADOPTS = 100


class RedisNode(ABC):
    """One of the nodes of a crawl.

    Invariant: an answer is heard before anybody is told that there is news.

    Attributes:
        on_news: Called after each exchange that brought something.
        on_lost: Called when others have been given what this node held.
        on_failure: Called when the frontier cannot be used any more.
        on_ended: Called once, with the reason, when the crawl has ended.
        on_adopted: Called with items of dead nodes, which are this node's now.
        on_cookies: Called with changes of cookies at other nodes.
        on_troubled: Called with groups that have refused requests.
    """

    def __init__(
        self,
        link: Link,
        member: Member,
        clock: Callable[[], float] | None,
        *,
        newest_first: bool,
    ) -> None:
        """Make one that has not joined; the arguments are those of a session."""
        self._member = member
        self._outbox = Batcher()
        self._session = Session(link, member, clock, newest_first=newest_first)
        self._reply: Reply | None = None
        self._ended: str | None = None
        self._is_leaving = self._is_busy = False
        self.on_news: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_failure: Callable[[Exception], None] = lambda _: None
        self.on_ended: Callable[[str], None] = lambda _: None
        self.on_adopted: Callable[[list[tuple[int, bytes]]], None] | None = None
        self.on_cookies: Callable[[list[bytes]], None] = lambda _: None
        self.on_throttled: Callable[[list[str]], None] = lambda _: None

    # What a frontier does besides --------------------------------------------------

    @abstractmethod
    def _wanted_requests(self) -> tuple[int, int]:
        """Return how many to ask for, and how many of them only to keep ready.

        -1 asks for none, only when there are any.
        """

    @abstractmethod
    def _lose_leases(self) -> None:
        """Forget what this node held: others have it."""

    # Exchanges -----------------------------------------------------------------------

    async def join(self) -> None:
        """Join the job, or begin it.

        Raises:
            FrontierError: If it cannot be joined.
        """
        self._outbox.loop = asyncio.get_running_loop()
        try:
            found = await self._session.join(Wanted(items=self._wanted_items()))
            if isinstance(found, Reply):
                self._take_in(found, [])
            else:
                self._end(found.detail)
        except FrontierError as error:
            self._outbox.give_up(error, [])
            raise

    async def exchange(self) -> None:
        """Make one exchange.

        Raises:
            FrontierError: If Redis is out of reach, or has lost the job.
        """
        said = self._outbox.next_batch()
        self._is_busy = True
        try:
            requests, spare = self._wanted_requests()
            wanted = Wanted(requests=requests, spare=spare, items=self._wanted_items())
            operations = [one.args for one in said]
            found = await self._session.exchange(wanted, operations)
            if isinstance(found, Reply):
                self._take_in(found, said)
            else:
                await self._begin_anew(said)
        except FrontierError as error:
            self._outbox.give_up(error, said)
            raise
        finally:
            self._is_busy = False

    def _wanted_items(self) -> int:
        return _ADOPTS if self.on_adopted is not None else 0

    def _take_in(self, reply: Reply, said: Sequence[Said]) -> None:
        self._reply = reply
        for one, answer in zip(said, reply.answers, strict=True):
            if one.hear is not None:
                one.hear(answer)
        self._is_busy = False
        self._tell(reply)
        self.on_news()

    def _tell(self, reply: Reply) -> None:
        """Tell who listens what others have done."""
        others = [change for node, change in reply.cookies if node != self.node]
        if others:
            self.on_cookies(others)
        if reply.throttled:
            self.on_throttled(reply.throttled)
        if reply.adopted and self.on_adopted is not None:
            self.on_adopted(reply.adopted)
        if reply.state == "ended":
            self._end(reply.reason)

    async def _begin_anew(self, said: Sequence[Said]) -> None:
        """Join again: others have what this node held."""
        if self._is_leaving:
            self._outbox.lose(said)
            return
        self._outbox.say_again(said)
        self._lose_leases()
        self.on_lost()
        await self.join()

    def _end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            self.on_ended(reason)

    # What it knows of the crawl ------------------------------------------------------

    @property
    def node(self) -> str:
        """This node's name."""
        return self._member.node

    @property
    def is_leader(self) -> bool:
        """Whether this node makes the start requests and decides the end."""
        return self._reply is not None and self._reply.leader == self.node

    @property
    def has_joined(self) -> bool:
        """Whether this node is or was one of the job: not if that was over before."""
        return self._session.has_joined

    @property
    def ended(self) -> str | None:
        """Why the crawl has ended everywhere; None while it runs."""
        return self._ended

    @property
    def failure(self) -> Exception | None:
        """Why the frontier cannot be used any more, or None."""
        return self._outbox.failure

    @property
    def kept(self) -> int:
        """How many items are in no feed yet, at all nodes."""
        return 0 if self._reply is None else self._reply.kept

    @property
    def stranded(self) -> int:
        """How many items were being written when their nodes died."""
        return 0 if self._reply is None else self._reply.stranded

    # What it tells the others --------------------------------------------------------

    def note_stat(self, how: str, name: str, value: str | float) -> None:
        """Write a stat for all nodes: ``inc``, ``max``, ``min`` or ``set``."""
        self._outbox.say(["stat", how, name, value])

    def counts(self, names: Sequence[str], hear: Callable[[list[float]], None]) -> None:
        """Have *hear* told the sums of stats over all nodes."""
        if names:
            self._outbox.say(
                ["counts", len(names), *names],
                lambda found: hear([float(one) for one in found]),
            )

    def share_cookies(self, payload: bytes) -> None:
        """Tell all nodes of changes of cookies."""
        self._outbox.say(["cookies", payload])

    def record_failure(self, attempts: int, group: str, payload: bytes) -> None:
        """Note that a request was set aside."""
        self._outbox.say(["fail", attempts, group, payload])

    def finish(self, reason: str) -> asyncio.Future[bool]:
        """End the crawl at all nodes, unless it is ``finished`` and something waits."""
        return self._outbox.ask(["finish", reason], lambda raw: bool(raw == b"1"))
