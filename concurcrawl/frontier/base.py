"""The contracts between a scheduler and the place where requests wait.

There are four small ones, and code that needs a part of a frontier names that part:

- :class:`RequestQueue`: requests, by leases;
- :class:`QueueView`: what is to be seen of the queue;
- :class:`ItemStore`: items on their way into feeds, and notes;
- :class:`~concurcrawl.limits.host_limiter.HostLimiter`: how many and how fast.

A :class:`Frontier` is all of them: an ack ends a request at its site, too.

All calls come from one thread, the one of the event loop, and none blocks it: what may
have to be fetched is awaited. A call takes effect in its turn also if its answer is not
awaited. Each call is atomic: it happens whole or not at all, also if the process is
killed during it. What a frontier with a file was told before that, it knows afterwards;
what was leased waits again.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from concurcrawl.limits.host_limiter import HostLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Iterable, Mapping, Sequence

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Entry:
    """A request on its way into a frontier.

    Attributes:
        key: Fingerprint; equal keys are the same request. None: never a duplicate.
        group: The hosts whose limits it shares.
        priority: Higher leaves first.
        is_start: Whether it came from ``Spider.start()``: such requests leave after
            the others of their priority, the oldest first.
        payload: The request as the producer encoded it. Opaque here. Nothing if only
            the key is to be remembered: the request is done already.
    """

    key: bytes | None
    group: str
    priority: int
    is_start: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Output:
    """One output of ``Spider.start()``, known again by what it is.

    Attributes:
        what: Digest of the output; equal digests are equal outputs.
        nth: How many outputs of this run of ``start()`` were equal to it, this one
            included. Counts from 1.
    """

    what: bytes
    nth: int


@dataclass(frozen=True, slots=True)
class Lease:
    """One request, leased.

    Attributes:
        lease_id: Its number; unique within one frontier.
        group: The hosts whose limits it shares.
        payload: The request as the producer encoded it.
        queued_s: When it was pushed, in seconds since the epoch.
    """

    lease_id: int
    group: str
    payload: bytes
    queued_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """A group of hosts, for people who look at a crawl.

    Attributes:
        name: Its name.
        in_flight: Requests at its site or on their way.
        limit: Requests at a time; 0 means no limit, -1 that none may start.
        waiting: Requests that wait; counted up to 1000.
        delay_s: Mean seconds between two requests.
        paused_s: How much longer it is paused, in seconds; 0 if it is not.
        why: Why it is paused; empty if it is not.
    """

    name: str
    in_flight: int
    limit: int = 0
    waiting: int = 0
    delay_s: float = 0.0
    paused_s: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """What an ack has done with the requests and items that came of a request.

    Attributes:
        added: Whether each request was added, in the order they were given.
        items: The numbers that the items got, in the order they were given.
    """

    added: list[bool]
    items: list[int]


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """An answer that is there already: awaiting it does not suspend."""

    value: T_co

    def __await__(self) -> Generator[None, None, T_co]:
        yield from ()
        return self.value


def at_once(answer: Awaitable[T_co]) -> T_co:
    """Return an answer that must be there already."""
    assert isinstance(answer, Done)
    value: T_co = answer.value
    return value


class RequestQueue(Protocol):
    """What is left to crawl, and what is leased.

    A request is *waiting*, then *leased*, then *done*. Nothing else moves it, except
    that one that is released is waiting again, at its old place. Where several
    processes share a frontier, so is one whose holder was silent for too long.
    """

    @abstractmethod
    def push(
        self,
        entries: Iterable[Entry],
        notes: Mapping[str, str] | None = None,
        output: Output | None = None,
    ) -> Awaitable[list[bool]]:
        """Add each request unless its key was ever pushed before, and take notes.

        Entries are read once, before this returns, so that many need not be in memory
        together. While they are, others may be pushed; if reading raises, nothing of
        the step was done.

        Args:
            entries: The requests.
            notes: As of :meth:`ItemStore.keep`.
            output: The output of ``start()`` that they are. In the same step it counts
                as taken; if it did before, none of the requests is added.

        Returns:
            Whether each was added, in the order of *entries*.
        """
        raise NotImplementedError

    @abstractmethod
    def acquire(self) -> Lease | None:
        """Lease the next request that its group's limits let start now.

        Returns:
            None if nothing may start now; see :meth:`QueueView.ready_in_s`. That does
            not mean that the crawl is over.
        """
        raise NotImplementedError

    @abstractmethod
    def ack(
        self, lease_id: int, entries: Iterable[Entry] = (), items: Iterable[bytes] = ()
    ) -> Awaitable[Completed]:
        """End a lease, push the requests and keep the items that came of it.

        Entries and then items are read as by :meth:`push`.

        Raises:
            LeaseLostError: If the request is not leased, or no longer; nothing was
                done.
        """
        raise NotImplementedError

    @abstractmethod
    def release(self, lease_id: int) -> None:
        """Make a leased request wait again. One that is not leased is left alone."""

    @abstractmethod
    def start_over(self, lease_id: int) -> None:
        """Count a leased request as not at its site: its worker is gone.

        It keeps its lease, and must be admitted again. One that is not leased any
        longer stays as it is.
        """

    @abstractmethod
    def close(self) -> None:
        """Close files and connections. Nothing may be called after it."""


class QueueView(Protocol):
    """What is to be seen of a queue. Nothing here has an effect."""

    @abstractmethod
    def waiting(self) -> int:
        """Return how many requests wait."""
        raise NotImplementedError

    @abstractmethod
    def leased(self) -> int:
        """Return how many requests are leased."""
        raise NotImplementedError

    @abstractmethod
    def has_ready(self) -> bool:
        """Return whether :meth:`RequestQueue.acquire` would return a request now."""
        raise NotImplementedError

    @abstractmethod
    def ready_in_s(self) -> float | None:
        """Return the seconds until time alone lets a waiting request start.

        Returns:
            None if nothing waits for time: only an ack or a push can help.
        """
        raise NotImplementedError

    @abstractmethod
    def delay_s(self, group: str) -> float:
        """Return the mean seconds between two starts in *group*, as far as known."""
        raise NotImplementedError

    @abstractmethod
    def busiest(self, most: int) -> tuple[list[GroupState], int]:
        """Return the groups that are paused or have the most requests in flight.

        Args:
            most: How many to return.

        Returns:
            They, paused ones first, as far as they are known here; and how many more
            have requests that wait.
        """
        raise NotImplementedError


class ItemStore(Protocol):
    """Items that are in no feed yet, notes, and which outputs of start() were taken."""

    @abstractmethod
    def keep(
        self,
        items: Sequence[bytes],
        notes: Mapping[str, str],
        output: Output | None = None,
    ) -> Awaitable[list[int]]:
        """Keep items that came of no lease and take notes, in one step.

        Args:
            items: The items.
            notes: What to remember, by name; each replaces the one of its name.
            output: The output of ``start()`` that they are. In the same step it counts
                as taken; if it did before, no item is kept.

        Returns:
            The numbers of the items; none if the output was taken before.
        """
        raise NotImplementedError

    @abstractmethod
    def items(self) -> Awaitable[list[tuple[int, bytes]]]:
        """Return number and payload of each item that is kept here, oldest first."""
        raise NotImplementedError

    @abstractmethod
    def deliver(
        self, items: Sequence[int], notes: Mapping[str, str]
    ) -> Awaitable[None]:
        """Delete *items*, which are safe elsewhere, and take notes, in one step.

        When this returns, a frontier with a file has all that it was told on the disk:
        no power cut takes it back.

        Args:
            items: Numbers of items. One that is not kept is passed over.
            notes: What to remember, by name; each replaces the one of its name.
        """
        raise NotImplementedError

    @abstractmethod
    def notes(self) -> Awaitable[dict[str, str]]:
        """Return all notes."""
        raise NotImplementedError

    @abstractmethod
    def times_taken(self, what: bytes) -> Awaitable[int]:
        """Return how many outputs of ``start()`` with this digest were taken."""
        raise NotImplementedError


class Frontier(RequestQueue, QueueView, ItemStore, HostLimiter, Protocol):
    """All of them in one, as an ack and the death of a node concern each part."""
