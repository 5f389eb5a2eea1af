"""What Python and dill keep to themselves about the module ``__main__``."""

from __future__ import annotations

import io
import pickle
import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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


def pack(definitions: Mapping[str, Any]) -> bytes:
    """Return what ``__main__`` defines as bytes, by value.

    Touched: ``dill.Pickler._main`` (0.4.1), the module whose functions are written
    without their globals. dill sets it at import, when ``__main__`` may be another
    module than the notebook's. If it is renamed, functions travel with all globals.

    Raises:
        Exception: Anything that pickling runs into.
    """
    from concurcrawl.compat.pickling import dill  # most crawls need no definitions

    buffer = io.BytesIO()
    pickler = dill.Pickler(
        buffer, protocol=pickle.HIGHEST_PROTOCOL, byref=False, recurse=False
    )
    pickler._main = sys.modules["__main__"]
    pickler.dump(dict(definitions))
    return buffer.getvalue()


def unpack(definitions: bytes, module: ModuleType) -> None:
    """Define in *module* what :func:`pack` was given.

    Touched: ``dill.Unpickler._main`` (0.4.1), whose namespace becomes the globals of
    the functions. If it is renamed, they do not find each other.
    """
    from concurcrawl.compat.pickling import dill  # most crawls need no definitions

    unpickler = dill.Unpickler(io.BytesIO(definitions))
    unpickler._main = module
    vars(module).update(unpickler.load())
