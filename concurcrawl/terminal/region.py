"""Lines at the bottom of a terminal that are redrawn, with output above them.

The cursor rests on an empty line above those lines. The next line of the log goes
there, and the lines are redrawn below it. Output of another process (a browser that a
callback started) goes to that empty line too. The cursor is never hidden, so it need
not be restored, whatever ends the process.

References:
    ECMA-48, "Control Functions for Coded Character Sets" (CUU, ED), and DEC's private
    mode 7, automatic wrapping.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

_CLEAR_BELOW = "\r\x1b[J"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


def is_terminal(stream: object) -> bool:
    """Return whether *stream* is a terminal; it may be any object."""
    asked = getattr(stream, "isatty", None)
    return asked is not None and bool(asked())


class Region:
    """The lines at the bottom of a terminal. Thread-safe.

    Invariant: between two calls the cursor is where the next line of output belongs.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._drawn = ""
        self._unended: dict[str, str] = {}

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines by *lines*.

        Raises:
            OSError: If the terminal is gone.
        """
        with self._lock:
            lines = lines[: max(1, self.size().lines - 2)]
            self._drawn = (
                f"{_NO_WRAP}\n" + "\n".join(lines) + f"{_WRAP}\r\x1b[{len(lines)}A"
                if lines
                else ""
            )
            self._emit("")

    def write(self, text: str, source: str = "") -> None:
        """Write *text* above the lines.

        An incomplete line is held back until the rest of it is written.

        Args:
            text: What to print.
            source: Identifies the writer, whose lines must not be mixed with others'.
        """
        with self._lock:
            whole, newline, rest = (self._unended.pop(source, "") + text).rpartition(
                "\n"
            )
            if rest:
                self._unended[source] = rest
            if newline:
                self._emit(whole + newline)

    def close(self, lines: Sequence[str] = ()) -> None:
        """Draw *lines* for the last time and put the cursor below them."""
        with self._lock:
            self._drawn = ""
            rest = [*self._unended.values(), *lines]
            self._unended.clear()
            self._emit("".join(f"{line}\n" for line in rest))

    def size(self) -> os.terminal_size:
        """Return the terminal's size, 80 by 24 if it is unknown."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            size = os.terminal_size((0, 0))
        return os.terminal_size((size.columns or 80, size.lines or 24))

    def _emit(self, text: str) -> None:
        # One write, so that output of other processes cannot get into it.
        self._stream.write(_CLEAR_BELOW + text + self._drawn)
        self._stream.flush()


class Above:
    """Replaces a stream whose terminal has a region; it writes above the region.

    Args:
        stream: The stream that it replaces.
        region: The region.
        name: The name of the stream.
    """

    def __init__(self, stream: TextIO, region: Region, name: str) -> None:
        self._stream = stream
        self._region: Region | None = region
        self._name = name

    def write(self, text: str) -> int:
        """Write *text* above the region."""
        if self._region is None:
            return self._stream.write(text)
        self._region.write(text, self._name)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write *lines* above the region."""
        self.write("".join(lines))

    def release(self) -> None:
        """Write straight to the stream from now on: the region is gone."""
        self._region = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Clearing:
    """Replaces a stream of a process that shares its terminal with progress rows.

    Clears to the end of line on every print, so that output does not mix with the rows.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write *text*, clearing each line to its end."""
        self._stream.write(text.replace("\n", "\x1b[K\n"))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write *lines*, clearing each to its end."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
