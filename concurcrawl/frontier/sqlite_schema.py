"""The tables of an embedded frontier, and how its database is opened."""

from __future__ import annotations

import sqlite3
import tempfile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
    lease_id INTEGER PRIMARY KEY,
    grp TEXT NOT NULL,
    priority INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    queued_s REAL NOT NULL,
    payload BLOB NOT NULL,
    is_leased INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON request (grp, priority DESC, rank)
    WHERE NOT is_leased;
CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS item (number INTEGER PRIMARY KEY, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS note (
    name TEXT PRIMARY KEY,
    text TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS output (
    what BLOB PRIMARY KEY,
    times INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letter (
    lease_id INTEGER PRIMARY KEY,
    grp TEXT NOT NULL,
    priority INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS state (
    number INTEGER PRIMARY KEY,
    change BLOB NOT NULL
);
"""

#: What gives a file of 0.1.0 today's names.
_RENAMES = """
ALTER TABLE request RENAME COLUMN ticket TO lease_id;
ALTER TABLE request RENAME COLUMN lent TO is_leased;
ALTER TABLE taken RENAME TO output;
"""


def open_database(path: str) -> sqlite3.Connection:
    """Open a database that has all tables, outside of any transaction.

    Args:
        path: The file, which no one else has open; empty for one without a name.
    """
    db = sqlite3.connect(path or nameless(), isolation_level=None)
    # What goes with the process need only be rolled back, which memory serves best.
    db.execute(f"PRAGMA journal_mode = {'WAL' if path else 'MEMORY'}")
    # A commit need not reach the disk before the next: the file stays whole, and
    # what a power cut takes from its end is done again. See SqliteFrontier.deliver().
    db.execute("PRAGMA synchronous = NORMAL")
    _migrate(db)
    db.executescript(_SCHEMA)
    return db


def _migrate(db: sqlite3.Connection) -> None:
    """Take over a file that an earlier release has begun."""
    columns = db.execute("PRAGMA table_info(request)").fetchall()
    if any(name == "ticket" for _, name, *_ in columns):
        db.executescript(f"BEGIN; {_RENAMES} COMMIT;")


def nameless() -> str:
    """Return how SQLite calls a file without a name, or none where it finds no room."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # every folder for such files is read-only
        return ":memory:"
    return ""
