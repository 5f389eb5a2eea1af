"""Bodies kept on disk between runs.

A file that is damaged, missing or cannot be written costs time, never a wrong page.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path

_SUM_BYTES = 4


def cache_folder() -> Path | None:
    """Return the user's folder for caches, or None if there is no home."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given / "concurcrawl"
    try:
        return Path.home() / ".cache" / "concurcrawl"
    except RuntimeError:
        return None


class BodyStore:
    """Named bodies in one folder; several processes may use it at once.

    Args:
        folder: Where; made when first needed. None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """Return what :meth:`put` kept, or None if it is not there whole."""
        if self._folder is None:
            return None
        try:
            raw = (self._folder / name).read_bytes()
        except OSError:
            return None
        body, kept = raw[_SUM_BYTES:], raw[:_SUM_BYTES]
        return body if kept == _sum(body) else None

    def put(self, name: str, body: bytes) -> None:
        """Keep *body*, whole or not at all; do nothing where that fails."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_sum(body))
                file.write(body)
            Path(unfinished).replace(self._folder / name)
        except OSError:  # a full disk
            Path(unfinished).unlink(missing_ok=True)


def _sum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_SUM_BYTES, "big")
