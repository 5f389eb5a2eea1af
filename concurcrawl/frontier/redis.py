"""The shared frontier: one Redis for the nodes of a crawl on several machines.

A node gathers what it has done and what it would like to know, and one script applies
all of that in one exchange: see ``redis_script``. At most one exchange is under way, so
that a page costs at most about one round trip however far Redis is, and nothing here
waits for it: what is asked for now is answered from memory.

Why a script of our own:

- Streams with consumer groups have leases, but no priorities, no duplicates, no limits
  by group, and anyone may acknowledge what was taken from them meanwhile.
- BullMQ's Python port locks each job for itself, several round trips a job, and its
  stalled jobs come back only when somebody looks; limits by group are not in it.
- scrapy-redis pops a request before it is done, so a crash loses it, and learns of
  duplicates in another step than the one that stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from concurcrawl.errors import (
    ConcurcrawlError,
    FrontierError,
    LeaseLostError,
    PausedTooLongError,
)
from concurcrawl.frontier import redis_wire as wire
from concurcrawl.frontier.base import Completed, Entry, Frontier, Lease
from concurcrawl.frontier.limits import Gates, Limits, Visit
from concurcrawl.frontier.redis_wire import Header, Refusal, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Operations in one exchange: Redis does nothing else meanwhile.
_BATCH = 500

#: How often a node that waits for something looks, at first and at last.
_FIRST_LOOK_S = 0.01
_LAST_LOOK_S = 0.25

#: How often a node looks whether another's request was sent, so that its own may.
_SOON_S = 0.03

#: How long news may wait for more of it, so that they share a round trip.
_LINGER_S = 0.002

#: Items of dead nodes that a node takes at a time.
_ADOPTS = 100

#: What a node that was taken for dead says again when it has joined anew: it depends
#: on no lease.
_LASTING = {"push", "keep", "settle", "stat", "cookies", "limits", "slow_down", "fail"}


class Link(Protocol):
    """The way to Redis."""

    async def exchange(self, args: Sequence[wire.Arg]) -> Any:
        """Run the script and return its raw reply; try again until it is there.

        Raises:
            FrontierError: If Redis was out of reach for too long, or refuses.
        """

    async def notes(self) -> dict[str, str]:
        """Return the notes of the job."""

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


@dataclass(slots=True)
class _Op:
    """An operation and who waits for its answer."""

    args: wire.Operation
    hear: Callable[[Any], None] | None = None
    fail: Callable[[Exception], None] | None = None


class RedisFrontier(Frontier):
    """A node's part of a frontier in Redis.

    Invariants: ``_held`` has each lease that was taken and not ended; an exchange is
    applied at most once, however often it had to be sent.

    Attributes:
        room: Returns how many more requests this node could do now.
        spare: Requests that are kept ready besides.
        on_news: Called after each exchange that brought something.
        on_lost: Called when others have been given what this node held.
        on_failure: Called when the frontier cannot be used any more.
        on_ended: Called once, with the reason, when the crawl has ended.
        on_adopted: Called with items of dead nodes, which are this node's now.
        on_cookies: Called with changes of cookies at other nodes.
        on_troubled: Called with groups that have refused requests.
        counted: Stats whose sums over all nodes :meth:`counts` tells.
    """

    def __init__(  # noqa: PLR0913 - as SqliteFrontier's, and two
        self,
        link: Link,
        member: Member,
        limits_of: Callable[[str], Limits] = lambda _: Limits(),
        *,
        total: int = 0,
        asks: Callable[[str], bool] | None = None,
        newest_first: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Make one that has not joined.

        Args:
            link: The way to Redis.
            member: Who we are.
            limits_of: Returns what a group must not exceed.
            total: Requests of this node at a time over all groups; 0 means no limit.
            asks: Tells whether requests of a group are admitted one by one; None: all.
            newest_first: Whether the newest request of a priority leaves first.
            clock: Seconds, in the place of Redis's own clock.
        """
        self._link = link
        self._member = member
        self._limits_of = limits_of
        self._newest_first = newest_first
        self._is_timed_from_outside = clock is not None
        self._clock = clock or time.monotonic
        # Limits by group are kept in Redis; the total is this node's own.
        self._total = Gates(lambda _: Limits(), total, asks, random.uniform)
        self._listen_to_nobody()
        self._begin_life()

    def _listen_to_nobody(self) -> None:
        self.room: Callable[[], int] = lambda: 0
        self.spare = 0
        self.on_news: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_failure: Callable[[Exception], None] = lambda _: None
        self.on_ended: Callable[[str], None] = lambda _: None
        self.on_adopted: Callable[[list[tuple[int, bytes]]], None] | None = None
        self.on_cookies: Callable[[list[bytes]], None] = lambda _: None
        self.on_troubled: Callable[[list[str]], None] = lambda _: None

    def _begin_life(self) -> None:
        self._outbox: deque[_Op] = deque()
        self._stock: deque[Lease] = deque()
        self._held: dict[int, Lease] = {}
        self._permits: Counter[tuple[str, int | None]] = Counter()
        self._asked: set[tuple[str, int | None]] = set()
        self._not_before_s: dict[str, float] = {}
        self._too_long_until_s: dict[str, float] = {}
        self._may_be_sooner: set[str] = set()
        self._known_groups: set[str] = set()
        self._expected = 0
        self._incarnation = ""
        self._seq = 0
        self._cookies_from = self._troubled_from = 0
        self._reply: Reply | None = None
        self._joined_job = ""
        self._ended: str | None = None
        self._failure: Exception | None = None
        self._is_closed = self._is_leaving = False
        self._is_busy = False
        self._due = asyncio.Event()
        self._look_s = _FIRST_LOOK_S
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # Joining and the exchange ----------------------------------------------------

    async def join(self) -> None:
        """Join the job, or begin it.

        Raises:
            FrontierError: If it cannot be joined.
        """
        try:
            await self._join()
        except FrontierError as error:
            self._give_up(error, [])
            raise

    async def _join(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._incarnation, self._seq = secrets.token_hex(8), 0
        first_wait_s = None
        while True:
            member = self._member
            tail = wire.join(
                member.how if not self._joined_job else "auto",
                time.monotonic() - member.started_s,
                secrets.token_hex(8),
                member.spider,
                json.dumps(dict(member.about)),
            )
            header = self._header(0, 0)
            reply = wire.read(await self._link.exchange([*header.args(), *tail]))
            if isinstance(reply, Reply):
                break
            why, _, detail = reply.why.partition(" ")
            if why == "late":
                self._end(reply.detail)
                return
            if why == "spider":
                raise FrontierError(
                    "frontier_refused",
                    f"this job belongs to the spider {detail!r}, not to "
                    f"{member.spider!r}; choose another CONCURCRAWL_FRONTIER_JOB.",
                )
            wait_s = float(detail)
            if first_wait_s is not None and wait_s > first_wait_s:
                raise FrontierError(
                    "frontier_refused",
                    f"another live node is called {member.node!r}; choose another "
                    "CONCURCRAWL_FRONTIER_NODE.",
                )
            first_wait_s = wait_s
            await asyncio.sleep(min(wait_s + 0.01, member.lease_s / 4))
        if self._joined_job and reply.job_id != self._joined_job:
            raise FrontierError("frontier_lost", _GONE)
        self._joined_job = reply.job_id
        self._seq = 1
        self._take_in(reply, [])

    def start(self) -> None:
        """Begin to exchange whenever there is something to say or to ask for."""
        self._task = asyncio.ensure_future(self._run())

    async def exchange(self) -> None:
        """Make one exchange.

        Raises:
            FrontierError: If Redis is out of reach, or has lost the job.
        """
        ops = [self._outbox.popleft() for _ in range(min(_BATCH, len(self._outbox)))]
        self._is_busy = True
        try:
            want, spare = self._wanted()
            args = self._header(want, spare).args()
            for op in ops:
                args += op.args
            reply = wire.read(await self._link.exchange(args))
            self._seq += 1
            if isinstance(reply, Reply):
                self._take_in(reply, ops)
            else:
                await self._begin_anew(reply, ops)
        except FrontierError as error:
            self._give_up(error, ops)
            raise
        finally:
            self._is_busy = False

    def _header(self, want: int, spare: int) -> Header:
        member = self._member
        return Header(
            node=member.node,
            incarnation=self._incarnation,
            seq=self._seq,
            now_s=self._clock() if self._is_timed_from_outside else None,
            lease_s=member.lease_s,
            want=want,
            spare=spare,
            max_attempts=member.max_attempts,
            seed=random.randrange(1, 2**31 - 1),  # noqa: S311 - no secret
            cookies_from=self._cookies_from,
            troubled_from=self._troubled_from,
            adopts=_ADOPTS if self.on_adopted is not None else 0,
            newest_first=self._newest_first,
        )

    def _wanted(self) -> tuple[int, int]:
        """Return how many requests to ask for, and how many only to keep ready."""
        if self._expected or self._is_leaving or self._ended is not None:
            return -1, 0
        room = self.room()
        want = room + self.spare - len(self._stock)
        return (want, min(self.spare, want)) if want > 0 else (-1, 0)

    def _take_in(self, reply: Reply, ops: Sequence[_Op]) -> None:
        self._reply = reply
        self._stock.extend(reply.leases)
        self._ready_at_s: float | None = None
        if reply.ready_in_s is not None:
            self._ready_at_s = self._clock() + reply.ready_in_s
        self._cookies_from += len(reply.cookies)
        self._troubled_from += len(reply.troubled)
        for op, answer in zip(ops, reply.answers, strict=True):
            if op.hear is not None:
                op.hear(answer)
        if reply.leases or ops:
            self._look_s = _FIRST_LOOK_S
        self._is_busy = False
        self._tell(reply)
        self.on_news()
        self._return_permits()

    def _tell(self, reply: Reply) -> None:
        """Tell who listens what others have done."""
        others = [c for node, c in reply.cookies if node != self._member.node]
        if others:
            self.on_cookies(others)
        if reply.troubled:
            self.on_troubled(reply.troubled)
        if reply.adopted and self.on_adopted is not None:
            self.on_adopted(reply.adopted)
        if reply.state == "ended":
            self._end(reply.reason)

    async def _begin_anew(self, refusal: Refusal, ops: Sequence[_Op]) -> None:
        """Join again: others have what this node held."""
        if refusal.why == "gone" or refusal.detail != self._joined_job:
            raise FrontierError("frontier_lost", _GONE)
        if self._is_leaving:
            for op in ops:
                self._lose(op)
            return
        self._drop_all(ops)
        self.on_lost()
        self._cookies_from = self._troubled_from = 0
        await self.join()

    def _drop_all(self, ops: Sequence[_Op]) -> None:
        said = [*ops, *self._outbox]
        self._outbox.clear()
        for op in said:
            if op.args[0] in _LASTING:
                self._outbox.append(op)
            else:
                self._lose(op)
        for ticket in self._held:
            self._total.forget(ticket, 0.0)
        self._held.clear()
        self._stock.clear()
        self._permits.clear()
        self._asked.clear()

    def _lose(self, op: _Op) -> None:
        if op.fail is not None:
            op.fail(LeaseLostError(0))

    def _give_up(self, error: FrontierError, ops: Sequence[_Op]) -> None:
        self._failure = error
        for op in [*ops, *self._outbox]:
            if op.fail is not None:
                op.fail(error)
        self._outbox.clear()

    def _end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            self.on_ended(reason)

    async def _run(self) -> None:
        try:
            while not self._is_closed:
                self._due.clear()
                if not self._outbox:
                    try:
                        await asyncio.wait_for(self._due.wait(), self._next_look_s())
                        await asyncio.sleep(_LINGER_S)
                    except TimeoutError:
                        self._look_s = min(2 * self._look_s, _LAST_LOOK_S)
                        for group in self._may_be_sooner:
                            self._not_before_s.pop(group, None)
                        self._may_be_sooner.clear()
                        self.on_news()
                await self.exchange()
        except FrontierError as error:
            self.on_failure(error)

    def _next_look_s(self) -> float:
        """Return how long to wait if nothing happens here."""
        if self._joined_job and self._ended is None:
            return min(self._look_s, _SOON_S) if self._may_be_sooner else self._look_s
        return self._member.lease_s / 4

    def _say(
        self,
        args: wire.Operation,
        hear: Callable[[Any], None] | None = None,
        fail: Callable[[Exception], None] | None = None,
    ) -> None:
        if self._failure is not None:
            if fail is not None:
                fail(self._failure)
            return
        self._outbox.append(_Op(args, hear, fail))
        self._due.set()

    def _ask(self, args: wire.Operation, read: Callable[[Any], Any]) -> Any:
        """Say something and return the future of its answer."""
        if self._is_closed:
            raise FrontierError("frontier_closed", "the frontier is closed")
        answer: asyncio.Future[Any] = _Answer(loop=self._loop)

        def hear(raw: Any) -> None:
            if answer.done():
                return
            try:
                answer.set_result(read(raw))
            except ConcurcrawlError as error:
                answer.set_exception(error)

        def fail(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

        self._say(args, hear, fail)
        return answer

    # The contract ----------------------------------------------------------------

    def push(
        self, entries: Sequence[Entry], notes: Mapping[str, str] | None = None
    ) -> asyncio.Future[list[bool]]:
        """See :meth:`Frontier.push`."""
        self._introduce(entries)
        answer: asyncio.Future[list[bool]] = self._ask(
            wire.push(entries, notes or {}), wire.added
        )
        return answer

    def take(self) -> Lease | None:
        """See :meth:`Frontier.take`. What there is was fetched ahead."""
        if self._expected or self._is_leaving:
            return None
        if not self._stock:
            if self._ended is None and self._look_s > _FIRST_LOOK_S:
                self._look_s = _FIRST_LOOK_S
            return None
        lease = self._stock.popleft()
        self._held[lease.ticket] = lease
        self._total.lend(lease.ticket, lease.group)
        self._say(["begun", lease.ticket])
        return lease

    def complete(
        self, ticket: int, entries: Sequence[Entry] = (), items: Sequence[bytes] = ()
    ) -> asyncio.Future[Completed]:
        """See :meth:`Frontier.complete`."""
        if ticket not in self._held:
            raise LeaseLostError(ticket)
        self._introduce(entries)

        def read(answer: Any) -> Completed:
            done = wire.completed(answer, len(items))
            if done is None:
                raise LeaseLostError(ticket)
            return done

        op = wire.complete(ticket, entries, items, self._owner())
        answer: asyncio.Future[Completed] = self._ask(op, read)
        self._forget(ticket)
        return answer

    async def items(self) -> list[tuple[int, bytes]]:
        """See :meth:`Frontier.items`."""
        return await self._link.items(self._member.node)

    def deliver(
        self, items: Sequence[int], notes: Mapping[str, str]
    ) -> asyncio.Future[None]:
        """See :meth:`Frontier.deliver`."""
        answer: asyncio.Future[None] = self._ask(
            wire.deliver(items, notes), lambda _: None
        )
        return answer

    def keep(
        self, items: Sequence[bytes], notes: Mapping[str, str]
    ) -> asyncio.Future[list[int]]:
        """See :meth:`Frontier.keep`."""
        answer: asyncio.Future[list[int]] = self._ask(
            wire.keep(items, notes, self._owner()),
            lambda first: wire.numbers(first, len(items)),
        )
        return answer

    async def notes(self) -> dict[str, str]:
        """See :meth:`Frontier.notes`."""
        return await self._link.notes()

    def give_back(self, ticket: int) -> None:
        """See :meth:`Frontier.give_back`."""
        if ticket in self._held:
            self._forget(ticket)
            self._say(["give_back", ticket])

    def admit(
        self, group: str, ticket: int | None, *, is_errand: bool = False
    ) -> float:
        """See :meth:`Frontier.admit`. Infinity also where Redis must be asked."""
        place = (group, ticket)
        now_s = self._clock()
        if ticket is not None and ticket not in self._held:
            raise LeaseLostError(ticket)
        pause_s = self._too_long_until_s.get(group, 0.0) - now_s
        if pause_s > 0:
            max_pause_s = self._limits_of(group).max_pause_s
            raise PausedTooLongError(group, pause_s, max_pause_s)
        if self._permits[place]:
            if self._total.admit(group, ticket, now_s, is_errand=is_errand):
                return math.inf
            self._permits[place] -= 1
            return 0.0
        wait_s = self._not_before_s.get(group, 0.0) - now_s
        if wait_s > 0:
            return wait_s
        if place not in self._asked:
            self._asked.add(place)
            self._introduce_group(group)
            self._say(wire.admit(group, ticket), lambda raw: self._admitted(place, raw))
        return math.inf

    def _admitted(self, place: tuple[str, int | None], raw: bytes) -> None:
        self._asked.discard(place)
        group, ticket = place
        if raw == b"lost":
            if ticket is not None and ticket in self._held:
                self._forget(ticket)
        elif raw.startswith(b"paused "):
            self._too_long_until_s[group] = self._clock() + float(raw[7:])
        elif raw == b"0":
            if ticket is None or ticket in self._held:
                self._permits[place] += 1
        else:
            wait_s = wire.wait_s(raw)
            if raw.startswith(b"soon "):  # when another node says that it has sent
                self._may_be_sooner.add(group)
            if math.isfinite(wait_s):
                self._not_before_s[group] = self._clock() + wait_s

    def ask_no_longer(self, group: str, ticket: int | None) -> None:
        """Take back a question of :meth:`admit` that was not sent yet."""
        place, args = (group, ticket), wire.admit(group, ticket)
        if place in self._asked and self._drop_op(args):
            self._asked.discard(place)

    def _drop_op(self, args: wire.Operation) -> bool:
        found = next((op for op in self._outbox if op.args == args), None)
        if found is not None:
            self._outbox.remove(found)
        return found is not None

    def _return_permits(self) -> None:
        """Give back what nobody came for: who asked has gone."""
        for place, count in list(self._permits.items()):
            group, ticket = place
            if ticket is None and count and not self._expected:
                for _ in range(count):
                    self._say(wire.sent(group, None, 0.0))
                    self._say(wire.leave(group, None, Visit()))
                del self._permits[place]

    def sent(self, group: str, ticket: int | None, ago_s: float) -> None:
        """See :meth:`Frontier.sent`."""
        self._not_before_s.pop(group, None)
        self._introduce_group(group)
        self._say(wire.sent(group, ticket, ago_s))

    def leave(self, group: str, ticket: int | None, visit: Visit) -> None:
        """See :meth:`Frontier.leave`."""
        self._total.leave(group, ticket, visit, 0.0)
        self._permits.pop((group, ticket), None)
        self._not_before_s.pop(group, None)
        self._introduce_group(group)
        self._say(wire.leave(group, ticket, visit))

    def expect(self, change: int) -> None:
        """See :meth:`Frontier.expect`. What this node is lent waits, not others'."""
        self._expected += change
        self._total.wait_unlent(change)

    def slow_down(self, group: str, delay_s: float) -> None:
        """See :meth:`Frontier.slow_down`."""
        self._not_before_s.pop(group, None)
        self._introduce_group(group)
        self._say(["slow_down", group, delay_s])

    def start_over(self, ticket: int) -> None:
        """See :meth:`Frontier.start_over`."""
        lease = self._held.get(ticket)
        if lease is None:
            return
        self._total.forget(ticket, 0.0)
        self._total.lend(ticket, lease.group)
        self._permits.pop((lease.group, ticket), None)
        self._not_before_s.pop(lease.group, None)
        self._say(["start_over", ticket])

    def waiting(self) -> int:
        """See :meth:`Frontier.waiting`. As of the last exchange."""
        return 0 if self._reply is None else self._reply.waiting + len(self._stock)

    def lent(self) -> int:
        """See :meth:`Frontier.lent`. As of the last exchange, at all nodes."""
        return 0 if self._reply is None else self._reply.lent - len(self._stock)

    def ready_in_s(self) -> float | None:
        """See :meth:`Frontier.ready_in_s`. As of the last exchange."""
        if self._expected:
            return None
        if self._stock:
            return 0.0
        if self._ready_at_s is None:
            return None
        return max(0.0, self._ready_at_s - self._clock())

    def close(self) -> None:
        """See :meth:`Frontier.close`. Call :meth:`quit` before."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()

    # What only a shared frontier has -------------------------------------------------

    @property
    def node(self) -> str:
        """This node's name."""
        return self._member.node

    @property
    def is_leader(self) -> bool:
        """Whether this node makes the start requests and decides the end."""
        return self._reply is not None and self._reply.leader == self._member.node

    @property
    def has_joined(self) -> bool:
        """Whether this node is or was one of the job: not if that was over before."""
        return bool(self._joined_job)

    @property
    def ended(self) -> str | None:
        """Why the crawl has ended everywhere; None while it runs."""
        return self._ended

    @property
    def failure(self) -> Exception | None:
        """Why the frontier cannot be used any more, or None."""
        return self._failure

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to do or to say, as far as anybody knows."""
        return (
            self._reply is not None
            and not (self._outbox or self._is_busy or self._stock or self._held)
            and not (self._reply.waiting or self._reply.lent)
        )

    @property
    def kept(self) -> int:
        """How many items are in no feed yet, at all nodes."""
        return 0 if self._reply is None else self._reply.kept

    @property
    def stranded(self) -> int:
        """How many items were being written when their nodes died."""
        return 0 if self._reply is None else self._reply.stranded

    def note_stat(self, how: str, name: str, value: str | float) -> None:
        """Write a stat for all nodes: ``inc``, ``max``, ``min`` or ``set``."""
        self._say(["stat", how, name, value])

    def counts(self, names: Sequence[str], hear: Callable[[list[float]], None]) -> None:
        """Have *hear* told the sums of stats over all nodes."""
        if names:
            self._say(
                ["counts", len(names), *names],
                lambda found: hear([float(one) for one in found]),
            )

    def share_cookies(self, payload: bytes) -> None:
        """Tell all nodes of changes of cookies."""
        self._say(["cookies", payload])

    def record_failure(self, attempts: int, group: str, payload: bytes) -> None:
        """Note that a request was set aside."""
        self._say(["fail", attempts, group, payload])

    def offer(
        self, batch: str, about: str, items: Sequence[int]
    ) -> asyncio.Future[None]:
        """Announce that *items* go into files now.

        Raises:
            LeaseLostError: If others have them.
        """
        answer: asyncio.Future[None] = self._ask(
            wire.offer(batch, about, items), lambda _: None
        )
        return answer

    def settle(self, batch: str, notes: Mapping[str, str], *, was_written: bool) -> Any:
        """Say whether the items of *batch* are in the files."""
        op = wire.settle(batch, notes, was_written=was_written)
        return self._ask(op, lambda _: None)

    def finish(self, reason: str) -> asyncio.Future[bool]:
        """End the crawl at all nodes, unless it is ``finished`` and something waits."""
        answer: asyncio.Future[bool] = self._ask(
            ["finish", reason], lambda raw: bool(raw == b"1")
        )
        return answer

    async def quit(self) -> None:
        """Leave the job: what this node holds waits again."""
        try:
            if self._failure is None and self._joined_job:
                self._is_leaving = True
                left = self._ask(["quit"], lambda _: None)
                if self._task is None:
                    await self.exchange()
                with contextlib.suppress(ConcurcrawlError):  # it is out already
                    await left
        finally:
            self.close()
            await self._link.close()

    def _owner(self) -> str:
        return "" if self._member.streams else self._member.node

    def _forget(self, ticket: int) -> None:
        lease = self._held.pop(ticket)
        self._not_before_s.pop(lease.group, None)
        self._total.forget(ticket, 0.0)
        self._permits.pop((lease.group, ticket), None)

    def _introduce(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if not isinstance(entry.payload, bytes):
                raise FrontierError(
                    "frontier_refused", f"{entry.payload!r} is no payload"
                )
            self._introduce_group(entry.group)

    def _introduce_group(self, group: str) -> None:
        """Say a group's limits, once."""
        if group not in self._known_groups:
            self._known_groups.add(group)
            self._say(wire.limits(group, self._limits_of(group)))


class _Answer(asyncio.Future[Any]):
    """An answer that nobody need wait for: an error that nobody sees is no news."""

    def set_exception(self, exception: Any, /) -> None:
        super().set_exception(exception)
        self.exception()  # marks it as seen


_GONE = (
    "Redis no longer knows this crawl: its data was lost or purged, or somebody began "
    "it anew. Start the crawl again; with appendonly yes Redis keeps it over a restart."
)
