"""The command line ``concurcrawl``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Name: its module, with ``configure(parser)`` and ``run(args) -> int``; its summary.
COMMANDS = {
    "compare": (
        "concurcrawl.tools.compare.command",
        "run a spider in several modes and compare them",
    ),
    "advise": (
        "concurcrawl.tools.compare.advising",
        "recommend a mode for a spider, from one short serial run",
    ),
    "doctor": (
        "concurcrawl.tools.doctor.command",
        "check a project and its plugins under each mode, without a crawl",
    ),
    "report": (
        "concurcrawl.tools.compare.again",
        "make the reports of a comparison again from its records",
    ),
    "deploy": (
        "concurcrawl.tools.scrapyd.command",
        "run a spider on Scrapyd servers, and follow it there",
    ),
    "status": (
        "concurcrawl.tools.redis.status",
        "show the crawls that several machines share over a Redis",
    ),
    "items": (
        "concurcrawl.tools.redis.items",
        "take the items of a distributed crawl out of Redis, as JSON lines",
    ),
    "purge": ("concurcrawl.tools.redis.purge", "delete a distributed crawl from Redis"),
    "add": ("concurcrawl.tools.control.add", "put URLs into a crawl that runs"),
    "stop": ("concurcrawl.tools.control.stop", "end a crawl that runs"),
    "pause": ("concurcrawl.tools.control.pause", "pause a crawl that runs"),
    "resume": ("concurcrawl.tools.control.resume", "let a paused crawl go on"),
    "limits": (
        "concurcrawl.tools.control.limits",
        "change the limits of a site while a crawl runs",
    ),
    "dashboard": (
        "concurcrawl.tools.control.dashboard",
        "show a crawl that runs in a browser",
    ),
    "retry": (
        "concurcrawl.tools.control.retry",
        "put dead-lettered requests of a crawl back",
    ),
    "testsite": (
        "concurcrawl.tools.testsite.server",
        "serve the country pages of the demo spider, offline",
    ),
}


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without printing the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments after the program's name; those of this process if None.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["mirror"]:
        old = "concurcrawl mirror is deprecated; use concurcrawl testsite"
        print(old, file=sys.stderr)
        words[0] = "testsite"
    parser = _Parser(prog="concurcrawl", description="Serial, concurrent, parallel.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, about) in COMMANDS.items():
        command = commands.add_parser(
            name, help=about, description=about[0].upper() + about[1:] + "."
        )
        # Import only the chosen command: "--help" stays fast, and no command needs
        # the libraries of another one.
        if words[:1] == [name]:
            chosen = import_module(module)
            chosen.configure(command)
    args = parser.parse_args(words)
    return int(chosen.run(args))
