"""The command ``add``: put start requests into a crawl that runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError
from concurcrawl.terminal.console import line_console
from concurcrawl.terminal.ending import FAILED, ended
from concurcrawl.tools.control import target

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from concurcrawl.tools.control.target import Target

#: URLs that are sent together.
_AT_ONCE = 1000

#: Refused URLs that are named.
_NAMED = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl add`` to *parser*."""
    target.configure(parser)
    parser.add_argument("urls", metavar="URL", nargs="*", help="a URL; - reads stdin")
    parser.add_argument("--file", metavar="FILE", help="a file with one URL per line")


def run(args: argparse.Namespace) -> int:
    """Add them and say how many were taken.

    Returns:
        The exit code: 0 if all were taken or known; 1 if some were refused, or the
        crawl cannot be reached; 2 if an option or a file is wrong.
    """
    return ended("add", lambda: _add(_urls(args), target.target_of(args)))


def _urls(args: argparse.Namespace) -> list[str]:
    if args.file and args.urls:
        raise ConfigError("--file", args.file, "left out where URLs are given")
    lines: Iterable[str] = args.urls
    if args.file:
        lines = Path(args.file).read_text(encoding="utf-8").splitlines()
    elif args.urls == ["-"]:
        lines = sys.stdin
    found = [url for line in lines if (url := line.strip())]
    if not found:
        raise ConfigError("URL", "", "at least one, here, in a --file or by - on stdin")
    return found


def _add(urls: Sequence[str], crawl: Target) -> int:
    out, errors = line_console(), line_console(stderr=True)
    taken = duplicates = refused = 0
    try:
        for first in range(0, len(urls), _AT_ONCE):
            result = crawl.add(urls[first : first + _AT_ONCE])
            taken += result["taken"]
            duplicates += result["duplicates"]
            for one in result["refused"]:
                refused += 1
                if refused <= _NAMED:
                    errors.print(f"{one['reason']}")
    finally:
        out.print(f"{taken} taken, {duplicates} duplicates, {refused} refused")
    return FAILED if refused else 0
