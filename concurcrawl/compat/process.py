"""The end of a process, and nothing else of it."""

from __future__ import annotations

import os
from typing import NoReturn

from concurcrawl.compat.parts import touches


@touches("os", "_exit")
def exit_now(code: int) -> NoReturn:
    """End this process with *code* and run nothing that was registered for its end.

    What a forked process has inherited to run at exit belongs to its parent.

    Touches: ``os._exit()`` (CPython 3.11 to 3.13), which is documented. If it moves,
    workers do not end. Wished for: a name without an underscore.
    """
    os._exit(code)
