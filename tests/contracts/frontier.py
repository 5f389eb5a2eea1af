"""What every Frontier must do. Subclass it and say how to make one."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from concurcrawl.errors import LeaseLostError, PausedTooLongError
from concurcrawl.frontier.base import Completed, Entry, Lease
from concurcrawl.frontier.limits import LONGEST_WAY_S, Limits, Visit
from tests.contracts.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contracts.told import Told

UNKNOWN_TICKET = 1 << 40


def entry(
    payload: str,
    *,
    key: str | None = None,
    group: str = "a.example",
    priority: int = 0,
    is_start: bool = False,
) -> Entry:
    return Entry(
        key=None if key is None else key.encode(),
        group=group,
        priority=priority,
        is_start=is_start,
        payload=payload.encode(),
    )


def taken(frontier: Told) -> Lease:
    """Take one that must be there."""
    lease = frontier.take()
    assert lease is not None
    return lease


def drained(frontier: Told) -> list[str]:
    """Take and complete until nothing more may start; return the payloads."""
    payloads = []
    while (lease := frontier.take()) is not None:
        payloads.append(lease.payload.decode())
        frontier.complete(lease.ticket)
    return payloads


def started(frontier: Told, group: str) -> float:
    """Have a request admitted and sent; return how long that must wait."""
    wait_s = frontier.admit(group, None)
    if wait_s == 0:
        frontier.sent(group, None, 0)
    return wait_s


class FrontierContract(ABC):
    #: What :meth:`Frontier.push` raises for what it cannot store.
    storage_error: ClassVar[type[Exception]]

    @abstractmethod
    def make(
        self,
        limits: Limits | None,
        clock: Clock,
        *,
        total: int = 0,
        newest_first: bool = True,
    ) -> Told:
        """Return an empty one in which each group has *limits*."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def frontier(self, clock: Clock) -> Iterator[Told]:
        frontier = self.make(None, clock)
        yield frontier
        frontier.close()

    @pytest.fixture
    def limited(self, clock: Clock) -> Iterator[Told]:
        """At most two in flight in each group."""
        frontier = self.make(Limits(in_flight=2), clock)
        yield frontier
        frontier.close()

    @pytest.fixture
    def delayed(self, clock: Clock) -> Iterator[Told]:
        """Ten seconds between two starts in each group."""
        frontier = self.make(Limits(delay_s=10), clock)
        yield frontier
        frontier.close()

    # Duplicates -----------------------------------------------------------------

    def test_a_key_is_accepted_once(self, frontier: Told) -> None:
        assert frontier.push([entry("x", key="k")]) == [True]
        assert frontier.push([entry("y", key="k"), entry("z", key="l")]) == [
            False,
            True,
        ]
        assert drained(frontier) == ["z", "x"]

    def test_a_key_is_accepted_once_within_one_push(self, frontier: Told) -> None:
        twice = [entry("x", key="k"), entry("y", key="k")]
        assert frontier.push(twice) == [True, False]
        assert frontier.waiting() == 1

    @pytest.mark.parametrize("done", [False, True])
    def test_a_key_is_a_duplicate_also_when_its_request_has_left(
        self, frontier: Told, done: bool
    ) -> None:
        frontier.push([entry("x", key="k")])
        lease = taken(frontier)
        if done:
            frontier.complete(lease.ticket)
        assert frontier.push([entry("x", key="k")]) == [False]
        assert frontier.waiting() == 0

    def test_a_request_without_a_key_is_never_a_duplicate(self, frontier: Told) -> None:
        assert frontier.push([entry("x"), entry("x")]) == [True, True]
        assert drained(frontier) == ["x", "x"]

    def test_an_empty_key_is_a_key(self, frontier: Told) -> None:
        assert frontier.push([entry("x", key=""), entry("y", key="")]) == [True, False]

    # Order ----------------------------------------------------------------------

    def test_the_newest_leaves_first(self, frontier: Told) -> None:
        frontier.push([entry("1"), entry("2")])
        frontier.push([entry("3")])
        assert drained(frontier) == ["3", "2", "1"]

    def test_the_oldest_leaves_first_if_that_is_asked_for(self, clock: Clock) -> None:
        frontier = self.make(None, clock, newest_first=False)
        frontier.push([entry("1"), entry("2")])
        frontier.push([entry("3")])
        assert drained(frontier) == ["1", "2", "3"]
        frontier.close()

    def test_the_highest_priority_leaves_first(self, frontier: Told) -> None:
        frontier.push([entry("low", priority=-1), entry("high", priority=7)])
        frontier.push([entry("middle")])
        assert drained(frontier) == ["high", "middle", "low"]

    def test_start_requests_leave_after_the_others_of_their_priority_oldest_first(
        self, frontier: Told
    ) -> None:
        frontier.push([entry("start 1", is_start=True), entry("found 1")])
        frontier.push([entry("start 2", is_start=True), entry("found 2")])
        frontier.push([entry("urgent start", is_start=True, priority=1)])
        assert drained(frontier) == [
            "urgent start",
            "found 2",
            "found 1",
            "start 1",
            "start 2",
        ]

    def test_the_highest_priority_of_all_groups_leaves_first(
        self, frontier: Told
    ) -> None:
        frontier.push([entry("a"), entry("b", group="b.example", priority=1)])
        frontier.push([entry("c", group="c.example", priority=-1)])
        assert drained(frontier) == ["b", "a", "c"]

    def test_the_group_with_the_fewest_in_flight_is_served(
        self, frontier: Told
    ) -> None:
        frontier.push([entry("a") for _ in range(3)])
        first = [taken(frontier).group for _ in range(2)]
        frontier.push([entry("b", group="b.example") for _ in range(3)])
        then = [taken(frontier).group for _ in range(3)]
        assert first == ["a.example"] * 2
        assert then[:2] == ["b.example"] * 2

    def test_groups_take_turns_when_one_request_is_in_flight_at_a_time(
        self, frontier: Told
    ) -> None:
        for group in ("a", "b", "c"):
            frontier.push([entry(group, group=group) for _ in range(3)])
        order = drained(frontier)
        rounds = [order[n : n + 3] for n in (0, 3, 6)]
        assert [sorted(turn) for turn in rounds] == [["a", "b", "c"]] * 3

    # Leases ---------------------------------------------------------------------

    def test_a_lease_says_what_was_pushed_and_when(self, frontier: Told) -> None:
        before_s = time.time()
        frontier.push([entry("x\0\n", group="b.example")])
        after_s = time.time()
        lease = taken(frontier)
        assert (lease.group, lease.payload) == ("b.example", b"x\0\n")
        assert before_s <= lease.queued_s <= after_s

    def test_an_empty_frontier_lends_nothing(self, frontier: Told) -> None:
        assert frontier.take() is None
        assert (frontier.waiting(), frontier.lent()) == (0, 0)

    def test_a_ticket_is_unique(self, frontier: Told) -> None:
        tickets = []
        for _ in range(10):
            frontier.push([entry("x")])
            lease = taken(frontier)
            tickets.append(lease.ticket)
            frontier.complete(lease.ticket)
        assert len(set(tickets)) == 10

    def test_waiting_and_lent_count_what_waits_and_is_lent(
        self, frontier: Told
    ) -> None:
        counts = []

        def count() -> None:
            counts.append((frontier.waiting(), frontier.lent()))

        frontier.push([entry("x", key="k"), entry("y"), entry("z", key="k")])
        count()
        first = taken(frontier)
        count()
        second = taken(frontier)
        count()
        frontier.give_back(first.ticket)
        count()
        frontier.complete(second.ticket, [entry("x", key="k"), entry("new")])
        count()
        assert counts == [(2, 0), (1, 1), (0, 2), (1, 1), (2, 0)]

    def test_a_completion_pushes_what_came_of_the_request(self, frontier: Told) -> None:
        frontier.push([entry("x", key="k")])
        lease = taken(frontier)
        came = [entry("y", key="l"), entry("x", key="k"), entry("y", key="l")]
        done = frontier.complete(lease.ticket, came)
        assert done == Completed([True, False, False], [])
        assert drained(frontier) == ["y"]

    def test_a_completion_of_nothing_returns_nothing(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        assert frontier.complete(taken(frontier).ticket) == Completed([], [])

    def test_a_ticket_that_was_never_lent_completes_nothing(
        self, frontier: Told
    ) -> None:
        with pytest.raises(LeaseLostError):
            frontier.complete(UNKNOWN_TICKET, [entry("y", key="l")], [b"item"])
        assert (frontier.waiting(), frontier.items()) == (0, [])
        assert frontier.push([entry("y", key="l")]) == [True]

    def test_a_lease_is_completed_once(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        lease = taken(frontier)
        frontier.complete(lease.ticket)
        with pytest.raises(LeaseLostError):
            frontier.complete(lease.ticket, [entry("y")])
        assert frontier.waiting() == 0

    def test_a_lease_that_was_given_back_is_not_completed(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        lease = taken(frontier)
        frontier.give_back(lease.ticket)
        with pytest.raises(LeaseLostError):
            frontier.complete(lease.ticket, [entry("y")])
        assert drained(frontier) == ["x"]

    def test_a_push_happens_whole_or_not_at_all(self, frontier: Told) -> None:
        with pytest.raises(self.storage_error):
            frontier.push([entry("x", key="k"), self._unstorable()], {"a": "1"})
        assert (frontier.waiting(), frontier.notes()) == (0, {})
        assert frontier.take() is None
        assert frontier.push([entry("x", key="k")]) == [True]
        assert drained(frontier) == ["x"]

    def test_a_completion_happens_whole_or_not_at_all(self, frontier: Told) -> None:
        frontier.push([entry("x")])
        lease = taken(frontier)
        with pytest.raises(self.storage_error):
            frontier.complete(
                lease.ticket, [entry("y", key="k"), self._unstorable()], [b"item"]
            )
        assert (frontier.waiting(), frontier.lent()) == (0, 1)
        assert frontier.items() == []
        done = frontier.complete(lease.ticket, [entry("y", key="k")])
        assert done.added == [True]
        assert drained(frontier) == ["y"]

    # Items and notes ------------------------------------------------------------

    def test_items_of_a_completion_are_kept_in_order(self, frontier: Told) -> None:
        frontier.push([entry("x"), entry("y")])
        leases = taken(frontier), taken(frontier)
        first = frontier.complete(leases[1].ticket, items=[b"1", b"2"]).items
        second = frontier.complete(leases[0].ticket, items=[b"3"]).items
        payloads = [b"1", b"2", b"3"]
        assert frontier.items() == list(zip(first + second, payloads, strict=True))

    def test_items_that_came_of_no_request_are_kept_too(self, frontier: Told) -> None:
        numbers = frontier.keep([b"1", b"1"], {"a": "x"})
        assert frontier.items() == [(numbers[0], b"1"), (numbers[1], b"1")]
        assert len(set(numbers)) == 2
        assert frontier.notes() == {"a": "x"}

    def test_delivered_items_are_kept_no_longer(self, frontier: Told) -> None:
        first, second, third = frontier.keep([b"1", b"2", b"3"], {})
        frontier.deliver([third, first], {"a": "x"})
        frontier.deliver([first, 1 << 40], {})
        assert frontier.items() == [(second, b"2")]
        assert frontier.notes() == {"a": "x"}

    def test_a_note_replaces_the_one_of_its_name(self, frontier: Told) -> None:
        frontier.push([], {"a": "1", "b": "1"})
        frontier.keep([], {"b": "2", "c": "2"})
        frontier.deliver([], {"c": "3"})
        frontier.push([entry("x")])
        assert frontier.notes() == {"a": "1", "b": "2", "c": "3"}

    # Giving back ----------------------------------------------------------------

    def test_a_request_that_is_given_back_has_its_old_place(
        self, frontier: Told
    ) -> None:
        frontier.push([entry("1"), entry("2"), entry("3")])
        third, second = taken(frontier), taken(frontier)
        frontier.push([entry("4")])
        frontier.give_back(second.ticket)
        frontier.give_back(third.ticket)
        assert drained(frontier) == ["4", "3", "2", "1"]

    def test_a_start_request_that_is_given_back_has_its_old_place(
        self, frontier: Told
    ) -> None:
        frontier.push([entry(n, is_start=True) for n in ("1", "2")])
        first = taken(frontier)
        frontier.give_back(first.ticket)
        assert drained(frontier) == ["1", "2"]

    def test_a_request_that_is_given_back_has_its_old_priority(
        self, frontier: Told
    ) -> None:
        frontier.push([entry("low"), entry("high", priority=1)])
        frontier.push([entry("other", group="b.example")])
        high = taken(frontier)
        frontier.give_back(high.ticket)
        again = taken(frontier)
        assert (again.payload, again.queued_s) == (high.payload, high.queued_s)

    def test_giving_back_what_is_not_lent_does_nothing(self, frontier: Told) -> None:
        frontier.push([entry("x"), entry("y")])
        lease = taken(frontier)
        frontier.give_back(lease.ticket)
        frontier.give_back(lease.ticket)
        frontier.give_back(UNKNOWN_TICKET)
        assert (frontier.waiting(), frontier.lent()) == (2, 0)
        done = taken(frontier)
        frontier.complete(done.ticket)
        frontier.give_back(done.ticket)
        assert (frontier.waiting(), frontier.lent()) == (1, 0)

    # Limits ---------------------------------------------------------------------

    def test_what_is_lent_and_admitted_is_no_more_than_the_limit(
        self, limited: Told
    ) -> None:
        limited.push([entry(str(n)) for n in range(3)])
        first = taken(limited)
        assert limited.admit(first.group, first.ticket) == 0
        assert taken(limited).payload == b"1"
        assert limited.take() is None

    def test_a_group_at_its_limit_stops_no_other(self, limited: Told) -> None:
        limited.push([entry("a", priority=9) for _ in range(3)])
        limited.push([entry("b", group="b.example")])
        groups = [lease and lease.group for lease in self._take(limited, 4)]
        assert groups == ["a.example", "a.example", "b.example", None]

    def test_what_is_full_admits_when_something_leaves(self, limited: Told) -> None:
        group = "a.example"
        assert [limited.admit(group, None) for _ in range(3)] == [0, 0, math.inf]
        limited.leave(group, None, Visit())
        assert [limited.admit(group, None) for _ in range(2)] == [0, math.inf]

    @pytest.mark.parametrize("how", ["complete", "give_back", "leave"])
    def test_what_is_gone_from_the_site_makes_room_for_one(
        self, limited: Told, how: str
    ) -> None:
        limited.push([entry(str(n)) for n in range(4)])
        first = taken(limited)
        limited.admit(first.group, first.ticket)
        assert [lease is None for lease in self._take(limited, 2)] == [False, True]
        match how:
            case "complete":
                limited.complete(first.ticket)
            case "give_back":
                limited.give_back(first.ticket)
            case "leave":
                limited.leave(first.group, first.ticket, Visit(status=200))
        assert [lease is None for lease in self._take(limited, 2)] == [False, True]

    def test_what_left_twice_makes_room_once(self, limited: Told) -> None:
        limited.push([entry(str(n)) for n in range(4)])
        first = taken(limited)
        limited.admit(first.group, first.ticket)
        taken(limited)
        limited.leave(first.group, first.ticket, Visit())
        limited.leave(first.group, first.ticket, Visit())
        limited.complete(first.ticket)
        assert [lease is None for lease in self._take(limited, 2)] == [False, True]

    def test_what_left_without_being_admitted_makes_room(self, limited: Told) -> None:
        limited.push([entry(str(n)) for n in range(4)])
        first, _, none = self._take(limited, 3)
        assert first is not None
        assert none is None
        for _ in range(2):
            limited.leave(first.group, first.ticket, Visit())
        assert [lease is None for lease in self._take(limited, 2)] == [False, True]

    def test_what_left_the_site_is_still_lent(self, limited: Told) -> None:
        limited.push([entry("x")])
        lease = taken(limited)
        limited.admit(lease.group, lease.ticket)
        limited.leave(lease.group, lease.ticket, Visit())
        assert (limited.waiting(), limited.lent()) == (0, 1)
        limited.give_back(lease.ticket)
        assert (limited.waiting(), limited.lent()) == (1, 0)

    def test_a_request_whose_holder_is_gone_is_admitted_anew(
        self, clock: Clock
    ) -> None:
        frontier = self.make(Limits(in_flight=1), clock)
        frontier.push([entry("1"), entry("2")])
        lease = taken(frontier)
        frontier.admit(lease.group, lease.ticket)
        frontier.start_over(lease.ticket)
        assert (frontier.waiting(), frontier.lent()) == (1, 1)
        assert frontier.take() is None
        assert frontier.admit(lease.group, lease.ticket) == 0
        assert frontier.admit(lease.group, None) == math.inf
        frontier.close()

    def test_nothing_is_lent_while_a_request_without_a_ticket_waits(
        self, frontier: Told
    ) -> None:
        frontier.push([entry("x")])
        frontier.expect(1)
        assert frontier.take() is None
        assert frontier.ready_in_s() is None
        frontier.expect(-1)
        assert taken(frontier).payload == b"x"

    def test_a_total_limit_counts_all_groups(self, clock: Clock) -> None:
        frontier = self.make(None, clock, total=2)
        frontier.push([entry("x")])
        lease = taken(frontier)
        assert frontier.admit(lease.group, lease.ticket) == 0
        assert frontier.admit("b.example", None) == 0
        assert frontier.admit("c.example", None) == math.inf
        frontier.complete(lease.ticket)
        assert frontier.admit("c.example", None) == 0
        frontier.leave("b.example", None, Visit())
        assert frontier.admit("b.example", None) == 0
        assert frontier.admit("b.example", None) == math.inf
        frontier.close()

    def test_an_errand_takes_the_place_of_the_request_that_waits_for_it(
        self, clock: Clock
    ) -> None:
        frontier = self.make(Limits(in_flight=1), clock, total=1)
        assert frontier.admit("a.example", None) == 0
        assert frontier.admit("b.example", None, is_errand=True) == 0
        assert frontier.admit("b.example", None, is_errand=True) == math.inf
        frontier.close()

    # Time -----------------------------------------------------------------------

    def test_two_starts_in_a_group_are_a_delay_apart(
        self, delayed: Told, clock: Clock
    ) -> None:
        waits_s = [started(delayed, "a.example")]
        clock.now_s += 4
        waits_s.append(started(delayed, "a.example"))
        clock.now_s += 6
        waits_s.append(started(delayed, "a.example"))
        assert waits_s == [0, 6, 0]

    def test_a_delay_counts_from_when_a_request_was_sent(
        self, delayed: Told, clock: Clock
    ) -> None:
        assert delayed.admit("a.example", None) == 0
        clock.now_s += 5
        delayed.sent("a.example", None, 2)
        assert delayed.admit("a.example", None) == 8

    def test_until_a_request_was_sent_the_next_in_its_group_waits(
        self, delayed: Told, clock: Clock
    ) -> None:
        delayed.push([entry("1")])
        lease = taken(delayed)
        assert delayed.admit(lease.group, lease.ticket) == 0
        clock.now_s += 1
        assert delayed.admit(lease.group, None) == LONGEST_WAY_S - 1
        assert delayed.admit("b.example", None) == 0
        clock.now_s += LONGEST_WAY_S - 1
        assert delayed.admit(lease.group, None) == 10  # it may just have been sent

    @pytest.mark.parametrize("how", ["complete", "give_back", "leave", "start_over"])
    def test_what_has_ended_was_sent_by_then(
        self, how: str, delayed: Told, clock: Clock
    ) -> None:
        delayed.push([entry("1")])
        lease = taken(delayed)
        assert delayed.admit(lease.group, lease.ticket) == 0
        clock.now_s += 5
        if how == "leave":
            delayed.leave(lease.group, lease.ticket, Visit())
        else:
            getattr(delayed, how)(lease.ticket)
        assert delayed.admit(lease.group, None) == 10

    def test_what_is_sent_once_more_counts_once_more(
        self, delayed: Told, clock: Clock
    ) -> None:
        assert started(delayed, "a.example") == 0
        clock.now_s += 8
        delayed.sent("a.example", None, 1)  # its connection was closed by the site
        assert delayed.admit("a.example", None) == 9

    def test_a_rate_counts_from_when_requests_were_sent(self, clock: Clock) -> None:
        frontier = self.make(Limits(rate_per_s=0.5, burst=3), clock)
        group = "a.example"
        assert [frontier.admit(group, None) for _ in range(3)] == [0, 0, 0]
        assert frontier.admit(group, None) == LONGEST_WAY_S
        clock.now_s += 3
        for _ in range(3):
            frontier.sent(group, None, 1)
        assert frontier.admit(group, None) == 1
        clock.now_s += 1
        assert frontier.admit(group, None) == 0
        assert frontier.admit(group, None) == 2
        frontier.close()

    def test_a_delay_that_a_site_asks_for_is_the_least(self, clock: Clock) -> None:
        frontier = self.make(Limits(delay_s=1, jitter=0.5), clock)
        frontier.slow_down("a.example", 10)
        for _ in range(20):
            assert started(frontier, "a.example") == 0
            assert frontier.admit("a.example", None) >= 10
            clock.now_s += 20
        frontier.close()

    def test_a_delay_that_a_site_asks_for_counts_for_who_is_on_its_way(
        self, delayed: Told
    ) -> None:
        assert delayed.admit("a.example", None) == 0
        delayed.slow_down("a.example", 25)
        delayed.sent("a.example", None, 0)
        assert delayed.admit("a.example", None) == 25

    def test_a_delay_of_a_group_stops_no_other(self, delayed: Told) -> None:
        assert started(delayed, "a.example") == 0
        assert delayed.admit("a.example", None) == 10
        assert delayed.admit("b.example", None) == 0

    def test_a_group_can_be_slowed_down_and_not_sped_up(self, delayed: Told) -> None:
        for group, asked_s, kept_s in (("a", 25, 25), ("b", 1, 10)):
            delayed.slow_down(group, asked_s)
            assert started(delayed, group) == 0
            assert delayed.admit(group, None) == kept_s

    def test_in_a_group_with_a_delay_one_request_is_on_its_way_at_a_time(
        self, delayed: Told
    ) -> None:
        delayed.push([entry("1"), entry("2")])
        lease = taken(delayed)
        assert delayed.take() is None
        delayed.admit(lease.group, lease.ticket)
        assert taken(delayed).payload == b"1"

    def test_a_site_that_says_how_long_to_wait_is_left_alone_for_that_long(
        self, frontier: Told, clock: Clock
    ) -> None:
        frontier.push([entry("1"), entry("2"), entry("3", group="b.example")])
        lease = taken(frontier)
        frontier.admit(lease.group, lease.ticket)
        refused = Visit(status=429, retry_after_s=30)
        frontier.leave(lease.group, lease.ticket, refused)
        clock.now_s += 10
        assert frontier.admit(lease.group, None) == 20
        assert taken(frontier).group == "b.example"
        assert frontier.take() is None
        assert frontier.ready_in_s() == 20
        clock.now_s += 20
        assert taken(frontier).group == lease.group

    def test_a_site_that_wants_too_long_a_pause_is_an_error(self, clock: Clock) -> None:
        frontier = self.make(Limits(max_pause_s=60), clock)
        frontier.push([entry("x")])
        frontier.admit("a.example", None)
        frontier.leave("a.example", None, Visit(status=503, retry_after_s=61))
        lease = taken(frontier)
        with pytest.raises(PausedTooLongError):
            frontier.admit(lease.group, lease.ticket)
        frontier.close()

    # When to ask again ----------------------------------------------------------

    def test_time_helps_nothing_if_nothing_waits(self, delayed: Told) -> None:
        assert delayed.ready_in_s() is None
        delayed.push([entry("1")])
        taken(delayed)
        assert delayed.ready_in_s() is None

    def test_time_does_not_help_a_group_at_its_limit(self, limited: Told) -> None:
        limited.push([entry(str(n)) for n in range(3)])
        self._take(limited, 2)
        assert limited.ready_in_s() is None

    def test_what_may_start_now_is_ready_in_no_time(self, frontier: Told) -> None:
        frontier.push([entry("1")])
        assert frontier.ready_in_s() == 0

    # The end --------------------------------------------------------------------

    def test_it_closes_with_requests_waiting_and_lent(self, clock: Clock) -> None:
        frontier = self.make(None, clock)
        frontier.push([entry("1"), entry("2")])
        taken(frontier)
        frontier.close()
        with pytest.raises(self.storage_error):
            frontier.push([entry("3")])

    def _take(self, frontier: Told, count: int) -> list[Lease | None]:
        return [frontier.take() for _ in range(count)]

    def _unstorable(self) -> Entry:
        payload: Any = object()
        return Entry(None, "a.example", 0, is_start=False, payload=payload)
