"""The command ``compare``, for our command line and for Scrapy's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.durable.atomic_files import prepare_out
from concurcrawl.terminal.console import table_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.compare import options
from concurcrawl.tools.compare.publish import DOCUMENT, PAGE, require_charts
from concurcrawl.tools.compare.report.live import progress_for
from concurcrawl.tools.compare.report.terminal import show
from concurcrawl.tools.compare.run import Comparison
from concurcrawl.tools.compare.target import find

if TYPE_CHECKING:
    import argparse

    from concurcrawl.tools.compare.analyse import ComparisonResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl compare`` to *parser*."""
    options.configure(parser)
    options.configure_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Run the comparison, print its tables and write its reports.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0; 1 if a mode failed; 2 if an option is wrong; 130 if it was
        interrupted.
    """
    interrupted = f"Interrupted; what had ended is in {Path(args.out) / DOCUMENT}."
    return ended("compare", lambda: _compare(args), interrupted)


def _compare(args: argparse.Namespace) -> int:
    wanted = options.read(args)
    require_charts()
    target = find(wanted)
    prepare_out(wanted.out)
    console = table_console()
    comparison = Comparison(wanted, target, progress_for(console))
    comparison.run(lambda outcome: show(outcome, console))
    console.print(
        f"\nReport: {wanted.out / PAGE}\nRecords and figures: {wanted.out / DOCUMENT}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return int(any(_has_failed(outcome) for outcome in comparison.outcomes))


def _has_failed(outcome: ComparisonResult) -> bool:
    return any(row.status != "ok" for row in outcome.rows)
