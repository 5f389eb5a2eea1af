"""Items that are kept for feeds which cannot be continued, beside the frontier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_SCHEMA = """
CREATE TABLE IF NOT EXISTS export (
    number INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    item BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS export_feed ON export (feed);
CREATE TABLE IF NOT EXISTS feed (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL
) WITHOUT ROWID;
"""

#: Rows that are in memory at a time.
_CHUNK = 200


@dataclass(slots=True)
class Changes:
    """What a commit changes in the tables of a :class:`Store`.

    Attributes:
        rows: Number, feed and item of each row to add.
        done: Feed, first and last number of the rows to delete.
        states: State of each feed that has a new one.
        clears: Whether all feeds are complete, so that nothing is to stay.
    """

    rows: list[tuple[int, str, bytes]] = field(default_factory=list)
    done: list[tuple[str, int, int]] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    clears: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows or self.done or self.states or self.clears)


class Store:
    """The tables with the items of unfinished feeds, and the state of each feed."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use *db*, in which the frontier is too: its commits are ours."""
        self._db = db
        db.executescript(_SCHEMA)

    def states(self) -> dict[str, str]:
        """Return the state of each feed."""
        return dict(self._db.execute("SELECT name, state FROM feed"))

    def last(self) -> int:
        """Return the highest number of a row, or 0."""
        row = self._db.execute("SELECT max(number) FROM export").fetchone()
        return int(row[0] or 0)

    def rows(self, feed: str) -> Iterator[tuple[int, bytes]]:
        """Yield number and item of each row of *feed*, oldest first.

        Rows may be added and deleted meanwhile; those that were there at first are
        yielded unless they are deleted. Few are in memory at a time.
        """
        end = self.last()
        query = (
            "SELECT number, item FROM export WHERE feed = ? AND number > ? "
            "AND number <= ? ORDER BY number LIMIT ?"
        )
        after = 0
        while some := self._db.execute(query, (feed, after, end, _CHUNK)).fetchall():
            yield from some
            after = some[-1][0]

    def apply(self, changes: Changes) -> None:
        """Make *changes*, within the transaction of the caller."""
        if changes.clears:
            self.clear()
            return
        execute = self._db.executemany
        execute("INSERT INTO export VALUES (?, ?, ?)", changes.rows)
        execute(
            "DELETE FROM export WHERE feed = ? AND number BETWEEN ? AND ?", changes.done
        )
        states: Any = changes.states.items()
        execute("INSERT OR REPLACE INTO feed VALUES (?, ?)", states)

    def clear(self) -> None:
        """Delete everything: all feeds are complete."""
        self._db.execute("DELETE FROM export")
        self._db.execute("DELETE FROM feed")
