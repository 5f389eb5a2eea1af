"""Lines at the foot of a terminal that are drawn again, and what is written above.

The cursor rests on an empty line on top of those lines, which is where the next line
of a log comes; then the lines are drawn again below it. Whatever writes to the
terminal past us (a browser that a callback started) writes on that empty line, too.
The cursor is never hidden, so nobody need bring it back, whatever ends the process.

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
    """Return whether *stream*, which may be nothing that has an end, is a terminal."""
    asked = getattr(stream, "isatty", None)
    return asked is not None and bool(asked())


class Region:
    """The lines at the foot of a terminal. Used from any thread.

    Invariant: between two calls the cursor is where the next line above belongs.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._drawn = ""
        self._unended: dict[str, str] = {}

    def draw(self, lines: Sequence[str]) -> None:
        """Show *lines* in the place of those that are there.

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
            self._say("")

    def write(self, text: str, source: str = "") -> None:
        """Write *text* above the lines.

        What does not end a line yet is held back until the rest of it has come.

        Args:
            text: It.
            source: Who writes: others must not get between the parts of a line.
        """
        with self._lock:
            whole, newline, rest = (self._unended.pop(source, "") + text).rpartition(
                "\n"
            )
            if rest:
                self._unended[source] = rest
            if newline:
                self._say(whole + newline)

    def close(self, lines: Sequence[str] = ()) -> None:
        """Leave *lines* as they are, and the cursor below them."""
        with self._lock:
            self._drawn = ""
            rest = [*self._unended.values(), *lines]
            self._unended.clear()
            self._say("".join(f"{line}\n" for line in rest))

    def size(self) -> os.terminal_size:
        """Return the terminal's size, one that is usual if it does not tell."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            size = os.terminal_size((0, 0))
        return os.terminal_size((size.columns or 80, size.lines or 24))

    def _say(self, text: str) -> None:
        # In one piece: what others write meanwhile does not get into it.
        self._stream.write(_CLEAR_BELOW + text + self._drawn)
        self._stream.flush()


class Above:
    """Stands for a stream whose terminal has a region: writes above it.

    Args:
        stream: What it stands for.
        region: The region.
        name: Which stream it is.
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
        """Pass everything on from now on: the region is gone."""
        self._region = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Clearing:
    """Stands for a terminal in whose lines another process has drawn.

    What a line of ours does not cover of those is cleared.

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
