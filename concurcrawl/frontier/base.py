"""The contract between a scheduler and the place where requests wait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Iterable, Mapping, Sequence

    from concurcrawl.limits.limiter import FetchResult, GroupLimits

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
    """One request, lent.

    Attributes:
        lease_id: Number to give back; unique within one frontier.
        group: The hosts whose limits it shares.
        payload: The request as the producer encoded it.
        queued_s: When it was pushed, in seconds since the epoch.
    """

    lease_id: int
    group: str
    payload: bytes
    queued_s: float


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of what came of a request.

    Attributes:
        added: Whether each request was added, in the order they were given.
        items: The numbers that the items got, in the order they were given.
    """

    added: list[bool]
    items: list[int]


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """An answer that is there already: awaiting it suspends nobody."""

    value: T_co

    def __await__(self) -> Generator[None, None, T_co]:
        yield from ()
        return self.value


def at_once(answer: Awaitable[T_co]) -> T_co:
    """Return an answer that must be there already."""
    assert isinstance(answer, Done)
    value: T_co = answer.value
    return value


class Frontier(ABC):
    """What is left to crawl, and what is lent.

    A request is *waiting*, then *lent*, then *done*. Nothing else moves it, except
    that one given back is waiting again, at its old place. Where several processes
    share a frontier, so is one whose holder was not heard of for too long.

    All calls come from one thread, the one of the event loop, and none blocks it:
    what may have to be fetched is awaited. A call takes effect in its turn also if
    its answer is not awaited.
    Each call is atomic: it happens whole or not at all, also if the process is killed
    during it. What a frontier with a file was told before that, it knows afterwards;
    what was lent waits again.
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
            notes: As of :meth:`keep`.
            output: The output of ``start()`` that they are. In the same step it counts
                as taken; if it did before, none of the requests is added.

        Returns:
            Whether each was added, in the order of *entries*.
        """

    @abstractmethod
    def times_taken(self, what: bytes) -> Awaitable[int]:
        """Return how many outputs of ``start()`` with this digest were taken."""

    @abstractmethod
    def take(self) -> Lease | None:
        """Lend the next request that its group's limits let start now.

        Returns:
            None if nothing may start now; see :meth:`ready_in_s`. That does not mean
            that the crawl is over.
        """

    @abstractmethod
    def complete(
        self, lease_id: int, entries: Iterable[Entry] = (), items: Iterable[bytes] = ()
    ) -> Awaitable[Completed]:
        """End a lease, push the requests and keep the items that came of it.

        Entries and then items are read as by :meth:`push`.

        Raises:
            LeaseLostError: If the lease id is not lent, or no longer; nothing was done.
        """

    @abstractmethod
    def items(self) -> Awaitable[list[tuple[int, bytes]]]:
        """Return number and payload of each item that is kept here, oldest first."""

    @abstractmethod
    def deliver(
        self, items: Sequence[int], notes: Mapping[str, str]
    ) -> Awaitable[None]:
        """Let go of *items*, which are safe elsewhere, and take notes, in one step.

        When this returns, a frontier with a file has all that it was told on the disk:
        no power cut takes it back.

        Args:
            items: Numbers of items. One that is not kept is passed over.
            notes: What to remember, by name; each replaces the one of its name.
        """

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

    @abstractmethod
    def notes(self) -> Awaitable[dict[str, str]]:
        """Return all notes."""

    @abstractmethod
    def give_back(self, lease_id: int) -> None:
        """Make a lent request wait again. One that is not lent is left alone."""

    @abstractmethod
    def admit(self, group: str, lease_id: int | None) -> float:
        """Let a request start at its site, if the limits of its group allow it now.

        In a group with a delay or a rate it is on its way until :meth:`sent`, or the
        end of its lease, says more, for ``limits.LONGEST_WAY_S`` at most. With a delay
        only one is on its way at a time, with a rate as many as it has tokens.

        Args:
            group: Its group.
            lease_id: That of its lease, or None for one that never was in the frontier,
                such as a robots.txt.

        Returns:
            0 if it is admitted; else the seconds until it is worth asking again, or
            infinity if something must leave first.

        Raises:
            PausedTooLongError: If the site wants a pause longer than is waited for.
            LeaseLostError: If the lease id was lost meanwhile.
        """

    @abstractmethod
    def sent(self, group: str, lease_id: int | None, ago_s: float) -> None:
        """Say that a request that was admitted was sent to its site.

        The delay and the rate of its group count from then.

        Args:
            group: Its group.
            lease_id: Its lease id, or None.
            ago_s: Seconds since it was sent, or fewer.
        """

    @abstractmethod
    def leave(self, group: str, lease_id: int | None, visit: FetchResult) -> None:
        """Say that a request is done at its site, and how that went.

        A lease id that was not admitted is no longer taken for in flight.
        """

    @abstractmethod
    def expect(self, group: str, change: int) -> None:
        """Change the count of *group*'s requests without a lease id that wait.

        Nothing is leased while one of them waits for the total alone, so that it finds
        free capacity.
        """

    @abstractmethod
    def slow_down(self, group: str, delay_s: float) -> None:
        """Keep at least *delay_s* between two starts in *group* from now on."""

    @abstractmethod
    def change_limits(self, group: str, limits: GroupLimits, *, was_free: bool) -> None:
        """Keep other limits of *group* from the next start on.

        What its site asks for, by a pause or :meth:`slow_down`, counts as before.

        Args:
            group: It.
            limits: What it must not exceed.
            was_free: Whether its requests have started without being admitted. If some
                are lent, a delay then counts from now.
        """

    @abstractmethod
    def delay_s(self, group: str) -> float:
        """Return the mean seconds between two starts in *group*, as far as known."""

    @abstractmethod
    def has_ready(self) -> bool:
        """Return whether :meth:`take` would lend a request now."""

    @abstractmethod
    def start_over(self, lease_id: int) -> None:
        """Take a lent request for lent anew: whoever had it is gone from the site.

        One that is not lent any longer stays as it is.
        """

    @abstractmethod
    def waiting(self) -> int:
        """Return how many requests wait."""

    @abstractmethod
    def lent(self) -> int:
        """Return how many requests are lent."""

    @abstractmethod
    def ready_in_s(self) -> float | None:
        """Return the seconds until time alone lets a waiting request start.

        Returns:
            None if nothing waits for time: only a completion or a push can help.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections. Nothing may be called after it."""
