"""The command ``items``: take the items out of a Redis stream."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from concurcrawl.errors import ItemsError
from concurcrawl.frontier.redis import admin
from concurcrawl.terminal.arguments import add_pairs, check_pairs, masked
from concurcrawl.terminal.console import line_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.redis import place

if TYPE_CHECKING:
    import argparse

    from concurcrawl.frontier.redis.connection import JobRef


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl items`` to *parser*."""
    place.configure(parser)
    parser.add_argument("--keep", action="store_true", help="leave the items in Redis")
    feed = parser.add_mutually_exclusive_group()
    about = "a feed, as of scrapy crawl: a file, s3://…, with its format as the ending"
    feed.add_argument("-o", metavar="FEED", dest="append", help=f"append to {about}")
    feed.add_argument("-O", metavar="FEED", dest="overwrite", help=f"write {about}")
    add_pairs(parser, "-s", dest="settings", about="a setting of Scrapy for the feed")


def run(args: argparse.Namespace) -> int:
    """Write all items to standard output or a feed; what was written leaves Redis.

    Returns:
        The exit code: 0; 1 if Redis cannot be used or the output was closed; 2 if an
        option is wrong.
    """
    return ended("items", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_pairs("-s", args.settings)
    target = place.only_job(place.target_of(args))
    if args.append or args.overwrite:
        return _write_feed(args, target)
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


def _write_feed(args: argparse.Namespace, target: JobRef) -> int:
    from concurcrawl.tools.redis import feed  # imports Scrapy

    output = args.overwrite or args.append
    settings = feed.settings_of(
        output, overwrite=bool(args.overwrite), pairs=args.settings
    )
    count = feed.write(target, settings, keep=args.keep)
    line_console(stderr=True).print(f"{count} items in {masked(output)}")
    return 0
