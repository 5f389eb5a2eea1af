"""The command ``limits``: change the limits of a site while a crawl runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError
from concurcrawl.option_values import number
from concurcrawl.terminal.console import line_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.control import target

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl limits`` to *parser*."""
    target.configure(parser)
    add = parser.add_argument
    add("group", metavar="GROUP", help="a host, or the name of a group of hosts")
    add("--in-flight", metavar="N", help="requests at a time")
    add("--delay", metavar="S", help="mean seconds between two requests")


def run(args: argparse.Namespace) -> int:
    """Change them and say which are in effect.

    Returns:
        The exit code: 0; 1 if the crawl cannot be reached or refuses; 2 if an option
        is wrong.
    """
    return ended("limits", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    limits = _limits(args)
    changed = target.target_of(args).change_limits(args.group, **limits)
    in_flight = changed["in_flight"] or "any number of"
    line_console().print(
        f"{changed['group']}: {in_flight} requests in flight, a delay of "
        f"{changed['delay_s']:g} s"
    )
    return 0


def _limits(args: argparse.Namespace) -> dict[str, float | None]:
    limits: dict[str, float | None] = {}
    if args.in_flight is not None:
        expected = "a whole number >= 1 (requests)"
        limits["in_flight"] = number("--in-flight", args.in_flight, expected, int, 1)
    if args.delay is not None:
        expected = "a number >= 0 (seconds)"
        limits["delay_s"] = number("--delay", args.delay, expected, float)
    if not limits:
        raise ConfigError("--in-flight", None, "given, or --delay")
    return limits
