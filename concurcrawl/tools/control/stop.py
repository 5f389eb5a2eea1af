"""The command ``stop``: end a crawl that runs, at all its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.terminal.console import line_console
from concurcrawl.tools.control import target

if TYPE_CHECKING:
    import argparse

    from concurcrawl.tools.control.target import Target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl stop`` to *parser*."""
    target.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Do it.

    Returns:
        The exit code: 0; 1 if the crawl cannot be reached or refuses; 2 if an option
        is wrong.
    """
    return target.done("stop", args, _stop)


def _stop(crawl: Target) -> None:
    crawl.stop()
    line_console().print("The crawl was told to stop.")
