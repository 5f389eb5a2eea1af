"""What Python keeps to itself about the module ``__main__``."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def hidden() -> Iterator[None]:
    """Start processes that do not import ``__main__`` by themselves.

    Touched: ``multiprocess.spawn.get_preparation_data`` (0.70.19; the same in
    CPython's multiprocessing 3.11 to 3.14) reads ``sys.modules["__main__"]`` while a
    process is started, and has the child import that module before anything of ours
    runs there: a script without a guard would crawl again. If it looked elsewhere,
    workers would import the script twice. A flag of ``Process`` would be better.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def running_line() -> tuple[str, int] | None:
    """Return the file and the line that ``__main__`` is at, or None if it has ended.

    Touched: ``sys._current_frames`` (documented, for specialists): the crawl may have
    been started from another thread than the one that runs ``__main__``. Without it
    only the script's source as a whole can be judged.
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
