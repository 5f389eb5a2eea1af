"""A duplicate filter of the project's own, killed between its note and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request
from scrapy.dupefilters import BaseDupeFilter, RFPDupeFilter

from concurcrawl.durable.own_filter import DurableFilter, cut_back
from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class _Kept(RFPDupeFilter):
    """Scrapy's own, as a subclass has it."""


class _Lines(BaseDupeFilter):
    def __init__(self, folder: str) -> None:
        from pathlib import Path

        self.path = Path(folder) / "lines"
        self.path.touch()

    def request_seen(self, request: Request) -> bool:
        if request.url in self.path.read_text().split():
            return True
        with self.path.open("a") as file:
            file.write(f"{request.url}\n")
        return False


Life = tuple[SqliteFrontier, DurableFilter]


@pytest.fixture(params=[_Kept, _Lines])
def live(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], Life]]:
    """Begin another life of a crawl in the same folder."""
    filters: list[BaseDupeFilter] = []
    frontiers: list[SqliteFrontier] = []

    def begin() -> Life:
        frontier = SqliteFrontier(path=str(tmp_path / "frontier"))
        frontiers.append(frontier)
        cut_back(frontier.notes().value)
        own: Any = request.param(str(tmp_path))
        filters.append(own)
        return frontier, DurableFilter(own, frontier, str(tmp_path))

    yield begin
    for own in filters:
        own.close("finished")
    for frontier in frontiers:
        frontier.close()


def entry(name: str) -> Entry:
    return Entry(None, "a.example", 0, is_start=False, payload=name.encode())


def asked(durable: DurableFilter, name: str) -> bool:
    return durable.seen(Request(f"http://a.example/{name}"), name.encode())


def step(life: Life, names: str, *, is_killed: bool = False) -> list[bool]:
    """Ask for all, and push what is new; or be killed before the push is done."""
    frontier, durable = life
    keys = [name.encode() for name in names]
    durable.ask(keys)
    seen = [asked(durable, name) for name in names]
    if is_killed:
        durable._flush()
        frontier.close()
        return seen
    new = [
        entry(name) for name, was_seen in zip(names, seen, strict=True) if not was_seen
    ]
    answers = durable.prepare(keys)
    with frontier.transaction():
        durable.commit(answers)
        frontier.push(new)
    return seen


def test_what_was_asked_and_not_pushed_is_not_believed_to_be_seen(
    live: Callable[[], Life],
) -> None:
    first = live()
    assert step(first, "ab") == [False, False]
    assert step(first, "acd", is_killed=True) == [True, False, False]
    second = live()
    assert step(second, "acd") == [True, False, False]
    assert step(second, "abcd") == [True] * 4
    assert second[0].waiting() == 4
    assert second[0].keys.asked() == set()


def test_what_was_pushed_is_seen_though_the_filter_was_killed(
    live: Callable[[], Life],
) -> None:
    first = live()
    step(first, "ab")
    first[0].close()
    second = live()
    assert step(second, "abc") == [True, True, False]
    second[1].close()
    second[0].close()
    assert step(live(), "abcd") == [True, True, True, False]


def test_a_file_that_others_may_have_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    frontier = SqliteFrontier(path=str(tmp_path / "job" / "frontier"))
    own = _Kept(str(tmp_path))
    durable = DurableFilter(own, frontier, str(tmp_path / "job"))
    assert step((frontier, durable), "a") == [False]
    assert frontier.notes().value == {}
    own.close("finished")
    frontier.close()
