"""A node of a distributed crawl: what it reports to the others and gets of them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from concurcrawl.errors import FrontierError
from concurcrawl.frontier.redis import operations
from concurcrawl.frontier.redis.batcher import Batcher
from concurcrawl.frontier.redis.protocol import Reply
from concurcrawl.frontier.redis.session import Session, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from concurcrawl.frontier.redis.batcher import Outgoing
    from concurcrawl.frontier.redis.session import Link, Member

#: Items of dead nodes that a node takes at a time.
_ADOPTS = 100


class RedisNode(ABC):
    """One of the nodes of a crawl.

    Invariant: the answers are handled before :attr:`on_change` is called.

    Attributes:
        on_change: Called after each exchange that brought something.
        on_lost: Called when others have been given what this node held.
        on_failure: Called when the frontier cannot be used any more.
        on_ended: Called once, with the reason, when the crawl has ended.
        on_adopted: Called with items of dead nodes, which are this node's now.
        on_cookies: Called with changes of cookies at other nodes.
        on_throttled: Called with groups that have refused requests.
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
        self.on_change: Callable[[], None] = lambda: None
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
                self._end(found.reason)
        except FrontierError as error:
            self._outbox.give_up(error, [])
            raise

    async def exchange(self) -> None:
        """Make one exchange.

        Raises:
            FrontierError: If Redis is out of reach, or has lost the job.
        """
        outgoing = self._outbox.next_batch()
        self._is_busy = True
        try:
            requests, prefetch = self._wanted_requests()
            wanted = Wanted(
                requests=requests, prefetch=prefetch, items=self._wanted_items()
            )
            operations = [one.operation for one in outgoing]
            found = await self._session.exchange(wanted, operations)
            if isinstance(found, Reply):
                self._take_in(found, outgoing)
            else:
                await self._begin_anew(outgoing)
        except FrontierError as error:
            self._outbox.give_up(error, outgoing)
            raise
        finally:
            self._is_busy = False

    def _wanted_items(self) -> int:
        return _ADOPTS if self.on_adopted is not None else 0

    def _take_in(self, reply: Reply, outgoing: Sequence[Outgoing]) -> None:
        self._reply = reply
        for one, answer in zip(outgoing, reply.answers, strict=True):
            if one.on_answer is not None:
                one.on_answer(answer)
        self._is_busy = False
        self._notify(reply)
        self.on_change()

    def _notify(self, reply: Reply) -> None:
        """Report what other nodes have done."""
        others = [change for node, change in reply.cookies if node != self.node]
        if others:
            self.on_cookies(others)
        if reply.throttled:
            self.on_throttled(reply.throttled)
        if reply.adopted and self.on_adopted is not None:
            self.on_adopted(reply.adopted)
        if reply.state == "ended":
            self._end(reply.reason)

    async def _begin_anew(self, outgoing: Sequence[Outgoing]) -> None:
        """Join again: others have what this node held."""
        if self._is_leaving:
            self._outbox.lose(outgoing)
            return
        self._outbox.resend(outgoing)
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
    def in_doubt(self) -> int:
        """How many items were being written when their nodes died."""
        return 0 if self._reply is None else self._reply.in_doubt

    # What it reports to the others ---------------------------------------------------

    def note_stat(self, how: str, name: str, value: str | float) -> None:
        """Write a stat for all nodes: ``inc``, ``max``, ``min`` or ``set``."""
        text = value if isinstance(value, str) else str(value + 0)  # True counts as 1
        self._outbox.send(operations.Stat(how, name, text))

    def counts(
        self, names: Sequence[str], on_sums: Callable[[list[float]], None]
    ) -> None:
        """Call *on_sums* with the sums of stats over all nodes, in their order."""
        if names:
            self._outbox.send(
                operations.Counts(list(names)), lambda answer: on_sums(answer["sums"])
            )

    def share_cookies(self, payload: bytes) -> None:
        """Tell all nodes of changes of cookies."""
        self._outbox.send(operations.Cookies(payload))

    def dead_letter(self, attempts: int, group: str, payload: bytes) -> None:
        """Note that a request was dead-lettered."""
        self._outbox.send(operations.DeadLetter(attempts, group, payload))

    def put_dead_letters_back(self) -> asyncio.Future[int]:
        """Make dead-lettered requests wait again; the answer is how many there were."""
        return self._outbox.call(
            operations.Retry(), lambda answer: int(answer["count"])
        )

    def prepare(
        self, batch: str, about: str, items: Sequence[int]
    ) -> asyncio.Future[None]:
        """Announce that *items* go into files now.

        They are in doubt until :meth:`commit`.

        Raises:
            LeaseLostError: If others have them.
        """
        operation = operations.Prepare(batch, about, list(items))
        return self._outbox.call(operation, lambda _: None)

    def commit(
        self, batch: str, notes: Mapping[str, str], *, was_written: bool
    ) -> asyncio.Future[None]:
        """Say whether the items of *batch* are in the files."""
        operation = operations.Commit(batch, dict(notes), was_written)
        return self._outbox.call(operation, lambda _: None)

    def finish(self, reason: str) -> asyncio.Future[bool]:
        """End the crawl at all nodes, unless it is ``finished`` and something waits."""
        return self._outbox.call(
            operations.Finish(reason), lambda answer: bool(answer["has_ended"])
        )
