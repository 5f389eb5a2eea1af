from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.exceptions import ScrapyDeprecationWarning
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.test import get_crawler

from concurcrawl.compat.stats_collector import MergingStatsCollector
from concurcrawl.stats import StatKey, apply, note, plain

#: Way, key and value of one writing, as ``MergingStatsCollector.written`` is told them.
Writing = tuple[str, str, Any]

WAYS = ("inc", "max", "min", "set")

writings = st.lists(
    st.tuples(
        st.sampled_from(WAYS), st.sampled_from(["a", "b"]), st.integers(-9, 9)
    ).map(lambda writing: (writing[0], f"{writing[0]}/{writing[1]}", writing[2]))
)


def collector() -> MergingStatsCollector:
    return MergingStatsCollector(get_crawler())


def write(stats: MemoryStatsCollector, writing: Writing) -> None:
    how, key, value = writing
    match how:
        case "inc":
            stats.inc_value(key, value)
        case "max":
            stats.max_value(key, value)
        case "min":
            stats.min_value(key, value)
        case _:
            stats.set_value(key, value)


def noted(*of: Writing) -> dict[StatKey, Any]:
    changes: dict[StatKey, Any] = {}
    for how, key, value in of:
        note(changes, how, key, value)
    return changes


@pytest.mark.parametrize(
    ("how", "values", "kept"),
    [
        ("inc", [1, 5, 2], 8),
        ("max", [1, 5, 2], 5),
        ("min", [4, 1, 2], 1),
        ("set", [1, 5, 2], 2),
        ("set", ["x", None], None),
    ],
)
def test_writings_of_one_key_come_to_one(
    how: str, values: list[Any], kept: Any
) -> None:
    assert noted(*((how, "k", value) for value in values)) == {(how, "k"): kept}


def test_a_key_that_is_written_in_two_ways_is_noted_in_both() -> None:
    assert noted(("set", "k", 3), ("inc", "k", 1)) == {("set", "k"): 3, ("inc", "k"): 1}


def test_increments_of_two_processes_sum_up() -> None:
    stats = collector()
    stats.inc_value("k", 1)
    for _ in range(2):
        apply(noted(("inc", "k", 3)), stats)
    assert stats.get_value("k") == 7


def test_the_highest_and_lowest_of_all_processes_are_kept() -> None:
    stats = collector()
    for value in (3, 9, 5):
        apply(noted(("max", "most", value), ("min", "least", value)), stats)
    assert (stats.get_value("most"), stats.get_value("least")) == (9, 3)


def test_the_process_that_sets_last_prevails() -> None:
    stats = collector()
    for value in (3, 9, 5):
        apply(noted(("set", "k", value)), stats)
    assert stats.get_value("k") == 5


def test_each_writing_is_told_with_its_way() -> None:
    stats = collector()
    told: list[Writing] = []
    stats.written = lambda *writing: told.append(writing)
    stats.set_value("a", "x")
    stats.inc_value("b")
    stats.inc_value("b", 3, start=10)
    stats.max_value("c", 4)
    stats.min_value("d", 2)
    assert told == [
        ("set", "a", "x"),
        ("inc", "b", 1),
        ("start", "b", 10),
        ("inc", "b", 3),
        ("max", "c", 4),
        ("min", "d", 2),
    ]


def test_nothing_is_told_if_nobody_asks() -> None:
    stats = collector()
    stats.inc_value("k")
    assert stats.get_stats() == {"k": 1}


@pytest.mark.parametrize("how", WAYS)
def test_a_spider_may_be_named_as_older_components_do(how: str) -> None:
    stats = collector()
    with pytest.warns(ScrapyDeprecationWarning, match="'spider' argument"):
        getattr(stats, f"{how}_value")("k", 4, spider=None)
    assert stats.get_value("k") == 4


@given(of=writings)
def test_it_collects_what_scrapys_own_collector_collects(of: list[Writing]) -> None:
    ours, scrapys = collector(), MemoryStatsCollector(get_crawler())
    for writing in of:
        write(ours, writing)
        write(scrapys, writing)
    assert ours.get_stats() == scrapys.get_stats()


@given(of=st.lists(writings))
def test_batches_come_to_what_the_writings_come_to_one_by_one(
    of: list[list[Writing]],
) -> None:
    merged, direct = collector(), collector()
    for batch in of:
        apply(noted(*batch), merged)
        for writing in batch:
            write(direct, writing)
    assert merged.get_stats() == direct.get_stats()


@pytest.mark.parametrize(
    "value", [1, 2.5, "x", None, [1, ("a", {"b": {3}})], datetime.now(tz=UTC)]
)
def test_plain_values_travel_as_they_are(value: object) -> None:
    assert plain(value) is value


def test_an_object_travels_as_what_it_prints() -> None:
    found = plain({"spider": Path("x")})
    assert found == repr({"spider": Path("x")})
