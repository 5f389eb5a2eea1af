"""The file of ``CONCURCRAWL_RECORDS``: a line for each request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.tracing import record as records

if TYPE_CHECKING:
    from typing import TextIO

    from concurcrawl.tracing.record import Record


class RecordFile:
    """Writes records, if there is a file for them."""

    def __init__(self, path: str) -> None:
        """Make one that is not open.

        Args:
            path: Of the file; empty for none.
        """
        self._path = path
        self._file: TextIO | None = None

    def open(self) -> None:
        """Begin an empty file.

        Raises:
            OSError: If it cannot be written.
        """
        if self._path:
            path = Path(self._path)
            self._file = path.open("w", encoding="utf-8", buffering=1)

    @property
    def is_open(self) -> bool:
        """Whether records are written."""
        return self._file is not None

    def write(self, record: Record | None) -> None:
        """Append *record*, if there is one."""
        if record is not None and self._file is not None:
            self._file.write(records.to_line(record))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
