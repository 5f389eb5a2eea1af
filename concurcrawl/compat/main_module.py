"""Private parts of Python about the module ``__main__``."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@touches()
@contextmanager
def hidden() -> Iterator[None]:
    """Start processes that do not import ``__main__`` by themselves.

    Touches: ``multiprocess.spawn.get_preparation_data()`` (multiprocess 0.70.19), which
    reads ``sys.modules["__main__"]`` while a process is started, and has the child
    import that module before anything of ours runs there: a script without a guard
    would crawl again. If it moves, workers import the script twice. Wished for: a flag
    of ``Process``.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@touches("sys", "_current_frames")
def running_line() -> tuple[str, int] | None:
    """Return the file and the line that ``__main__`` is at, or None if it has ended.

    Touches: ``sys._current_frames()`` (CPython 3.11 to 3.13), which is documented for
    specialists: the crawl may have been started from another thread than the one that
    runs ``__main__``. If it moves, only the script's source as a whole can be judged.
    Wished for: a name without an underscore.
    """
    namespace = vars(sys.modules["__main__"])
    main_thread = threading.main_thread().ident
    frame: FrameType | None = sys._current_frames().get(main_thread or 0)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and frame.f_globals is namespace:
            return code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None
