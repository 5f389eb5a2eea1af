"""The tables of items that feeds must have again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from concurcrawl.frontier.base import at_once
from concurcrawl.frontier.exports import Changes
from concurcrawl.frontier.sqlite import SqliteFrontier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[SqliteFrontier]:
    opened = SqliteFrontier(path=str(tmp_path / "frontier"))
    yield opened
    opened.close()


def rows(frontier: SqliteFrontier, feed: str) -> list[tuple[int, bytes]]:
    return [*frontier.exports.rows(feed)]


def test_items_of_each_feed_come_back_in_their_order(frontier: SqliteFrontier) -> None:
    added = [(n, "ab"[n % 2], str(n).encode()) for n in range(1, 1000)]
    frontier.deliver([], {}, Changes(rows=added))
    assert [n for n, _ in rows(frontier, "a")] == [*range(2, 1000, 2)]
    assert rows(frontier, "b")[-1] == (999, b"999")
    assert frontier.exports.last() == 999


def test_what_a_complete_file_has_is_let_go(frontier: SqliteFrontier) -> None:
    added = [(n, "ab"[n % 2], b"") for n in range(1, 9)]
    frontier.deliver([], {}, Changes(rows=added))
    frontier.deliver([], {}, Changes(done=[("a", 2, 5)]))
    assert [n for n, _ in rows(frontier, "a")] == [6, 8]
    assert [n for n, _ in rows(frontier, "b")] == [1, 3, 5, 7]


def test_an_item_moves_from_the_frontier_to_a_feed_in_one_step(
    frontier: SqliteFrontier,
) -> None:
    (number,) = at_once(frontier.keep([b"item"], {}))
    frontier.deliver([], {}, Changes(rows=[(1, "a", b"taken")]))
    with pytest.raises(Exception, match="UNIQUE"):
        frontier.deliver([number], {}, Changes(rows=[(1, "a", b"again")]))
    assert at_once(frontier.items()) == [(number, b"item")]
    assert rows(frontier, "a") == [(1, b"taken")]


def test_a_state_replaces_the_one_before_and_all_can_be_cleared(
    frontier: SqliteFrontier,
) -> None:
    frontier.deliver([], {}, Changes(states={"a": "1", "b": "1"}))
    frontier.deliver([], {}, Changes(rows=[(1, "a", b"")], states={"a": "2"}))
    assert frontier.exports.states() == {"a": "2", "b": "1"}
    frontier.deliver([], {"note": "stays"}, Changes(clears=True))
    assert (frontier.exports.states(), rows(frontier, "a")) == ({}, [])
