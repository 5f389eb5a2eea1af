"""Locks on files: who has one has it alone, until the process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def locked(path: Path) -> IO[bytes]:
    """Open and lock a file, which is made if it is not there.

    Two locks of one process keep each other out, too.

    Raises:
        BlockingIOError: If another has it.
        OSError: If the file cannot be opened.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        _lock(file)
    except OSError:
        file.close()
        raise
    return file


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> None:
        import msvcrt  # there is none elsewhere

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None

else:

    def _lock(file: IO[bytes]) -> None:
        import fcntl  # there is none on Windows

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Passing:
    """A lock whose file is gone when it is released."""

    def __init__(self, path: Path) -> None:
        """Lock the file at *path*.

        Raises:
            BlockingIOError: If another has it.
            OSError: If the file cannot be opened.
        """
        self._path = path
        self._file = locked(path)
        # Whoever had it may have removed the file between our two steps.
        while not self._is_there():
            self._file.close()
            self._file = locked(path)

    def release(self) -> None:
        """Let others have it, and remove the file."""
        if not self._file.closed:
            with contextlib.suppress(OSError):  # Windows keeps what is open
                self._path.unlink()
            self._file.close()

    def _is_there(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._file.fileno()))
