"""How many requests may be in flight."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from concurcrawl.limits.limiter import NONE_AT_ALL, FetchResult, GroupLimits
from tests.contracts.frontier.making import FrontierTests, entry, taken, taken_if_any

if TYPE_CHECKING:
    from tests.contracts.frontier.clock import Clock
    from tests.contracts.frontier.told import Told


class LimitContract(FrontierTests):
    """Limits of groups and over all."""

    def test_what_is_leased_and_admitted_is_no_more_than_the_limit(
        self, limited: Told
    ) -> None:
        limited.push([entry(str(n)) for n in range(3)])
        first = taken(limited)
        assert limited.admit(first.group, first.lease_id) == 0
        assert taken(limited).payload == b"1"
        assert limited.acquire() is None

    def test_a_group_at_its_limit_stops_no_other(self, limited: Told) -> None:
        limited.push([entry("a", priority=9) for _ in range(3)])
        limited.push([entry("b", group="b.example")])
        groups = [lease and lease.group for lease in taken_if_any(limited, 4)]
        assert groups == ["a.example", "a.example", "b.example", None]

    def test_what_is_full_admits_when_something_leaves(self, limited: Told) -> None:
        group = "a.example"
        assert [limited.admit(group, None) for _ in range(3)] == [0, 0, math.inf]
        limited.leave(group, None, FetchResult())
        assert [limited.admit(group, None) for _ in range(2)] == [0, math.inf]

    def test_another_limit_counts_for_the_next_start(self, limited: Told) -> None:
        group = "a.example"
        assert [limited.admit(group, None) for _ in range(2)] == [0, 0]
        limited.change_limits(group, GroupLimits(in_flight=1))
        limited.leave(group, None, FetchResult())
        assert limited.admit(group, None) == math.inf
        limited.leave(group, None, FetchResult())
        assert limited.admit(group, None) == 0
        limited.change_limits(group, GroupLimits(in_flight=3))
        admitted = [limited.admit(group, None) for _ in range(3)]
        assert admitted == [0, 0, math.inf]

    def test_a_limit_may_let_none_start(self, frontier: Told) -> None:
        frontier.push([entry("1")])
        frontier.change_limits("a.example", GroupLimits(in_flight=NONE_AT_ALL))
        assert frontier.acquire() is None
        assert frontier.admit("a.example", None) == math.inf

    @pytest.mark.parametrize("how", ["ack", "release", "leave"])
    def test_who_starts_in_another_group_leaves_room_in_its_own(
        self, limited: Told, how: str
    ) -> None:
        # A middleware has chosen a slot after the request was leased.
        limited.push([entry(str(n)) for n in range(4)])
        first, _, none = taken_if_any(limited, 3)
        assert first is not None
        assert none is None
        assert limited.admit("b.example", first.lease_id) == 0
        assert [lease is None for lease in taken_if_any(limited, 2)] == [False, True]
        assert [limited.admit("b.example", None) for _ in range(2)] == [0, math.inf]
        if how == "leave":
            limited.leave("b.example", first.lease_id, FetchResult())
        else:
            getattr(limited, how)(first.lease_id)
        assert [limited.admit("b.example", None) for _ in range(2)] == [0, math.inf]
        assert limited.acquire() is None

    @pytest.mark.parametrize("how", ["ack", "release", "leave"])
    def test_what_is_gone_from_the_site_makes_room_for_one(
        self, limited: Told, how: str
    ) -> None:
        limited.push([entry(str(n)) for n in range(4)])
        first = taken(limited)
        limited.admit(first.group, first.lease_id)
        assert [lease is None for lease in taken_if_any(limited, 2)] == [False, True]
        match how:
            case "ack":
                limited.ack(first.lease_id)
            case "release":
                limited.release(first.lease_id)
            case "leave":
                limited.leave(first.group, first.lease_id, FetchResult(status=200))
        assert [lease is None for lease in taken_if_any(limited, 2)] == [False, True]

    def test_what_left_twice_makes_room_once(self, limited: Told) -> None:
        limited.push([entry(str(n)) for n in range(4)])
        first = taken(limited)
        limited.admit(first.group, first.lease_id)
        taken(limited)
        limited.leave(first.group, first.lease_id, FetchResult())
        limited.leave(first.group, first.lease_id, FetchResult())
        limited.ack(first.lease_id)
        assert [lease is None for lease in taken_if_any(limited, 2)] == [False, True]

    def test_what_left_without_being_admitted_makes_room(self, limited: Told) -> None:
        limited.push([entry(str(n)) for n in range(4)])
        first, _, none = taken_if_any(limited, 3)
        assert first is not None
        assert none is None
        for _ in range(2):
            limited.leave(first.group, first.lease_id, FetchResult())
        assert [lease is None for lease in taken_if_any(limited, 2)] == [False, True]

    def test_what_left_the_site_is_still_leased(self, limited: Told) -> None:
        limited.push([entry("x")])
        lease = taken(limited)
        limited.admit(lease.group, lease.lease_id)
        limited.leave(lease.group, lease.lease_id, FetchResult())
        assert (limited.waiting(), limited.leased()) == (0, 1)
        limited.release(lease.lease_id)
        assert (limited.waiting(), limited.leased()) == (1, 0)

    def test_a_request_whose_holder_is_gone_is_admitted_anew(
        self, clock: Clock
    ) -> None:
        frontier = self.make(GroupLimits(in_flight=1), clock)
        frontier.push([entry("1"), entry("2")])
        lease = taken(frontier)
        frontier.admit(lease.group, lease.lease_id)
        frontier.start_over(lease.lease_id)
        assert (frontier.waiting(), frontier.leased()) == (1, 1)
        assert frontier.acquire() is None
        assert frontier.admit(lease.group, lease.lease_id) == 0
        assert frontier.admit(lease.group, None) == math.inf
        frontier.close()

    def test_a_request_that_waits_again_is_not_begun_anew_for_a_holder_that_is_gone(
        self, limited: Told
    ) -> None:
        # A crawl that gives up gives all back, and then its workers end.
        limited.push([entry("1")])
        lease = taken(limited)
        limited.release(lease.lease_id)
        limited.start_over(lease.lease_id)
        assert (limited.waiting(), limited.leased()) == (1, 0)
        assert taken(limited).payload == lease.payload

    def test_nothing_is_leased_while_an_unleased_request_waits_for_the_total(
        self, clock: Clock
    ) -> None:
        frontier = self.make(None, clock, total=1)
        frontier.push([entry("x")])
        assert frontier.admit("a.example", None) == 0
        frontier.expect("b.example", 1)
        assert frontier.admit("b.example", None) == math.inf
        assert frontier.acquire() is None
        assert frontier.ready_in_s() is None
        frontier.expect("b.example", -1)
        assert taken(frontier).payload == b"x"
        frontier.close()

    def test_an_unleased_request_that_waits_for_its_site_holds_up_no_others(
        self, clock: Clock
    ) -> None:
        frontier = self.make(GroupLimits(in_flight=1), clock, total=2)
        frontier.push([entry("x")])
        assert frontier.admit("b.example", None) == 0
        frontier.expect("b.example", 1)
        assert frontier.admit("b.example", None) == math.inf
        assert taken(frontier).payload == b"x"
        frontier.close()

    def test_a_total_limit_counts_all_groups(self, clock: Clock) -> None:
        frontier = self.make(None, clock, total=2)
        frontier.push([entry("x")])
        lease = taken(frontier)
        assert frontier.admit(lease.group, lease.lease_id) == 0
        assert frontier.admit("b.example", None) == 0
        assert frontier.admit("c.example", None) == math.inf
        frontier.ack(lease.lease_id)
        assert frontier.admit("c.example", None) == 0
        frontier.leave("b.example", None, FetchResult())
        assert frontier.admit("b.example", None) == 0
        assert frontier.admit("b.example", None) == math.inf
        frontier.close()
