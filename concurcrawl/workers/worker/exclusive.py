"""Notes which dbm files a worker opens to write: only one process can have each.

With gdbm another process cannot open it; with dbm.dumb both write, and one loses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.compat.dbm_files import watch_opens

if TYPE_CHECKING:
    from collections.abc import Callable


class DbmFiles:
    """The dbm files that this process has opened to write."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._on_open: Callable[[str], None] = self._kept.append

    def watch(self) -> None:
        """Note from now on what ``dbm.open`` opens, also for ``shelve``."""
        watch_opens(self._note)

    def _note(self, path: str) -> None:
        self._on_open(path)

    def tell(self, on_open: Callable[[str], None]) -> None:
        """Call *on_open* with each path, from those up to now on."""
        self._on_open = on_open
        for path in self._kept:
            on_open(path)
        self._kept.clear()


#: Those of this process.
dbm_files = DbmFiles()
