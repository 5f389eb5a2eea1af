"""Live progress rows of the crawls of this process, in its terminal.

They are drawn by hand, four times per second: rich takes more than ten times the CPU
for such a table.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from concurcrawl.progress.rates import DASH, Row, Tally, duration, rate
from concurcrawl.terminal.region import Above, Region, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from concurcrawl.progress.rates import Rates, Sight

_HEADINGS = ("pages", "pages/s", "in flight", "errors", "retries", "waiting", "left")
#: Lines around the rows: an empty one, title, headings, total and another empty one.
_AROUND = 6

_BOLD, _DIM = "1", "2"
_ALARMS = {"errors": "31", "retries": "33"}


@cache
def screen() -> Screen:
    """Return the screen of this process, which its crawls share."""
    return Screen(sys.stderr)


class Screen:
    """Shows the progress of crawls below everything else that is printed.

    Invariant: while it shows something, each stream and log handler of this process
    that prints to the terminal writes through it; otherwise none does.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._region: Region | None = None
        self._boards: dict[object, Callable[[int], list[str]]] = {}
        self._stand_ins: list[Above] = []
        self._undo: list[Callable[[], object]] = []

    def show(self, owner: object, board: Callable[[int], list[str]]) -> None:
        """Begin to show what *board* returns, for *owner*.

        Args:
            owner: Identifies the rows in later calls.
            board: Called with the number of lines that fit; returns at most that many.
        """
        if self._region is None:
            self._region = Region(self._stream)
            atexit.register(self._end)
            self._take_streams(self._region)
        self._boards[owner] = board
        self.refresh()

    def refresh(self) -> None:
        """Draw all rows again.

        Raises:
            OSError: If the terminal is gone.
        """
        if self._region is not None and self._boards:
            self._region.draw(self._lines(self._region))

    def hide(self, owner: object, last: list[str]) -> None:
        """Replace the rows of *owner* by *last*, for good."""
        if self._boards.pop(owner, None) is None or self._region is None:
            return
        if self._boards:
            self._region.write("\n".join(["", *last, "", ""]))
            self.refresh()
        else:
            self._close(last)

    def _lines(self, region: Region) -> list[str]:
        each = max(_AROUND, region.size().lines // len(self._boards))
        return [line for board in self._boards.values() for line in board(each)]

    def _end(self) -> None:
        """Leave the rows as they are when the process ends without :meth:`hide`."""
        if self._region is not None:
            self._close(self._lines(self._region))

    def _close(self, last: list[str]) -> None:
        assert self._region is not None
        atexit.unregister(self._end)
        for undo in reversed(self._undo):
            undo()
        for stand_in in self._stand_ins:
            stand_in.release()  # code may hold a reference to it
        self._undo.clear()
        self._stand_ins.clear()
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            self._region.close(last)
        self._region = None

    def _take_streams(self, region: Region) -> None:
        for name in ("stderr", "stdout"):
            stream: Any = getattr(sys, name)
            if not is_terminal(stream):
                continue
            above: Any = Above(stream, region, name)
            self._stand_ins.append(above)
            setattr(sys, name, above)
            self._undo.append(partial(setattr, sys, name, stream))
            for handler in _handlers():
                if handler.stream is stream:
                    handler.setStream(above)
                    self._undo.append(partial(handler.setStream, stream))


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    known = [logging.root, *logging.Logger.manager.loggerDict.values()]
    for logger in known:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler):
                yield handler


def board(
    title: str, sight: Sight, rates: Rates, *, lines: int, is_over: bool
) -> list[str]:
    """Return the rows of one crawl, as lines with colours.

    Args:
        title: Name and mode of the crawl.
        sight: Its progress.
        rates: Its rates.
        lines: How many lines fit; the last one sums up the workers that do not fit.
        is_over: Whether the crawl has ended: then rates are over all of it.
    """

    def per_s(row: Row) -> str:
        if is_over and sight.elapsed_s > 0:
            return rate(row.tally.pages / sight.elapsed_s)
        return rate(rates.pages_per_s(row))

    workers = _fitted(sight.workers, max(1, lines - _AROUND))
    waiting = DASH if sight.waiting is None else str(sight.waiting)
    ends = [] if is_over else [waiting, duration(rates.left_s())]
    table = [
        ["", *(_HEADINGS[:-2] if is_over else _HEADINGS)],
        *(_cells(row, per_s(row)) for row in workers),
        _cells(sight.total, per_s(sight.total)) + ends,
    ]
    done = "done in " if is_over else ""
    return [
        f"{_styled(title, _BOLD)}  {done}{duration(sight.elapsed_s)}",
        *_aligned(table),
    ]


def _fitted(rows: tuple[Row, ...], lines: int) -> list[Row]:
    """Return *rows*, at most *lines* of them; the last row sums up the others."""
    if len(rows) <= lines:
        return list(rows)
    kept, others = rows[: lines - 1], rows[lines - 1 :]
    rest = Row(
        f"and {len(others)} more",
        sum((row.tally for row in others), Tally()),
        sum(row.in_flight or 0 for row in others),
    )
    return [*kept, rest]


def _cells(row: Row, per_s: str) -> list[str]:
    if row.in_flight is None:
        return [row.name, "starting"]
    tally = row.tally
    counts = (row.in_flight, tally.errors, tally.retries)
    return [row.name, str(tally.pages), per_s, *map(str, counts)]


def _aligned(table: list[list[str]]) -> list[str]:
    """Return the lines of *table*: heads first, the total last."""
    widths = [
        max(len(row[column]) for row in table if column < len(row))
        for column in range(len(table[0]))
    ]
    return [
        "  ".join(
            _styled(
                cell.rjust(width) if column else cell.ljust(width),
                _style(cell, table[0][column], is_last=row is table[-1]),
            )
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        for row in table
    ]


def _style(cell: str, head: str, *, is_last: bool) -> str:
    if cell in (head, "starting"):
        return _DIM
    if head in _ALARMS and cell != "0":
        return _ALARMS[head]
    return _BOLD if is_last else ""


def _styled(text: str, style: str) -> str:
    has_colours = not os.environ.get("NO_COLOR")
    return f"\x1b[{style}m{text}\x1b[0m" if style and has_colours else text
