"""What is leased, and how that ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import LeaseLostError
from concurcrawl.frontier.base import Completed
from tests.contracts.frontier.making import (
    UNKNOWN_LEASE_ID,
    FrontierTests,
    drained,
    entry,
    taken,
    unstorable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from concurcrawl.frontier.base import Entry
    from tests.contracts.frontier.clock import Clock
    from tests.contracts.frontier.told import Told


class LeaseContract(FrontierTests):
    """Leases, acks and releases."""

    def test_a_lease_says_what_was_pushed_and_when(self, frontier: Told) -> None:
        before_s = time.time()
        frontier.push([entry("x\0\n", group="b.example")])
        after_s = time.time()
        lease = taken(frontier)
        assert (lease.group, lease.payload) == ("b.example", b"x\0\n")
        assert before_s <= lease.queued_s <= after_s

    def test_an_empty_frontier_leases_nothing(self, frontier: Told) -> None:
        assert frontier.acquire() is None
        assert (frontier.waiting(), frontier.leased()) == (0, 0)

    def test_a_key_without_a_payload_is_only_remembered(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        completed = frontier.ack(taken(frontier).lease_id, [entry("", key="k")])
        assert completed.added == [True]
        assert frontier.push([entry("y", key="k")]) == [False]
        assert (frontier.acquire(), frontier.waiting()) == (None, 0)

    def test_a_lease_id_is_unique(self, frontier: Told) -> None:
        lease_ids = []
        for _ in range(10):
            frontier.push([entry("x")])
            lease = taken(frontier)
            lease_ids.append(lease.lease_id)
            frontier.ack(lease.lease_id)
        assert len(set(lease_ids)) == 10

    def test_waiting_and_leased_count_what_waits_and_is_leased(
        self, frontier: Told
    ) -> None:
        counts = []

        def count() -> None:
            counts.append((frontier.waiting(), frontier.leased()))

        frontier.push([entry("x", key="k"), entry("y"), entry("z", key="k")])
        count()
        first = taken(frontier)
        count()
        second = taken(frontier)
        count()
        frontier.release(first.lease_id)
        count()
        frontier.ack(second.lease_id, [entry("x", key="k"), entry("new")])
        count()
        assert counts == [(2, 0), (1, 1), (0, 2), (1, 1), (2, 0)]

    def test_an_ack_pushes_what_came_of_the_request(self, frontier: Told) -> None:
        frontier.push([entry("x", key="k")])
        lease = taken(frontier)
        came = [entry("y", key="l"), entry("x", key="k"), entry("y", key="l")]
        done = frontier.ack(lease.lease_id, came)
        assert done == Completed([True, False, False], [])
        assert drained(frontier) == ["y"]

    def test_an_ack_of_nothing_returns_nothing(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        assert frontier.ack(taken(frontier).lease_id) == Completed([], [])

    def test_a_lease_id_that_was_never_given_acks_nothing(self, frontier: Told) -> None:
        with pytest.raises(LeaseLostError):
            frontier.ack(UNKNOWN_LEASE_ID, [entry("y", key="l")], [b"item"])
        assert (frontier.waiting(), frontier.items()) == (0, [])
        assert frontier.push([entry("y", key="l")]) == [True]

    def test_a_lease_is_acked_once(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        lease = taken(frontier)
        frontier.ack(lease.lease_id)
        with pytest.raises(LeaseLostError):
            frontier.ack(lease.lease_id, [entry("y")])
        assert frontier.waiting() == 0

    def test_a_released_lease_is_not_acked(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        lease = taken(frontier)
        frontier.release(lease.lease_id)
        with pytest.raises(LeaseLostError):
            frontier.ack(lease.lease_id, [entry("y")])
        assert drained(frontier) == ["x"]

    def test_a_push_happens_whole_or_not_at_all(self, frontier: Told) -> None:
        with pytest.raises(self.storage_error):
            frontier.push([entry("x", key="k"), unstorable()], {"a": "1"})
        assert (frontier.waiting(), frontier.notes()) == (0, {})
        assert frontier.acquire() is None
        assert frontier.push([entry("x", key="k")]) == [True]
        assert drained(frontier) == ["x"]

    def test_an_ack_happens_whole_or_not_at_all(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        lease = taken(frontier)
        with pytest.raises(self.storage_error):
            frontier.ack(lease.lease_id, [entry("y", key="k"), unstorable()], [b"item"])
        assert (frontier.waiting(), frontier.leased()) == (0, 1)
        assert frontier.items() == []
        done = frontier.ack(lease.lease_id, [entry("y", key="k")])
        assert done.added == [True]
        assert drained(frontier) == ["y"]

    def test_what_is_read_in_part_is_not_done(self, frontier: Told) -> None:
        def broken() -> Iterator[Entry]:
            yield entry("y", key="k")
            raise ZeroDivisionError

        frontier.push([entry("x")])
        lease = taken(frontier)
        with pytest.raises(ZeroDivisionError):
            frontier.push(broken(), {"a": "1"})
        with pytest.raises(ZeroDivisionError):
            frontier.ack(lease.lease_id, broken(), [b"item"])
        assert (frontier.waiting(), frontier.leased()) == (0, 1)
        assert (frontier.items(), frontier.notes()) == ([], {})
        done = frontier.ack(lease.lease_id, [entry("y", key="k")])
        assert done.added == [True]
        assert drained(frontier) == ["y"]

    def test_more_may_be_pushed_while_entries_are_read(self, frontier: Told) -> None:
        pushed = []

        def entries() -> Iterator[Entry]:
            for name in ("1", "2"):
                more = [entry(f"more {name}", key="more"), entry(name, priority=1)]
                pushed.append(frontier.frontier.push(more))
                yield entry(name, key=name)

        frontier.push([entry("x")])
        done = frontier.ack(taken(frontier).lease_id, entries(), [b"item"])
        assert done.added == [True, True]
        added = [frontier.wait(answer) for answer in pushed]
        assert added == [[True, True], [False, True]]
        assert frontier.waiting() == 5
        left = drained(frontier)
        assert left[:2] == ["2", "1"]  # those of the higher priority
        assert sorted(left) == ["1", "1", "2", "2", "more 1"]

    def test_a_request_that_is_released_has_its_old_place(self, frontier: Told) -> None:
        frontier.push([entry("1"), entry("2"), entry("3")])
        third, second = taken(frontier), taken(frontier)
        frontier.push([entry("4")])
        frontier.release(second.lease_id)
        frontier.release(third.lease_id)
        assert drained(frontier) == ["4", "3", "2", "1"]

    def test_a_start_request_that_is_released_has_its_old_place(
        self, frontier: Told
    ) -> None:
        frontier.push([entry(n, is_start=True) for n in ("1", "2")])
        first = taken(frontier)
        frontier.release(first.lease_id)
        assert drained(frontier) == ["1", "2"]

    def test_a_request_that_is_released_has_its_old_priority(
        self, frontier: Told
    ) -> None:
        frontier.push([entry("low"), entry("high", priority=1)])
        frontier.push([entry("other", group="b.example")])
        high = taken(frontier)
        frontier.release(high.lease_id)
        again = taken(frontier)
        assert (again.payload, again.queued_s) == (high.payload, high.queued_s)

    def test_releasing_what_is_not_leased_does_nothing(self, frontier: Told) -> None:
        frontier.push([entry("x"), entry("y")])
        lease = taken(frontier)
        frontier.release(lease.lease_id)
        frontier.release(lease.lease_id)
        frontier.release(UNKNOWN_LEASE_ID)
        assert (frontier.waiting(), frontier.leased()) == (2, 0)
        done = taken(frontier)
        frontier.ack(done.lease_id)
        frontier.release(done.lease_id)
        assert (frontier.waiting(), frontier.leased()) == (1, 0)

    def test_it_closes_with_requests_waiting_and_leased(self, clock: Clock) -> None:
        frontier = self.make(None, clock)
        frontier.push([entry("1"), entry("2")])
        taken(frontier)
        frontier.close()
        with pytest.raises(self.storage_error):
            frontier.push([entry("3")])
