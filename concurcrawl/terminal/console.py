"""The consoles and the tables of our commands, which all look the same."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: Width of a table that goes into a file or a pipe, where none is given.
_NOT_A_TERMINAL_COLUMNS = 140


def table_console() -> Console:
    """Return standard output for tables and texts that are wrapped to its width."""
    console = Console()
    if not console.is_terminal:
        console.width = _NOT_A_TERMINAL_COLUMNS
    return console


def line_console(*, stderr: bool = False) -> Console:
    """Return standard output, or *stderr*, for lines that are printed as they are."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False)


def plain_table() -> Table:
    """Return a table without columns yet, which has no lines but one below its head."""
    return Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
