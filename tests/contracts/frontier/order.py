"""Which requests wait, and which leaves next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contracts.frontier.making import FrontierTests, drained, entry, taken

if TYPE_CHECKING:
    from tests.contracts.frontier.clock import Clock
    from tests.contracts.frontier.told import Told


class OrderContract(FrontierTests):
    """Duplicates, and the order of the others."""

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
            frontier.ack(lease.lease_id)
        assert frontier.push([entry("x", key="k")]) == [False]
        assert frontier.waiting() == 0

    def test_a_request_without_a_key_is_never_a_duplicate(self, frontier: Told) -> None:
        assert frontier.push([entry("x"), entry("x")]) == [True, True]
        assert drained(frontier) == ["x", "x"]

    def test_an_empty_key_is_a_key(self, frontier: Told) -> None:
        assert frontier.push([entry("x", key=""), entry("y", key="")]) == [True, False]

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
