"""What a frontier keeps besides requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.frontier.base import Output
from tests.contracts.frontier.making import FrontierTests, entry, taken

if TYPE_CHECKING:
    from tests.contracts.frontier.told import Told


class ItemContract(FrontierTests):
    """Items and notes."""

    def test_items_of_an_ack_are_kept_in_order(self, frontier: Told) -> None:
        frontier.push([entry("x"), entry("y")])
        leases = taken(frontier), taken(frontier)
        first = frontier.ack(leases[1].lease_id, items=[b"1", b"2"]).items
        second = frontier.ack(leases[0].lease_id, items=[b"3"]).items
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

    def test_an_output_of_start_is_taken_as_often_as_it_was_pushed(
        self, frontier: Told
    ) -> None:
        once, twice = Output(b"what", 1), Output(b"what", 2)
        assert frontier.times_taken(b"what") == 0
        assert frontier.push([entry("x")], output=once) == [True]
        assert frontier.push([entry("again"), entry("x")], output=once) == [False] * 2
        assert frontier.push([entry("y")], {"a": "x"}, output=twice) == [True]
        assert frontier.push([entry("z")], {"a": "y"}, output=once) == [False]
        assert (frontier.times_taken(b"what"), frontier.waiting()) == (2, 2)
        assert frontier.notes() == {"a": "y"}

    def test_an_item_of_start_is_kept_once(self, frontier: Told) -> None:
        first = frontier.keep([b"1"], {}, Output(b"what", 1))
        assert frontier.keep([b"1"], {"a": "x"}, Output(b"what", 1)) == []
        second = frontier.keep([b"1"], {}, Output(b"what", 2))
        assert frontier.items() == [(first[0], b"1"), (second[0], b"1")]
        assert frontier.notes() == {"a": "x"}

    def test_a_note_replaces_the_one_of_its_name(self, frontier: Told) -> None:
        frontier.push([], {"a": "1", "b": "1"})
        frontier.keep([], {"b": "2", "c": "2"})
        frontier.deliver([], {"c": "3"})
        frontier.push([entry("x")])
        assert frontier.notes() == {"a": "1", "b": "2", "c": "3"}
