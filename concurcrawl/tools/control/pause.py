"""The command ``pause``: start no more requests of a crawl, at all its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.terminal.console import line_console
from concurcrawl.tools.control import target

if TYPE_CHECKING:
    import argparse

    from concurcrawl.tools.control.target import Target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl pause`` to *parser*."""
    target.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Do it.

    Returns:
        The exit code: 0; 1 if the crawl cannot be reached or refuses; 2 if an option
        is wrong.
    """
    return target.done("pause", args, _pause)


def _pause(crawl: Target) -> None:
    crawl.pause(is_on=True)
    line_console().print("The crawl is paused.")
