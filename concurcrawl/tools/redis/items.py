"""The command ``items``: take the items out of a Redis stream, as JSON lines."""

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
    parser.add_argument("--keep", action="store_true", help="leave the items in Redis")


def run(args: argparse.Namespace) -> int:
    """Write all items to standard output; items that were written leave Redis.

    Returns:
        The exit code: 0; 1 if Redis cannot be used or the output was closed; 2 if an
        option is wrong.
    """
    return ended("items", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    target = place.only_job(place.target_of(args))
    out = sys.stdout.buffer
    for item in admin.drain(target, keep=args.keep):
        try:
            out.write(item + b"\n")
            # It is removed from Redis when the next one is requested: flush it before.
            out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ItemsError(error.strerror or str(error)) from None
    return 0
