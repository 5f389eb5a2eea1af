"""The consoles and tables of all commands, so that they look the same."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: Width of a table that goes into a file or a pipe, where none is given.
_NOT_A_TERMINAL_COLUMNS = 140


def table_console() -> Console:
    """Return a console on standard output that wraps to the terminal's width."""
    console = Console()
    if not console.is_terminal:
        console.width = _NOT_A_TERMINAL_COLUMNS
    return console


def line_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or *stderr*, that wraps nothing."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False)


def plain_table() -> Table:
    """Return an empty table with a single rule, below its headings."""
    return Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
