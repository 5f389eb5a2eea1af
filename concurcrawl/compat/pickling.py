"""dill and multiprocess, also where there is no folder for temporary files.

Touched: ``dill.session`` calls ``tempfile.gettempdir()`` while it is imported (dill
0.4.1), and ``multiprocess`` imports dill. Without a folder for temporary files the
import raises ``FileNotFoundError``. dill only keeps the name, as the place where
``dump_session`` writes by default. If dill stops asking, this module can go.

Import both from here, never directly.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _with_a_temporary_folder() -> Iterator[None]:
    """Name a folder for temporary files where there is none; nothing is written."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = os.sep
        try:
            yield
        finally:
            tempfile.tempdir = None
    else:
        yield


with _with_a_temporary_folder():
    import dill
    import multiprocess
    import multiprocess.connection

__all__ = ["dill", "multiprocess"]
