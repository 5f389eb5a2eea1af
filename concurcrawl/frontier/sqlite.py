"""The embedded frontier: SQLite, in memory or in one file."""

from __future__ import annotations

import random
import sqlite3
import time
from itertools import count
from typing import TYPE_CHECKING

from concurcrawl.frontier.base import Entry, Frontier, Lease
from concurcrawl.frontier.limits import Gate, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Start requests leave after the others of their priority: their ranks begin here.
_START_RANK = 1 << 62

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
    ticket INTEGER PRIMARY KEY,
    grp TEXT NOT NULL,
    priority INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    queued_s REAL NOT NULL,
    payload BLOB NOT NULL,
    lent INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON request (grp, priority DESC, rank) WHERE NOT lent;
CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY) WITHOUT ROWID;
"""

_HEAD = """
SELECT priority, ticket, queued_s, payload FROM request
WHERE grp = ? AND NOT lent ORDER BY priority DESC, rank LIMIT 1
"""


class SqliteFrontier(Frontier):
    """Requests in a SQLite database; limits and counts in memory.

    Invariant: ``_heads`` holds, for each group with waiting requests, the priority of
    the one that leaves next, so that choosing a group needs no query.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        newest_first: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open an empty frontier.

        Args:
            limits: What each group must not exceed; None means no limits.
            newest_first: Whether the newest request of a priority leaves first, as
                with Scrapy's default queues. Start requests leave oldest first.
            clock: Seconds, for delays.
        """
        self._limits = limits or Limits()
        self._direction = -1 if newest_first else 1
        self._clock = clock
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._tickets = count(1)
        self._gates: dict[str, Gate] = {}
        self._heads: dict[str, int] = {}
        self._waiting = 0
        self._lent: dict[int, tuple[str, bool]] = {}  # ticket -> (group, is at site)

    def push(self, entries: Sequence[Entry]) -> list[bool]:
        """See :meth:`Frontier.push`."""
        self._db.execute("BEGIN")
        added = [self._push(entry) for entry in entries]
        self._db.execute("COMMIT")
        return added

    def take(self) -> Lease | None:
        """See :meth:`Frontier.take`.

        Among the open groups the one with the highest priority at its head is served,
        and of those the one with the fewest requests in flight.
        """
        now_s = self._clock()
        open_groups = [g for g in self._heads if self._gate(g).is_open(now_s)]
        if not open_groups:
            return None
        group = min(
            open_groups, key=lambda g: (-self._heads[g], self._gates[g].in_flight)
        )
        _, ticket, queued_s, payload = self._db.execute(_HEAD, (group,)).fetchone()
        self._db.execute("UPDATE request SET lent = 1 WHERE ticket = ?", (ticket,))
        self._waiting -= 1
        self._lent[ticket] = (group, True)
        self._gate(group).start(now_s, random.uniform)
        self._refresh_head(group)
        return Lease(ticket, group, payload, queued_s)

    def complete(self, ticket: int, entries: Sequence[Entry] = ()) -> list[bool]:
        """See :meth:`Frontier.complete`."""
        self.left_site(ticket)
        del self._lent[ticket]
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM request WHERE ticket = ?", (ticket,))
        added = [self._push(entry) for entry in entries]
        self._db.execute("COMMIT")
        return added

    def give_back(self, ticket: int) -> None:
        """See :meth:`Frontier.give_back`."""
        if ticket not in self._lent:
            return
        self.left_site(ticket)
        group, _ = self._lent.pop(ticket)
        self._db.execute("UPDATE request SET lent = 0 WHERE ticket = ?", (ticket,))
        self._waiting += 1
        self._refresh_head(group)

    def left_site(self, ticket: int) -> None:
        """See :meth:`Frontier.left_site`."""
        group, is_at_site = self._lent.get(ticket, ("", False))
        if is_at_site:
            self._lent[ticket] = (group, False)
            self._gate(group).finish()

    def waiting(self) -> int:
        """See :meth:`Frontier.waiting`."""
        return self._waiting

    def lent(self) -> int:
        """See :meth:`Frontier.lent`."""
        return len(self._lent)

    def ready_in_s(self) -> float | None:
        """See :meth:`Frontier.ready_in_s`."""
        gates = [self._gate(group) for group in self._heads]
        times = [gate.opens_at_s for gate in gates if gate.has_room()]
        return max(0.0, min(times) - self._clock()) if times else None

    def close(self) -> None:
        """See :meth:`Frontier.close`."""
        self._db.close()

    def _push(self, entry: Entry) -> bool:
        if entry.key is not None:
            added = self._db.execute(
                "INSERT OR IGNORE INTO seen VALUES (?)", (entry.key,)
            )
            if not added.rowcount:
                return False
        ticket = next(self._tickets)
        rank = _START_RANK + ticket if entry.is_start else self._direction * ticket
        self._db.execute(
            "INSERT INTO request VALUES (?, ?, ?, ?, ?, ?, 0)",
            (ticket, entry.group, entry.priority, rank, time.time(), entry.payload),
        )
        self._waiting += 1
        head = self._heads.get(entry.group, entry.priority)
        self._heads[entry.group] = max(head, entry.priority)
        return True

    def _gate(self, group: str) -> Gate:
        gate = self._gates.get(group)
        if gate is None:
            gate = self._gates[group] = Gate(self._limits)
        return gate

    def _refresh_head(self, group: str) -> None:
        row = self._db.execute(_HEAD, (group,)).fetchone()
        if row is None:
            self._heads.pop(group, None)
        else:
            self._heads[group] = row[0]
