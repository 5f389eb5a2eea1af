"""The command ``retry``: put dead-lettered requests back into the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.terminal.console import line_console
from concurcrawl.tools.control import target

if TYPE_CHECKING:
    import argparse

    from concurcrawl.tools.control.target import Target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl retry`` to *parser*."""
    target.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Put them back and say how many.

    Returns:
        The exit code: 0; 1 if the crawl cannot be reached or refuses; 2 if an option
        is wrong.
    """
    return target.done("retry", args, _retry)


def _retry(crawl: Target) -> None:
    line_console().print(f"{crawl.retry()} requests wait again.")
