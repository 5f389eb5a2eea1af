"""The dbm files that a process opens."""

from __future__ import annotations

import dbm
import os
from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Callable


@touches()
def watch_opens(on_open: Callable[[str], None]) -> None:
    """Call *on_open* with the path of each file that is opened to write from now on.

    Touches: replaces ``dbm.open()`` (CPython 3.11 to 3.13), which ``shelve`` calls too.
    If it moves, two workers may write one file, and one of them loses. Wished for: an
    audit event, as ``open()`` has.
    """
    original = dbm.open

    def noting_open(file: Any, flag: Any = "r", mode: int = 0o666) -> Any:
        if flag[:1] != "r":
            on_open(os.path.abspath(os.fsdecode(file)))  # noqa: PTH100 - as dbm has it
        return original(file, flag, mode)

    dbm.open = noting_open
