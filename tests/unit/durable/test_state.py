"""What several processes write into a spider's state, merged."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurcrawl.durable.kept_state import KeptState
from concurcrawl.durable.state import Tracker, read_file, write_file
from concurcrawl.frontier.sqlite import SqliteFrontier

if TYPE_CHECKING:
    from pathlib import Path


class Copies:
    """A state in two processes that hear of each other's changes at last."""

    def __init__(self, **begin: Any) -> None:
        self.said: list[list[bytes]] = [[], []]
        self.trackers = [Tracker(said.append) for said in self.said]
        for tracker in self.trackers:
            tracker.replace(pickle.loads(pickle.dumps(begin)))
        self.one, self.two = (tracker.live for tracker in self.trackers)

    def merged(self) -> dict[str, Any]:
        for tracker in self.trackers:
            tracker.collect()
        first, second = map(list, self.said)
        self.trackers[1].apply(first)
        self.trackers[0].apply(second)
        for tracker in self.trackers:
            tracker.collect()
        assert [len(first), len(second)] == [len(said) for said in self.said]
        return dict(self.one)


def test_numbers_add_up() -> None:
    copies = Copies(n=10, money=Decimal(1))
    copies.one["n"] += 1
    copies.two["n"] += 2
    copies.two["new"] = 1.5
    copies.one["new"] = 1
    copies.one["money"] += Decimal("0.1")
    found = copies.merged()
    assert found == {"n": 13, "new": 2.5, "money": Decimal("1.1")}
    assert copies.two == found


@pytest.mark.parametrize("number", [1, 0.5, Decimal("0.5")])
def test_numbers_add_up_whichever_change_is_committed_first(number: Any) -> None:
    changes: list[bytes] = []
    here, there = Tracker(changes.append), Tracker(lambda _: None)
    for _ in range(2):
        here.live["n"] = here.live.get("n", 0) + number
        here.live.setdefault("kinds", {})
        here.live["kinds"]["a"] = here.live["kinds"].get("a", 0) + number
        here.collect()
    there.apply(reversed(changes))
    assert there.live == {"n": 2 * number, "kinds": {"a": 2 * number}}


def test_a_float_that_one_process_writes_is_the_very_same() -> None:
    copies = Copies(at=0.1)
    copies.one["at"] = 0.3
    copies.one["at"] = 1e9 + 0.1
    assert copies.merged() == copies.two == {"at": 1e9 + 0.1}


def test_sets_dicts_and_lists_are_merged_by_what_was_changed_in_them() -> None:
    copies = Copies(seen={1, 2}, by={"a": 1, "b": {"c": [1]}}, log=["x"])
    copies.one["seen"].add(3)
    copies.two["seen"].discard(1)
    copies.one["by"]["a"] += 1
    copies.two["by"]["a"] += 1
    copies.two["by"]["b"]["c"].append(2)
    copies.one["by"]["b"]["d"] = "new"
    copies.one["log"].append("y")
    found = copies.merged()
    assert found["seen"] == {2, 3}
    assert found["by"] == {"a": 3, "b": {"c": [1, 2], "d": "new"}}
    assert found["log"] == ["x", "y"]
    assert copies.two == found


def test_kinds_of_dicts_stay_what_they_are() -> None:
    copies = Copies()
    copies.one["count"] = Counter(a=1)
    copies.two["count"] = Counter(a=2, b=1)
    copies.one["lists"] = defaultdict(list, a=[1])
    found = copies.merged()
    assert found["count"] == Counter(a=3, b=1)
    assert copies.two["lists"]["more"] == []
    assert type(copies.two["count"]) is Counter


@pytest.mark.parametrize("value", ["text", (1, 2), True, None, b"bytes", [3, 1]])
def test_anything_else_is_replaced_and_can_go(value: Any) -> None:
    copies = Copies(a=[1, 2, 3], gone=1)
    copies.one["a"] = value
    del copies.one["gone"]
    assert copies.merged() == copies.two == {"a": value}


def test_each_way_to_write_is_noticed_at_once() -> None:
    said: list[bytes] = []
    live = Tracker(said.append).live
    live.update(a="1", b="2")
    live |= {"c": "3"}
    live.setdefault("d", "4")
    live.pop("a")
    del live["b"]
    live.popitem()
    live.clear()
    changes = [pickle.loads(one) for one in said]
    assert [key for key, _ in changes] == [*"abcd", *"abd", "c"]


def test_what_cannot_be_pickled_is_named_once() -> None:
    said: list[bytes] = []
    tracker = Tracker(said.append)
    for _ in range(3):
        tracker.live["bad"] = lambda: None
        tracker.collect()
    ((name, change),) = map(pickle.loads, said)
    assert (name, change[0]) == ("'bad'", "refused")


def test_a_state_that_is_replaced_by_another_dict_is_tracked_too() -> None:
    said: list[bytes] = []
    tracker = Tracker(said.append)
    tracker.replace({"a": 1, "b": "x"})
    live = tracker.adopt({"a": 2})
    live["c"] = 1
    assert live == {"a": 2, "c": 1}
    assert [pickle.loads(one)[0] for one in said] == ["a", "b", "c"]


def test_an_unused_state_costs_no_look() -> None:
    tracker = Tracker(lambda _: pytest.fail("nothing was written"))
    tracker._change_of = None  # type: ignore[method-assign,assignment]
    tracker.collect()


_values = st.recursive(
    st.integers(-5, 5) | st.sets(st.integers(0, 5)) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner)
    ),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from("abc"), _values),
    st.dictionaries(st.sampled_from("abc"), _values),
)
def test_any_change_of_one_process_arrives_at_the_others(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    copies = Copies(**before)
    copies.one.clear()
    copies.one.update(after)
    assert copies.merged() == copies.two == after


class _Spider:
    state: Any


def test_it_is_kept_by_change_and_folded_when_that_is_much(tmp_path: Path) -> None:
    path, file = str(tmp_path / "frontier"), str(tmp_path / "spider.state")
    frontier, spider = SqliteFrontier(path=path), _Spider()
    kept = KeptState(spider, frontier, file)
    kept.load()
    for number in range(300):
        url = f"http://a.example/{number:0500}"
        spider.state.setdefault("seen", set()).add(url)
        kept.save()
    assert len(frontier.state.rows()) < 300
    frontier.close()  # as if killed
    again = _Spider()
    with closing(SqliteFrontier(path=path)) as frontier:
        KeptState(again, frontier, file).load()
    assert again.state == spider.state
    assert len(again.state["seen"]) == 300


def test_workers_that_write_at_the_same_time_end_with_the_same(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spider = _Spider()
    frontier = SqliteFrontier()
    request.addfinalizer(frontier.close)
    said: dict[str, list[bytes]] = {"one": [], "two": []}
    workers = {name: Tracker(changes.append) for name, changes in said.items()}

    def tell(changes: Any, but: str) -> None:
        for name, worker in workers.items():
            if name != but:
                told.append((worker, changes))

    told: list[tuple[Tracker, Any]] = []
    kept = KeptState(spider, frontier, str(tmp_path / "spider.state"), tell)
    kept.load()
    workers["one"].live["at"] = "one"
    workers["two"].live["at"] = "two"
    for name in workers:
        kept.merge(said[name], name)
    for worker, changes in told:
        worker.apply(changes)
    assert spider.state == {"at": "two"}
    assert [worker.live for worker in workers.values()] == [{"at": "two"}] * 2


def test_a_file_is_written_as_scrapy_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "spider.state"
    tracker = Tracker(lambda _: None)
    tracker.live["a"] = 1
    write_file(str(path), tracker.live)
    assert b"concurcrawl" not in path.read_bytes()
    assert read_file(str(path)) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_file(str(tmp_path / "none")) == {}
