"""Commands that the add-on adds to ``scrapy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from concurcrawl.tools.compare import options

if TYPE_CHECKING:
    import argparse


class Compare(ScrapyCommand):
    """``scrapy compare``: the same as ``concurcrawl compare``."""

    requires_project = False
    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def syntax(self) -> str:
        """Return what follows the command's name."""
        return "[options]"

    def short_desc(self) -> str:
        """Return the line of Scrapy's list of commands."""
        return "Run a spider serial, concurrent and parallel and compare the runs"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options; Scrapy's own ``-s`` applies to every crawl."""
        super().add_options(parser)
        options.configure(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Run the comparison.

        Raises:
            UsageError: If there are positional arguments.
        """
        from concurcrawl.tools.compare import command

        if args:
            raise UsageError(f"unknown argument: {args[0]}", print_help=False)
        self.exitcode = command.run(opts)
