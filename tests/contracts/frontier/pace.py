"""When requests may start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import PausedTooLongError
from concurcrawl.limits.limiter import LONGEST_WAY_S, FetchResult, GroupLimits
from tests.contracts.frontier.making import (
    FrontierTests,
    entry,
    started,
    taken,
    taken_if_any,
)

if TYPE_CHECKING:
    from tests.contracts.frontier.clock import Clock
    from tests.contracts.frontier.told import Told


class PaceContract(FrontierTests):
    """Delays, rates, pauses, and when to ask again."""

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
        assert delayed.admit(lease.group, lease.lease_id) == 0
        clock.now_s += 1
        assert delayed.admit(lease.group, None) == LONGEST_WAY_S - 1
        assert delayed.admit("b.example", None) == 0
        clock.now_s += LONGEST_WAY_S - 1
        assert delayed.admit(lease.group, None) == 10  # it may just have been sent

    @pytest.mark.parametrize("how", ["ack", "release", "leave", "start_over"])
    def test_what_has_ended_was_sent_by_then(
        self, how: str, delayed: Told, clock: Clock
    ) -> None:
        delayed.push([entry("1")])
        lease = taken(delayed)
        assert delayed.admit(lease.group, lease.lease_id) == 0
        clock.now_s += 5
        if how == "leave":
            delayed.leave(lease.group, lease.lease_id, FetchResult())
        else:
            getattr(delayed, how)(lease.lease_id)
        assert delayed.admit(lease.group, None) == 10

    def test_what_is_sent_once_more_counts_once_more(
        self, delayed: Told, clock: Clock
    ) -> None:
        assert started(delayed, "a.example") == 0
        clock.now_s += 8
        delayed.sent("a.example", None, 1)  # its connection was closed by the site
        assert delayed.admit("a.example", None) == 9

    def test_a_rate_counts_from_when_requests_were_sent(self, clock: Clock) -> None:
        frontier = self.make(GroupLimits(rate_per_s=0.5, burst=3), clock)
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
        frontier = self.make(GroupLimits(delay_s=1, jitter=0.5), clock)
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

    def test_a_longer_delay_counts_for_the_next_start(
        self, delayed: Told, clock: Clock
    ) -> None:
        assert started(delayed, "a.example") == 0
        clock.now_s += 4
        delayed.change_limits("a.example", GroupLimits(delay_s=25))
        assert delayed.admit("a.example", None) == 21
        assert started(delayed, "b.example") == 0
        assert delayed.admit("b.example", None) == 10

    def test_a_shorter_delay_counts_for_the_next_start(
        self, delayed: Told, clock: Clock
    ) -> None:
        assert started(delayed, "a.example") == 0
        clock.now_s += 1
        delayed.change_limits("a.example", GroupLimits(delay_s=3))
        assert delayed.admit("a.example", None) == 2
        delayed.change_limits("a.example", GroupLimits())
        assert [delayed.admit("a.example", None) for _ in range(2)] == [0, 0]

    def test_another_delay_counts_for_who_is_on_its_way(self, delayed: Told) -> None:
        assert delayed.admit("a.example", None) == 0
        delayed.change_limits("a.example", GroupLimits(delay_s=25))
        delayed.sent("a.example", None, 0)
        assert delayed.admit("a.example", None) == 25

    def test_a_delay_of_a_group_that_had_none_counts_from_its_last_start(
        self, frontier: Told, clock: Clock
    ) -> None:
        assert frontier.admit("a.example", None) == 0
        clock.now_s += 2
        frontier.change_limits("a.example", GroupLimits(delay_s=10))
        assert frontier.admit("a.example", None) == 8

    def test_a_delay_counts_from_now_where_nothing_is_known_of_the_last_start(
        self, frontier: Told, clock: Clock
    ) -> None:
        clock.now_s += 2
        frontier.change_limits("b.example", GroupLimits(delay_s=10), was_free=True)
        assert frontier.admit("b.example", None) == 0
        frontier.push([entry("1")])
        taken(frontier)
        frontier.change_limits("a.example", GroupLimits(delay_s=10), was_free=True)
        assert frontier.admit("a.example", None) == 10

    def test_other_limits_do_not_undo_what_a_site_asks_for(
        self, delayed: Told, clock: Clock
    ) -> None:
        delayed.slow_down("a.example", 25)
        delayed.admit("b.example", None)
        delayed.leave("b.example", None, FetchResult(status=429, retry_after_s=30))
        for group, wait_s in (("a.example", 25), ("b.example", 30)):
            delayed.change_limits(group, GroupLimits(delay_s=1))
            started(delayed, group)
            assert delayed.admit(group, None) == wait_s

    def test_what_waits_is_ready_when_it_would_be_leased(
        self, delayed: Told, clock: Clock
    ) -> None:
        assert not delayed.has_ready()
        delayed.push([entry("1"), entry("2")])
        assert delayed.has_ready()
        lease = taken(delayed)
        assert not delayed.has_ready()
        delayed.admit(lease.group, lease.lease_id)
        assert delayed.has_ready()

    def test_in_a_group_with_a_delay_one_request_is_on_its_way_at_a_time(
        self, delayed: Told
    ) -> None:
        delayed.push([entry("1"), entry("2")])
        lease = taken(delayed)
        assert delayed.acquire() is None
        delayed.admit(lease.group, lease.lease_id)
        assert taken(delayed).payload == b"1"

    def test_a_site_that_says_how_long_to_wait_is_left_alone_for_that_long(
        self, frontier: Told, clock: Clock
    ) -> None:
        frontier.push([entry("1"), entry("2"), entry("3", group="b.example")])
        lease = taken(frontier)
        frontier.admit(lease.group, lease.lease_id)
        refused = FetchResult(status=429, retry_after_s=30)
        frontier.leave(lease.group, lease.lease_id, refused)
        clock.now_s += 10
        assert frontier.admit(lease.group, None) == 20
        assert taken(frontier).group == "b.example"
        assert frontier.acquire() is None
        assert frontier.ready_in_s() == 20
        clock.now_s += 20
        assert taken(frontier).group == lease.group

    def test_a_site_that_wants_too_long_a_pause_is_an_error(self, clock: Clock) -> None:
        frontier = self.make(GroupLimits(max_pause_s=60), clock)
        frontier.push([entry("x")])
        frontier.admit("a.example", None)
        frontier.leave("a.example", None, FetchResult(status=503, retry_after_s=61))
        lease = taken(frontier)
        with pytest.raises(PausedTooLongError):
            frontier.admit(lease.group, lease.lease_id)
        frontier.close()

    def test_time_helps_nothing_if_nothing_waits(self, delayed: Told) -> None:
        assert delayed.ready_in_s() is None
        delayed.push([entry("1")])
        taken(delayed)
        assert delayed.ready_in_s() is None

    def test_time_does_not_help_a_group_at_its_limit(self, limited: Told) -> None:
        limited.push([entry(str(n)) for n in range(3)])
        taken_if_any(limited, 2)
        assert limited.ready_in_s() is None

    def test_what_may_start_now_is_ready_in_no_time(self, frontier: Told) -> None:
        frontier.push([entry("1")])
        assert frontier.ready_in_s() == 0
