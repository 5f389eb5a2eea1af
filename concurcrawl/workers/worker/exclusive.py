"""The dbm files that a worker opens to write. Only one process can hold each.

With gdbm a second process cannot open the file; with dbm.dumb both write, and the
writes of one are lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.compat.dbm_files import watch_opens

if TYPE_CHECKING:
    from collections.abc import Callable


class DbmFiles:
    """The dbm files that this process has opened to write."""

    def __init__(self) -> None:
        """Keep paths until :meth:`report_to`: middlewares open files first."""
        self._kept: list[str] = []
        self._on_open: Callable[[str], None] = self._kept.append

    def watch(self) -> None:
        """Note each file that ``dbm.open`` opens from now on, also for ``shelve``."""
        watch_opens(self._note)

    def _note(self, path: str) -> None:
        self._on_open(path)

    def report_to(self, on_open: Callable[[str], None]) -> None:
        """Call *on_open* with the paths up to now and with each further one."""
        self._on_open = on_open
        for path in self._kept:
            on_open(path)
        self._kept.clear()
