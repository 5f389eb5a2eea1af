"""Tables that only a crawl with a ``JOBDIR`` needs, in the file of its frontier.

Each write is a transaction, or part of the one that the frontier has begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    Transaction = Callable[[], AbstractContextManager[None]]


class KeyTable:
    """Fingerprints that were ever added, and those that a filter was asked for."""

    def __init__(self, db: sqlite3.Connection, transaction: Transaction) -> None:
        self._db = db
        self._transaction = transaction

    def knows(self, key: bytes) -> bool:
        """Return whether a request with this key was ever added."""
        select = "SELECT 1 FROM seen WHERE key = ?"
        return self._db.execute(select, (key,)).fetchone() is not None

    def remember(self, key: bytes) -> None:
        """Note a key of a request that something else than keys is to filter."""
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,))

    def ask(self, keys: Iterable[bytes]) -> None:
        """Note the requests that the project's own filter is about to be asked for."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO asked VALUES (?)", ((key,) for key in keys)
            )

    def answered(self, keys: Iterable[bytes]) -> None:
        """Forget what :meth:`ask` has noted: the step that follows has what came."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM asked WHERE key = ?", ((key,) for key in keys)
            )

    def asked(self) -> set[bytes]:
        """Return the keys that were asked for and not answered."""
        return {key for (key,) in self._db.execute("SELECT key FROM asked")}


class StateTable:
    """The spider's state: the whole, and changes of it since."""

    def __init__(self, db: sqlite3.Connection, transaction: Transaction) -> None:
        self._db = db
        self._transaction = transaction

    def rows(self) -> list[bytes]:
        """Return what :meth:`add` and :meth:`replace` have kept, oldest first."""
        rows = self._db.execute("SELECT change FROM state ORDER BY number")
        return [change for (change,) in rows]

    def add(self, change: bytes) -> None:
        """Keep a change of the spider's state."""
        with self._transaction():
            self._db.execute("INSERT INTO state (change) VALUES (?)", (change,))

    def replace(self, whole: bytes) -> None:
        """Keep the spider's state in the place of all changes up to now."""
        with self._transaction():
            self._db.execute("DELETE FROM state")
            self._db.execute("INSERT INTO state (change) VALUES (?)", (whole,))
