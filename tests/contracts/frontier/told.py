"""A frontier for tests: each call is answered before it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.frontier.base import at_once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence
    from typing import TypeVar

    from concurcrawl.frontier.base import Completed, Entry, Frontier, Lease, Output
    from concurcrawl.limits.limiter import FetchResult, GroupLimits

    T = TypeVar("T")


class Told:
    """A frontier whose answers are there at once."""

    def __init__(self, frontier: Frontier) -> None:
        self.frontier = frontier

    # What a frontier that has to ask somebody does otherwise -------------------------

    def wait(self, answer: Awaitable[T]) -> T:
        return at_once(answer)

    def catch_up(self, want: int = 0) -> None:
        """Have everything that was said take effect, and fetch *want* requests."""

    # As Frontier has them ------------------------------------------------------------

    def push(
        self,
        entries: Iterable[Entry],
        notes: Mapping[str, str] | None = None,
        output: Output | None = None,
    ) -> list[bool]:
        return self.wait(self.frontier.push(entries, notes, output))

    def times_taken(self, what: bytes) -> int:
        self.catch_up()
        return self.wait(self.frontier.times_taken(what))

    def acquire(self) -> Lease | None:
        self.catch_up(1)
        return self.frontier.acquire()

    def ack(
        self, lease_id: int, entries: Iterable[Entry] = (), items: Iterable[bytes] = ()
    ) -> Completed:
        return self.wait(self.frontier.ack(lease_id, entries, items))

    def items(self) -> list[tuple[int, bytes]]:
        self.catch_up()
        return self.wait(self.frontier.items())

    def deliver(self, items: Sequence[int], notes: Mapping[str, str]) -> None:
        self.wait(self.frontier.deliver(items, notes))

    def keep(
        self,
        items: Sequence[bytes],
        notes: Mapping[str, str],
        output: Output | None = None,
    ) -> list[int]:
        return self.wait(self.frontier.keep(items, notes, output))

    def notes(self) -> dict[str, str]:
        self.catch_up()
        return self.wait(self.frontier.notes())

    def release(self, lease_id: int) -> None:
        self.frontier.release(lease_id)
        self.catch_up()

    def admit(self, group: str, lease_id: int | None) -> float:
        return self.frontier.admit(group, lease_id)

    def sent(self, group: str, lease_id: int | None, ago_s: float) -> None:
        self.frontier.sent(group, lease_id, ago_s)
        self.catch_up()

    def leave(self, group: str, lease_id: int | None, result: FetchResult) -> None:
        self.frontier.leave(group, lease_id, result)
        self.catch_up()

    def expect(self, group: str, change: int) -> None:
        self.frontier.expect(group, change)

    def slow_down(self, group: str, delay_s: float) -> None:
        self.frontier.slow_down(group, delay_s)
        self.catch_up()

    def change_limits(
        self, group: str, limits: GroupLimits, *, was_free: bool = False
    ) -> None:
        self.frontier.change_limits(group, limits, was_free=was_free)
        self.catch_up()

    def has_ready(self) -> bool:
        self.catch_up(1)
        return self.frontier.has_ready()

    def start_over(self, lease_id: int) -> None:
        self.frontier.start_over(lease_id)
        self.catch_up()

    def waiting(self) -> int:
        self.catch_up()
        return self.frontier.waiting()

    def leased(self) -> int:
        self.catch_up()
        return self.frontier.leased()

    def ready_in_s(self) -> float | None:
        self.catch_up()
        return self.frontier.ready_in_s()

    def close(self) -> None:
        self.frontier.close()
