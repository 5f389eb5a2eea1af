"""The embedded frontier: SQLite, in a private file or in one that stays."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import contextmanager
from itertools import chain, count, islice
from typing import TYPE_CHECKING

from typing_extensions import override

from concurcrawl.errors import LeaseLostError, PausedTooLongError
from concurcrawl.frontier.base import (
    Completed,
    Done,
    Entry,
    Frontier,
    GroupState,
    Lease,
    Output,
)
from concurcrawl.frontier.exports import Changes, Store
from concurcrawl.frontier.sqlite_schema import open_database
from concurcrawl.frontier.sqlite_tables import KeyTable, StateTable
from concurcrawl.frontier.waiting_groups import WaitingGroups
from concurcrawl.limits.crawl_limiter import CrawlLimiter
from concurcrawl.limits.limiter import GroupLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from concurcrawl.limits.limiter import FetchResult

#: Start requests leave after the others of their priority: their ranks begin here.
_START_RANK = 1 << 62

#: The request that leaves a group next, and the one after it.
_NEXT = """
SELECT lease_id, grp, priority, rank, queued_s, payload FROM request
WHERE grp = ? AND NOT is_leased ORDER BY priority DESC, rank LIMIT 2
"""

_LEASE = "UPDATE request SET is_leased = 1 WHERE lease_id = ?"
_PUT_BACK = "INSERT OR REPLACE INTO request VALUES (?, ?, ?, ?, ?, ?, 0)"
_DELETE = "DELETE FROM request WHERE lease_id = ?"

#: A request that waits or is leased: lease id, group, priority, rank, time, payload.
_Row = tuple[int, str, int, int, float, bytes]

_WAITING = "SELECT grp, max(priority) FROM request GROUP BY grp"

#: How many wait in a group, counted so far only: a crawl may have millions.
_COUNTED = """
SELECT count(*) FROM
(SELECT 1 FROM request WHERE grp = ? AND NOT is_leased LIMIT 1000)
"""

#: Groups among which the busiest are looked for.
_LOOKED_AT = 500


class SqliteFrontier(Frontier):
    """Requests in a SQLite database; limits and counts in memory.

    Choosing a group needs no query: the order of the groups is in memory, too.

    In a file that stays, a leased request has its row until its lease ends, for the
    case that the process is killed. In one without a name it has none: to delete it at
    once saves a write and, where nothing new comes of the request, a transaction.

    Attributes:
        exports: What feeds that cannot be continued need; :meth:`deliver` changes it.
        keys: Fingerprints, for a filter of the project's own.
        state: The spider's state.
    """

    def __init__(  # noqa: PLR0913 - all but the first by name
        self,
        limits_of: Callable[[str], GroupLimits] = lambda _: GroupLimits(),
        *,
        path: str = "",
        total: int = 0,
        asks: Callable[[str], bool] | None = None,
        newest_first: bool = True,
        newest_start_first: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open a frontier.

        Args:
            limits_of: Returns what a group must not exceed.
            path: The file, which no one else has open. By default it is empty and has
                no name: it is gone when the process is, however that ends, and of what
                waits no more is in memory than SQLite caches.
            total: Requests at a time over all groups; 0 means no limit.
            asks: Returns whether a group's requests are admitted one by one; None: all.
            newest_first: Whether the newest request of a priority leaves first, as
                with Scrapy's default queues.
            newest_start_first: Likewise of start requests; by default the oldest does.
            clock: Seconds, for delays.
        """
        self._stays = bool(path)
        self._direction = -1 if newest_first else 1
        self._start_direction = -1 if newest_start_first else 1
        self._clock = clock
        self._db = open_database(path)
        self.exports = Store(self._db)
        self.keys = KeyTable(self._db, self.transaction)
        self.state = StateTable(self._db, self.transaction)
        self._broken: sqlite3.OperationalError | None = None
        last = max(self._last("lease_id", one) for one in ("request", "dead_letter"))
        self._lease_ids = count(1 + last)
        self._limiter = CrawlLimiter(limits_of, total, asks, random.uniform)
        self._groups = WaitingGroups(self._limiter)
        self._db.execute("UPDATE request SET is_leased = 0 WHERE is_leased")
        # The process was killed before their leases had ended: they wait again.
        self._db.execute(
            "DELETE FROM dead_letter WHERE lease_id IN (SELECT lease_id FROM request)"
        )
        (waiting,) = self._db.execute("SELECT count(*) FROM request").fetchone()
        self._waiting = int(waiting)
        for group, priority in self._db.execute(_WAITING):
            self._groups.add(group, priority)
        self._leased: dict[int, _Row] = {}
        #: Of each group, how many the step under way adds, and their highest priority.
        self._pushed: dict[str, tuple[int, int]] = {}

    @override
    def push(
        self,
        entries: Iterable[Entry],
        notes: Mapping[str, str] | None = None,
        output: Output | None = None,
    ) -> Done[list[bool]]:
        with self.transaction():
            self._take_notes(notes or {})
            is_new = self._take_output(output)
            added = [is_new and self._insert(entry) for entry in entries]
        return Done(added)

    @override
    def times_taken(self, what: bytes) -> Done[int]:
        select = "SELECT times FROM output WHERE what = ?"
        row = self._db.execute(select, (what,)).fetchone()
        return Done(0 if row is None else int(row[0]))

    @override
    def acquire(self) -> Lease | None:
        """Lease the next request that may start now.

        Of the groups that may be asked the one with the highest priority is served,
        and of those the one with the fewest requests in flight; equals take turns.
        """
        now_s = self._clock()
        self._limiter.forget_idle(now_s)
        group = self._groups.first(now_s)
        if group is None:
            return None
        found = self._db.execute(_NEXT, (group,)).fetchall()
        lease_id, *_, queued_s, payload = found[0]
        self._db.execute(_LEASE if self._stays else _DELETE, (lease_id,))
        self._waiting -= 1
        self._leased[lease_id] = found[0]
        self._limiter.lease(lease_id, group)
        self._groups.serve(group, found[1][2] if len(found) > 1 else None)
        return Lease(lease_id, group, payload, queued_s)

    @override
    def ack(
        self, lease_id: int, entries: Iterable[Entry] = (), items: Iterable[bytes] = ()
    ) -> Done[Completed]:
        if lease_id not in self._leased:
            raise LeaseLostError(lease_id)
        entries = iter(entries)
        first = [*islice(entries, 1)]
        done = Completed([], [])
        if self._stays or first or items:
            with self.transaction():
                if self._stays:
                    self._db.execute(_DELETE, (lease_id,))
                added = [self._insert(entry) for entry in chain(first, entries)]
                done = Completed(added, self._keep(items))
        del self._leased[lease_id]
        self._limiter.forget(lease_id, self._clock())
        return Done(done)

    @override
    def items(self) -> Done[list[tuple[int, bytes]]]:
        return Done(self._db.execute("SELECT * FROM item ORDER BY number").fetchall())

    @override
    def deliver(
        self,
        items: Sequence[int],
        notes: Mapping[str, str],
        changes: Changes | None = None,
    ) -> Done[None]:
        """Delete items that are safe elsewhere, take notes and change exports.

        Args:
            items: Numbers of items.
            notes: What to remember.
            changes: What to change in :attr:`exports` in the same step.
        """
        self._db.execute("PRAGMA synchronous = FULL")  # all of the log, up to here
        try:
            with self.transaction():
                self._db.executemany(
                    "DELETE FROM item WHERE number = ?", ((number,) for number in items)
                )
                self._take_notes(notes)
                if changes is not None:
                    self.exports.apply(changes)
        finally:
            self._db.execute("PRAGMA synchronous = NORMAL")
        return Done(None)

    @override
    def keep(
        self,
        items: Sequence[bytes],
        notes: Mapping[str, str],
        output: Output | None = None,
    ) -> Done[list[int]]:
        with self.transaction():
            self._take_notes(notes)
            numbers = self._keep(items) if self._take_output(output) else []
        return Done(numbers)

    @override
    def notes(self) -> Done[dict[str, str]]:
        return Done(dict(self._db.execute("SELECT * FROM note")))

    @override
    def release(self, lease_id: int) -> None:
        if lease_id not in self._leased:
            return
        self._limiter.forget(lease_id, self._clock())
        row = self._leased.pop(lease_id)
        self._db.execute(_PUT_BACK, row)
        self._waiting += 1
        _, group, priority, *_ = row
        self._groups.add(group, priority)

    @override
    def admit(self, group: str, lease_id: int | None) -> float:
        now_s = self._clock()
        limiter = self._limiter[group]
        pause_s = limiter.pause_left_s(now_s)
        if pause_s > limiter.limits.max_pause_s:
            raise PausedTooLongError(group, pause_s, limiter.limits.max_pause_s)
        return self._limiter.admit(group, lease_id, now_s)

    @override
    def sent(self, group: str, lease_id: int | None, ago_s: float) -> None:
        self._limiter.sent(group, lease_id, self._clock() - ago_s)

    @override
    def leave(self, group: str, lease_id: int | None, result: FetchResult) -> None:
        self._limiter.leave(group, lease_id, result, self._clock())

    @override
    def expect(self, group: str, change: int) -> None:
        self._limiter.total.expect(group, change)

    @override
    def slow_down(self, group: str, delay_s: float) -> None:
        self._limiter.slow_down(group, delay_s)

    @override
    def change_limits(self, group: str, limits: GroupLimits, *, was_free: bool) -> None:
        self._limiter.change(group, limits, self._clock(), was_free=was_free)

    @override
    def delay_s(self, group: str) -> float:
        return self._limiter[group].delay_s

    @override
    def has_ready(self) -> bool:
        return self._groups.first(self._clock()) is not None

    @override
    def start_over(self, lease_id: int) -> None:
        if lease_id not in self._leased:  # it was released before its worker died
            return
        self._limiter.forget(lease_id, self._clock())
        _, group, *_ = self._leased[lease_id]
        self._limiter.lease(lease_id, group)

    @override
    def waiting(self) -> int:
        return self._waiting

    @override
    def leased(self) -> int:
        return len(self._leased)

    @override
    def ready_in_s(self) -> float | None:
        return self._groups.ready_in_s(self._clock())

    @override
    def busiest(self, most: int) -> tuple[list[GroupState], int]:
        """Return the busiest groups.

        Those with requests in flight are looked at, and the first 500 in which some
        wait: a crawl of many sites is not held up.
        """
        now_s, groups = self._clock(), self._groups
        busy = (group for _, group, *_ in self._leased.values())
        names = {*busy, *islice(groups, _LOOKED_AT)}
        limiters = {name: self._limiter[name] for name in names}

        def rank(name: str) -> tuple[float, int, str]:
            paused_s = limiters[name].pause_left_s(now_s)
            return -paused_s, -self._limiter.load(name), name

        chosen = sorted(names, key=rank)[:most]
        more = len(groups) - sum(name in groups for name in chosen)
        return [self._state_of(name, now_s) for name in chosen], more

    def _state_of(self, group: str, now_s: float) -> GroupState:
        limiter = self._limiter[group]
        paused_s = limiter.pause_left_s(now_s)
        (waiting,) = self._db.execute(_COUNTED, (group,)).fetchone()
        return GroupState(
            name=group,
            in_flight=self._limiter.load(group),
            limit=limiter.limits.in_flight,
            waiting=waiting,
            delay_s=limiter.delay_s,
            paused_s=paused_s,
            why=limiter.why if paused_s else "",
        )

    @override
    def close(self) -> None:
        self._db.close()

    # Dead letters ---------------------------------------------------------------

    def dead_letter(self, lease_id: int) -> None:
        """Keep a copy of a leased request that is given up; end its lease after it."""
        _, group, priority, _, _, payload = self._leased[lease_id]
        with self.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO dead_letter VALUES (?, ?, ?, ?)",
                (lease_id, group, priority, payload),
            )

    def put_dead_letters_back(self) -> int:
        """Make the requests that were given up wait again; return how many."""
        with self.transaction():
            kept = self._db.execute(
                "SELECT grp, priority, payload FROM dead_letter ORDER BY lease_id"
            ).fetchall()
            for group, priority, payload in kept:
                self._insert(
                    Entry(None, group, priority, is_start=False, payload=payload)
                )
            self._db.execute("DELETE FROM dead_letter")
        return len(kept)

    # What only a crawl with a JOBDIR needs ---------------------------------------

    def begin_anew(self, notes: Mapping[str, str]) -> None:
        """Forget how a finished crawl went, but not which requests it knew.

        Args:
            notes: The only ones that stay.
        """
        with self.transaction():
            for table in ("output", "asked", "note"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            self.exports.clear()
            self._take_notes(notes)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is written within it happen whole or not at all.

        A transaction within another one is part of it. No code of a project may run in
        one: it may take long, raise, or write to this frontier by itself.

        Raises:
            sqlite3.OperationalError: If the file cannot be written. Then it is not
                written again: a smaller write may find room, and would tell of a
                commit whose first half is lost.
        """
        if self._broken is not None:
            raise self._broken
        try:
            if self._db.in_transaction:
                yield
                return
            self._pushed.clear()
            self._db.execute("BEGIN")
            with self._db:  # commits, or rolls back
                yield
                if self._broken is not None:  # and the caller has caught that
                    raise self._broken
        except sqlite3.OperationalError as error:  # a full disk, say
            self._broken = error
            raise
        for group, (more, priority) in self._pushed.items():
            self._waiting += more
            self._groups.add(group, priority)

    def _last(self, column: str, table: str) -> int:
        row = self._db.execute(f"SELECT max({column}) FROM {table}").fetchone()  # noqa: S608 - our own names
        return int(row[0] or 0)

    def _keep(self, items: Iterable[bytes]) -> list[int]:
        insert = "INSERT INTO item (payload) VALUES (?)"
        rows = [self._db.execute(insert, (payload,)).lastrowid for payload in items]
        return [row for row in rows if row is not None]

    def _take_notes(self, notes: Mapping[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO note VALUES (?, ?)", notes.items())

    def _take_output(self, output: Output | None) -> bool:
        """Count *output* as taken; return whether it was not before."""
        if output is None:
            return True
        if self.times_taken(output.what).value >= output.nth:
            return False
        self._db.execute(
            "INSERT OR REPLACE INTO output VALUES (?, ?)", (output.what, output.nth)
        )
        return True

    def _insert(self, entry: Entry) -> bool:
        if entry.key is not None:
            added = self._db.execute(
                "INSERT OR IGNORE INTO seen VALUES (?)", (entry.key,)
            )
            if not added.rowcount:
                return False
        if not entry.payload:  # only to be remembered
            return True
        lease_id = next(self._lease_ids)
        rank = self._direction * lease_id
        if entry.is_start:
            rank = _START_RANK + self._start_direction * lease_id
        self._db.execute(
            "INSERT INTO request VALUES (?, ?, ?, ?, ?, ?, 0)",
            (lease_id, entry.group, entry.priority, rank, time.time(), entry.payload),
        )
        more, highest = self._pushed.get(entry.group, (0, entry.priority))
        self._pushed[entry.group] = more + 1, max(highest, entry.priority)
        return True
