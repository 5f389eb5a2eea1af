"""Notes which dbm files a worker opens to write: only one process can have each.

With gdbm another process cannot open it; with dbm.dumb both write, and one loses.
"""

from __future__ import annotations

import dbm
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class DbmFiles:
    """The dbm files that this process has opened to write."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._on_open: Callable[[str], None] = self._kept.append

    def watch(self) -> None:
        """Note from now on what ``dbm.open`` opens, also for ``shelve``."""
        original = dbm.open

        def noting_open(file: Any, flag: Any = "r", mode: int = 0o666) -> Any:
            if flag[:1] != "r":
                self._on_open(os.path.abspath(os.fsdecode(file)))  # noqa: PTH100 - as dbm has it
            return original(file, flag, mode)

        dbm.open = noting_open

    def tell(self, on_open: Callable[[str], None]) -> None:
        """Call *on_open* with each path, from those up to now on."""
        self._on_open = on_open
        for path in self._kept:
            on_open(path)
        self._kept.clear()


#: Those of this process.
dbm_files = DbmFiles()
