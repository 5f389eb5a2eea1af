"""The requests that wait in one process: some as objects, the others in a file."""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import TYPE_CHECKING

from concurcrawl.frontier.sqlite_schema import nameless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request

    from concurcrawl.local.packing import Packer

#: Requests that wait as objects, about 2 kB each; a usual crawl has fewer.
_MOST_OBJECTS = 10_000

#: Requests that are packed together, the oldest ones: by default they leave last.
_PACKED_TOGETHER = 1_000

_SCHEMA = "CREATE TABLE packed (name INTEGER PRIMARY KEY, request BLOB NOT NULL)"


class WaitingRequests:
    """Keeps requests by number until they are leased.

    Those that cannot be packed stay objects, however many they are.
    """

    def __init__(self, packer: Packer) -> None:
        self._packer = packer
        self._recent: dict[int, Request] = {}
        self._kept: dict[int, Request] = {}
        self._file: sqlite3.Connection | None = None

    def add(self, name: int, request: Request) -> None:
        """Keep *request*; pack others if there are many.

        Raises:
            sqlite3.OperationalError: If the file cannot be written; all are kept.
        """
        self._recent[name] = request
        if len(self._recent) >= _MOST_OBJECTS + _PACKED_TOGETHER:
            self._pack()

    def pop(self, name: int) -> Request:
        """Return the request that is kept as *name*, and forget it."""
        for objects in (self._recent, self._kept):
            if name in objects:
                return objects.pop(name)
        assert self._file is not None
        select = "SELECT request FROM packed WHERE name = ?"
        (packed,) = self._file.execute(select, (name,)).fetchone()
        self._file.execute("DELETE FROM packed WHERE name = ?", (name,))
        return self._packer.unpack(packed)

    def close(self) -> None:
        """Forget all of them."""
        if self._file is not None:
            self._file.close()

    def _pack(self) -> None:
        names = [*islice(self._recent, _PACKED_TOGETHER)]
        packed = {name: self._packer.pack(self._recent, name) for name in names}
        self._write(
            (name, request) for name, request in packed.items() if request is not None
        )
        for name, done in packed.items():
            request = self._recent.pop(name)
            if done is None:
                self._kept[name] = request

    def _write(self, rows: Iterable[tuple[int, bytes]]) -> None:
        if self._file is None:
            self._file = sqlite3.connect(nameless(), isolation_level=None)
            self._file.execute("PRAGMA journal_mode = MEMORY")
            self._file.execute(_SCHEMA)
        self._file.execute("BEGIN")
        with self._file:
            self._file.executemany("INSERT INTO packed VALUES (?, ?)", rows)
