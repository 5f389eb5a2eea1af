"""The command ``report``: write all reports of a comparison again from its records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.terminal.console import table_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.compare.publish import PAGE, publish, read, require_charts
from concurcrawl.tools.compare.report.terminal import show

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl report`` to *parser*."""
    parser.add_argument(
        "folder", metavar="DIR", help="the --out folder of a concurcrawl compare"
    )


def run(args: argparse.Namespace) -> int:
    """Compute, print and write everything again.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0; 2 if there is no comparison in the folder.
    """
    return ended("report", lambda: _report(Path(args.folder)))


def _report(folder: Path) -> int:
    require_charts()
    environment, outcomes, complete = read(folder)
    publish(folder, environment, outcomes, complete=complete)
    console = table_console()
    for outcome in outcomes:
        show(outcome, console)
    console.print(
        f"Report: {folder / PAGE}", highlight=False, markup=False, soft_wrap=True
    )
    return 0
