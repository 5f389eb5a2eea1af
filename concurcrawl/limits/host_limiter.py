"""The contract for what keeps the limits of groups of hosts."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from concurcrawl.limits.limiter import FetchResult, GroupLimits


class HostLimiter(Protocol):
    """Counts the requests at each group of hosts; a frontier does.

    All calls come from the thread of the event loop, and none blocks it.
    """

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
            infinity if another request must leave first.

        Raises:
            PausedTooLongError: If the site wants a pause longer than is waited for.
            LeaseLostError: If the lease was lost meanwhile.
        """
        raise NotImplementedError

    @abstractmethod
    def sent(self, group: str, lease_id: int | None, ago_s: float) -> None:
        """Note that a request that was admitted was sent to its site.

        The delay and the rate of its group count from then.

        Args:
            group: Its group.
            lease_id: Its lease id, or None.
            ago_s: Seconds since it was sent, or fewer.
        """

    @abstractmethod
    def leave(self, group: str, lease_id: int | None, result: FetchResult) -> None:
        """Count a request as in flight no longer, and learn from how it went.

        A lease that was not admitted no longer counts as on its way to its site.

        Args:
            group: Its group.
            lease_id: Its lease id, or None.
            result: How it went.
        """

    @abstractmethod
    def expect(self, group: str, change: int) -> None:
        """Change the count of *group*'s requests without a lease that wait.

        Nothing is leased while one of them waits for the total alone, so that it finds
        free capacity.

        Args:
            group: The group.
            change: How many more wait; fewer, if it is negative.
        """

    @abstractmethod
    def slow_down(self, group: str, delay_s: float) -> None:
        """Keep at least *delay_s* seconds between two starts in *group* from now on."""

    @abstractmethod
    def change_limits(self, group: str, limits: GroupLimits, *, was_free: bool) -> None:
        """Keep other limits of *group* from the next start on.

        What its site asks for, by a pause or :meth:`slow_down`, counts as before.

        Args:
            group: The group.
            limits: What it must not exceed.
            was_free: Whether its requests have started without being admitted. If some
                are leased, a delay then counts from now.
        """
