from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.limits.limiter import FetchResult, GroupLimits
from tests.contracts.frontier.contract import FrontierContract
from tests.contracts.frontier.machine import FrontierMachine
from tests.contracts.frontier.making import drained, entry, taken
from tests.contracts.frontier.told import Told
from tests.support.crawls import DEADLINE_S, environment
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.contracts.frontier.clock import Clock


class TestSqliteFrontier(FrontierContract):
    storage_error = sqlite3.Error
    path = ""

    def make(
        self,
        limits: GroupLimits | None,
        clock: Clock,
        *,
        total: int = 0,
        newest_first: bool = True,
    ) -> Told:
        return Told(
            SqliteFrontier(
                lambda _: limits or GroupLimits(),
                path=self.path,
                total=total,
                newest_first=newest_first,
                clock=clock,
            )
        )


class TestSqliteFrontierInAFile(TestSqliteFrontier):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "frontier.db")


def opened(path: Path) -> Told:
    return Told(SqliteFrontier(path=str(path)))


def reopened(frontier: Told, path: Path) -> Told:
    frontier.close()
    return opened(path)


def test_a_file_knows_what_waited_and_lends_what_was_lent_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "frontier.db"
    frontier = opened(path)
    frontier.push([entry(n, key=n) for n in ("1", "2", "3", "4")], {"note": "text"})
    lent, done = taken(frontier), taken(frontier)
    frontier.ack(done.lease_id, [entry("5", key="5")], [b"item"])
    number = frontier.items()[0][0]
    frontier = reopened(frontier, path)
    assert (frontier.waiting(), frontier.leased()) == (4, 0)
    assert frontier.items() == [(number, b"item")]
    assert frontier.notes() == {"note": "text"}
    assert frontier.push([entry("3", key="3"), entry("6", key="6")]) == [False, True]
    assert [lease.payload for lease in (lent, done)] == [b"4", b"3"]
    assert drained(frontier) == ["6", "5", "4", "2", "1"]
    frontier.close()


def test_a_file_keeps_priorities_and_start_requests_in_their_order(
    tmp_path: Path,
) -> None:
    path = tmp_path / "frontier.db"
    frontier = opened(path)
    frontier.push([entry(n, is_start=True) for n in ("start 1", "start 2")])
    frontier.push([entry("found"), entry("urgent", priority=3)])
    frontier.push([entry("elsewhere", group="b.example", priority=5)])
    frontier = reopened(frontier, path)
    frontier.push([entry("start 3", is_start=True), entry("found later")])
    assert drained(frontier) == [
        "elsewhere",
        "urgent",
        "found later",
        "found",
        "start 1",
        "start 2",
        "start 3",
    ]
    frontier.close()


KILLED = """
import os, sys
from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier

frontier = SqliteFrontier(path=sys.argv[1])
frontier.push([Entry(b"%d" % n, "a", 0, False, b"%d" % n) for n in range(3)])
new = [Entry(None, "a", 0, False, b"new")]
frontier.ack(frontier.acquire().lease_id, new, [b"i"])
frontier.acquire()
os.kill(os.getpid(), 9)
"""


def test_a_file_survives_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "frontier.db"
    subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        env=environment(),
        timeout=DEADLINE_S,
        check=False,
    )
    frontier = opened(path)
    assert [payload for _, payload in frontier.items()] == [b"i"]
    assert drained(frontier) == ["new", "1", "0"]
    frontier.close()


_made = ExitStack()


@pytest.fixture(autouse=True, scope="module")
def _closing() -> Iterator[None]:
    """Close what machines make, one of which is never driven."""
    yield
    _made.close()


class SqliteMachine(FrontierMachine):
    def make(self, limits_of: Callable[[str], GroupLimits], clock: Clock) -> Told:
        frontier = SqliteFrontier(limits_of, clock=clock)
        return Told(_made.enter_context(closing(frontier)))


TestSqliteInRandomOrders = SqliteMachine.TestCase


def test_after_a_write_that_found_no_room_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "frontier.sqlite"
    frontier = SqliteFrontier(path=str(path))
    frontier._db.execute("PRAGMA max_page_count = 30")
    large = Entry(b"large", "g", 0, is_start=True, payload=bytes(1 << 20))
    with pytest.raises(sqlite3.OperationalError):
        frontier.push([large], {"start": "1"})
    with pytest.raises(sqlite3.OperationalError):
        frontier.keep([], {"start": "1"})
    frontier.close()
    again = opened(path)
    assert (again.notes(), again.waiting()) == ({}, 0)
    again.close()


def test_what_is_delivered_is_on_the_disk_and_the_rest_need_not_be(
    tmp_path: Path,
) -> None:
    frontier = SqliteFrontier(path=str(tmp_path / "frontier.sqlite"))
    said: list[str] = []
    frontier._db.set_trace_callback(said.append)
    frontier.deliver([], {"feed": "7"})
    full, begin, *_, commit, normal = said
    assert (full, begin.split()[0]) == ("PRAGMA synchronous = FULL", "BEGIN")
    assert (commit, normal) == ("COMMIT", "PRAGMA synchronous = NORMAL")
    said.clear()
    frontier.keep([b"item"], {"start": "1"})
    assert not any("synchronous" in statement for statement in said)
    frontier.close()


NAMELESS = """
import resource, sys
import psutil
from concurcrawl.frontier.base import Entry
from concurcrawl.frontier.sqlite import SqliteFrontier

def size():
    return psutil.Process().memory_info().rss

if sys.argv[1] == "no file":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
frontier = SqliteFrontier()
frontier.push([Entry(b"first", "a", 0, False, bytes(500))])
before = size()
entries = (Entry(b"%d" % n, "a", 0, False, bytes(500)) for n in range(50_000))
lease_id = frontier.acquire().lease_id
frontier.ack(lease_id, entries, [b"item"])
grown = size() - before
while (lease := frontier.acquire()) is not None:
    frontier.ack(lease.lease_id)
frontier.close()
print(grown)
"""


def grown_bytes(how: str, folder: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", NAMELESS, how],
        env=environment() | {"TMPDIR": str(folder), "SQLITE_TMPDIR": str(folder)},
        timeout=DEADLINE_S,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(done.stdout)


def test_what_waits_takes_no_memory_and_leaves_no_file(tmp_path: Path) -> None:
    assert grown_bytes("a file", tmp_path) < 8e6  # of 25 MB and their keys
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_made_what_waits_is_in_memory(tmp_path: Path) -> None:
    assert grown_bytes("no file", tmp_path) > 25e6


#: What 0.1.0 stored of a crawl that had leased one request of two.
FORMER = """
CREATE TABLE request (
    ticket INTEGER PRIMARY KEY, grp TEXT NOT NULL, priority INTEGER NOT NULL,
    rank INTEGER NOT NULL, queued_s REAL NOT NULL, payload BLOB NOT NULL,
    lent INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX waiting ON request (grp, priority DESC, rank) WHERE NOT lent;
CREATE TABLE taken (what BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO request VALUES (3, 'a.example', 0, -3, 1, CAST('old' AS BLOB), 0);
INSERT INTO request VALUES (4, 'a.example', 0, -4, 1, CAST('new' AS BLOB), 1);
INSERT INTO taken VALUES (CAST('what' AS BLOB), 2);
"""


def test_a_file_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "frontier.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FORMER)
    for _ in range(2):  # the second time it has today's names
        frontier = opened(path)
        assert (frontier.waiting(), frontier.times_taken(b"what")) == (2, 2)
        frontier.close()
    frontier = opened(path)
    assert drained(frontier) == ["new", "old"]
    frontier.close()


class TestDeadLetters:
    """Requests that were given up are kept, and wait again when that is wished."""

    def test_one_is_put_back_once_with_its_group_and_priority(
        self, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "frontier.db")
        with closing(SqliteFrontier(path=path)) as frontier:
            frontier.push([Entry(b"k", "a", 5, is_start=False, payload=b"page")])
            lease = frontier.acquire()
            assert lease is not None
            frontier.dead_letter(lease.lease_id)
            frontier.ack(lease.lease_id)
            assert frontier.acquire() is None
        with closing(SqliteFrontier(path=path)) as frontier:
            assert frontier.put_dead_letters_back() == 1
            assert frontier.put_dead_letters_back() == 0
            assert frontier.waiting() == 1
            again = frontier.acquire()
            assert again is not None
            assert (again.payload, again.group) == (b"page", "a")
            assert again.lease_id > lease.lease_id

    def test_one_whose_lease_had_not_ended_is_no_dead_letter(
        self, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "frontier.db")
        with closing(SqliteFrontier(path=path)) as frontier:
            frontier.push([Entry(b"k", "a", 0, is_start=False, payload=b"page")])
            lease = frontier.acquire()
            assert lease is not None
            frontier.dead_letter(lease.lease_id)
        with closing(SqliteFrontier(path=path)) as frontier:
            assert frontier.waiting() == 1
            assert frontier.put_dead_letters_back() == 0


def test_the_busiest_groups_are_those_that_are_paused_and_those_in_flight() -> None:
    clock = FakeClock()
    frontier = SqliteFrontier(lambda _: GroupLimits(in_flight=4), clock=clock)
    for group, count in (("a", 3), ("b", 2), ("c", 1200), ("d", 1)):
        frontier.push(
            Entry(b"%s%d" % (group.encode(), n), group, 0, False, b"x")
            for n in range(count)
        )
    leases = [frontier.acquire() for _ in range(5)]
    at_a = next(one for one in leases if one is not None and one.group == "a")
    assert not frontier.admit("a", at_a.lease_id)
    frontier.leave("a", at_a.lease_id, FetchResult(status=429, retry_after_s=30))
    found, more = frontier.busiest(2)
    assert more == 1
    paused, busy = found
    assert (paused.name, paused.paused_s) == ("a", 30)
    assert paused.why == "status 429, Retry-After 30 s"
    others = frontier.busiest(9)[0][1:]
    assert busy.in_flight == max(one.in_flight for one in others) > 0
    assert (busy.limit, busy.paused_s, busy.why) == (4, 0, "")
    counted = {one.name: one.waiting for one in others}
    assert counted["c"] == 1000
    frontier.close()
