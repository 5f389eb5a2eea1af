"""Import dill and multiprocess even without a folder for temporary files.

Import both from here, never directly.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Iterator


@touches("tempfile", "gettempdir", "tempdir")
@contextmanager
def with_a_temporary_folder() -> Iterator[None]:
    """Name a folder for temporary files where there is none; nothing is written.

    ``multiprocess`` imports dill, which asks for the folder while it is imported and
    only keeps the name, as the place where ``dump_session()`` writes by default.

    Touches: sets ``tempfile.tempdir`` while dill is imported (dill 0.4.1, CPython 3.11
    to 3.13). If it moves, the import raises ``FileNotFoundError`` on a machine without
    such a folder. Wished for: that dill asks when it writes.
    """
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


with with_a_temporary_folder():
    import dill
    import multiprocess
    import multiprocess.connection

__all__ = ["dill", "multiprocess"]
