"""The contract between a scheduler and the place where requests wait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """A request on its way into a frontier.

    Attributes:
        key: Fingerprint; equal keys are the same request. None: never a duplicate.
        group: The hosts whose limits it shares.
        priority: Higher leaves first.
        is_start: Whether it came from ``Spider.start()``: such requests leave after
            the others of their priority, the oldest first.
        payload: The request as the producer encoded it. Opaque here.
    """

    key: bytes | None
    group: str
    priority: int
    is_start: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Lease:
    """One request, lent.

    Attributes:
        ticket: Number to give back; unique within one frontier.
        group: The hosts whose limits it shares.
        payload: The request as the producer encoded it.
        queued_s: When it was pushed, in seconds since the epoch.
    """

    ticket: int
    group: str
    payload: bytes
    queued_s: float


class Frontier(ABC):
    """What is left to crawl, and what is lent.

    A request is *waiting*, then *lent*, then *done*. Nothing else moves it, except
    that one given back is waiting again, at its old place.

    All calls come from one thread, the one of the event loop, and none blocks it.
    Each call is atomic: it happens whole or not at all.
    """

    @abstractmethod
    def push(self, entries: Sequence[Entry]) -> list[bool]:
        """Add each request unless its key was ever pushed before.

        Returns:
            Whether each was added, in the order of *entries*.
        """

    @abstractmethod
    def take(self) -> Lease | None:
        """Lend the next request that its group's limits let start now.

        Returns:
            None if nothing may start now; see :meth:`ready_in_s`. That does not mean
            that the crawl is over.
        """

    @abstractmethod
    def complete(self, ticket: int, entries: Sequence[Entry] = ()) -> list[bool]:
        """End a lease and push what came of it, in one step.

        Returns:
            As :meth:`push`.

        Raises:
            KeyError: If the ticket is not lent; nothing was pushed.
        """

    @abstractmethod
    def give_back(self, ticket: int) -> None:
        """Make a lent request wait again. One that is not lent is left alone."""

    @abstractmethod
    def left_site(self, ticket: int) -> None:
        """Say that a lent request no longer occupies the site, only us.

        Its group may have another in flight from now on. Saying it twice, or of a
        ticket that is not lent, is harmless.
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
