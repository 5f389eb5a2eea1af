"""The command ``compare``, for our command line and for Scrapy's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from concurcrawl.compare import options
from concurcrawl.compare.ending import ended
from concurcrawl.compare.publish import DOCUMENT, PAGE
from concurcrawl.compare.report.live import progress_for
from concurcrawl.compare.report.terminal import show
from concurcrawl.compare.run import Comparison
from concurcrawl.compare.target import find
from concurcrawl.errors import ConfigError
from concurcrawl.files import prepare_folder

if TYPE_CHECKING:
    import argparse

    from concurcrawl.compare.analyse import Outcome

_NOT_A_TERMINAL_COLUMNS = 140


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl compare`` to *parser*."""
    options.configure(parser)
    options.configure_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, print and write what came of it.

    Args:
        args: What the parser gave.

    Returns:
        The exit code: 0; 1 if a mode failed; 2 if an option is wrong; 130 if it was
        interrupted.
    """
    said = f"Interrupted; what had ended is in {Path(args.out) / DOCUMENT}."
    return ended("compare", lambda: _compare(args), said)


def _compare(args: argparse.Namespace) -> int:
    wanted = options.read(args)
    target = find(wanted)
    prepare_out(wanted.out)
    console = Console()
    if not console.is_terminal:
        console.width = _NOT_A_TERMINAL_COLUMNS
    comparison = Comparison(wanted, target, progress_for(console))
    comparison.run(lambda outcome: show(outcome, console))
    console.print(
        f"\nReport: {wanted.out / PAGE}\nRecords and figures: {wanted.out / DOCUMENT}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return int(any(_has_failed(outcome) for outcome in comparison.outcomes))


def prepare_out(folder: Path) -> None:
    """Make the folder of ``--out``.

    Raises:
        ConfigError: If nothing can be written there.
    """
    try:
        prepare_folder(folder)
    except OSError as error:
        expected = f"a folder for results ({error.strerror or error})"
        raise ConfigError("--out", str(folder), expected) from None


def _has_failed(outcome: Outcome) -> bool:
    return any(row.status != "ok" for row in outcome.rows)
