"""A terminal that is none: what a program would show, and a real pseudo-terminal."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager, suppress
from fcntl import ioctl
from typing import TYPE_CHECKING

from tests.support.crawls import DEADLINE_S, PROJECT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


class Screen:
    """Understands as much of ECMA-48 as we write; keeps what has scrolled away."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.columns, self.lines = columns, lines
        self.rows = [""]
        self.line = self.column = 0
        self.wraps = True
        self.is_cursor_hidden = False

    def feed(self, text: str) -> None:
        for match in _TOKEN.finditer(text):
            token = match[0]
            if token == "\r":
                self.column = 0
            elif token == "\n":
                self._down()
            elif token.startswith("\x1b"):
                self._control(match[1], match[2])
            else:
                self._put(token)

    def _down(self) -> None:
        self.line += 1
        if self.line == len(self.rows):
            self.rows.append("")

    def _control(self, numbers: str, letter: str) -> None:
        match letter, numbers:
            case "J", _:
                del self.rows[self.line + 1 :]
                self.rows[self.line] = self.rows[self.line][: self.column]
            case "K", _:
                self.rows[self.line] = self.rows[self.line][: self.column]
            case "A", _:
                # No further than to the top: what has scrolled away is out of reach.
                top = max(0, len(self.rows) - self.lines)
                self.line = max(top, self.line - int(numbers or 1))
            case (("h" | "l"), "?7"):
                self.wraps = letter == "h"
            case (("h" | "l"), "?25"):
                self.is_cursor_hidden = letter == "l"
            case "m", _:
                pass
            case _:
                raise AssertionError(f"unknown: {numbers}{letter}")

    def _put(self, text: str) -> None:
        for character in text:
            if self.column == self.columns:
                if not self.wraps:
                    return
                self._down()
                self.column = 0
            row = self.rows[self.line].ljust(self.column)
            self.rows[self.line] = (
                row[: self.column] + character + row[self.column + 1 :]
            )
            self.column += 1

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows)


class Terminal:
    """A pseudo-terminal with a program in it."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.screen = Screen(*_SIZE)
        self._master = master

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, pattern: str) -> None:
        """Wait until *pattern* is on the screen."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not re.search(pattern, self.screen.text):
            assert time.monotonic() < deadline_s, self.screen.text
            assert self._read(), self.screen.text

    def finish(self) -> None:
        """Wait until the program has ended and all that it wrote was seen."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self._read():
            assert time.monotonic() < deadline_s, self.screen.text
        self.process.wait(DEADLINE_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.2)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last process has closed it
            return False
        # A part of a character may be cut off; what we look for is ASCII.
        self.screen.feed(data.decode(errors="replace"))
        return bool(data)


_SIZE = (110, 30)


@contextmanager
def in_terminal(*words: str) -> Iterator[Terminal]:
    """Run ``python`` with *words* in a terminal; whatever is left of it is killed."""
    master, slave = os.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _SIZE[1], _SIZE[0], 0, 0))
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=PROJECT,
        env={**environment(), "TERM": "xterm-256color"},
        # So that Ctrl-C is a signal. No thread of ours holds a lock that it needs.
        preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait(DEADLINE_S)
        os.close(master)
