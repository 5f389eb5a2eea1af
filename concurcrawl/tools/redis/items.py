"""The command ``items``: what nodes put into the stream of a Redis, as JSON lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from concurcrawl.errors import ItemsError
from concurcrawl.frontier.redis import admin
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.redis import place

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl items`` to *parser*."""
    place.configure(parser)
    parser.add_argument(
        "--keep", action="store_true", help="leave them there, to be taken again"
    )


def run(args: argparse.Namespace) -> int:
    """Write all items to the standard output; those that are written leave Redis.

    Returns:
        The exit code: 0; 1 if Redis cannot be used, or nobody reads; 2 if an option is
        wrong.
    """
    return ended("items", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    target = place.only_job(place.target_of(args))
    out = sys.stdout.buffer
    for item in admin.drain(target, keep=args.keep):
        try:
            out.write(item + b"\n")
            # It leaves Redis when the next is asked for: it must be out by then.
            out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ItemsError(error.strerror or str(error)) from None
    return 0
