"""The command ``compare``, for our command line and for Scrapy's."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from rich.console import Console

from concurcrawl.compare import options
from concurcrawl.compare.publish import DOCUMENT, PAGE
from concurcrawl.compare.report.live import progress_for
from concurcrawl.compare.report.terminal import show
from concurcrawl.compare.run import Comparison
from concurcrawl.compare.target import find
from concurcrawl.errors import ConcurcrawlError, ConfigError
from concurcrawl.files import prepare_folder

if TYPE_CHECKING:
    import argparse

    from concurcrawl.compare.analyse import Outcome

_NOT_A_TERMINAL_COLUMNS = 140
_WRONG = 2
_INTERRUPTED = 128 + signal.SIGINT


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl compare`` to *parser*."""
    options.configure(parser)
    parser.add_argument(
        "-s",
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting of every crawl (may be repeated)",
    )


def run(args: argparse.Namespace) -> int:
    """Compare, print and write what came of it.

    Args:
        args: What the parser gave.

    Returns:
        The exit code: 0; 1 if a mode failed; 2 if an option is wrong; 130 if it was
        interrupted.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        wanted = options.read(args)
        target = find(wanted)
        prepare_folder(wanted.out)
    except ConfigError as error:
        errors.print(f"concurcrawl compare: {error}")
        return _WRONG
    except OSError as error:
        errors.print(f"concurcrawl compare: --out={str(args.out)!r}: {error}")
        return _WRONG
    console = Console()
    if not console.is_terminal:
        console.width = _NOT_A_TERMINAL_COLUMNS
    comparison = Comparison(wanted, target, progress_for(console))
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        comparison.run(lambda outcome: show(outcome, console))
    except KeyboardInterrupt:
        errors.print(f"Interrupted; what had ended is in {wanted.out / DOCUMENT}.")
        return _INTERRUPTED
    except ConfigError as error:
        errors.print(f"concurcrawl compare: {error}")
        return _WRONG
    except ConcurcrawlError as error:
        errors.print(f"concurcrawl compare: {error}")
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    console.print(
        f"\nReport: {wanted.out / PAGE}\nRecords and figures: {wanted.out / DOCUMENT}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return int(any(_has_failed(outcome) for outcome in comparison.outcomes))


def _has_failed(outcome: Outcome) -> bool:
    return any(row.status != "ok" for row in outcome.rows)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
