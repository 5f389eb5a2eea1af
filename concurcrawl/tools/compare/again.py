"""The command ``report``: write reports from records.

Those of a comparison are written again; the records of one crawl
(``CONCURCRAWL_RECORDS``) become a page beside their file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.durable.atomic_files import write_whole
from concurcrawl.errors import ConfigError
from concurcrawl.terminal.console import table_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.compare.kept import read_file
from concurcrawl.tools.compare.publish import PAGE, publish, read, require_charts
from concurcrawl.tools.compare.report.terminal import show

if TYPE_CHECKING:
    import argparse

    from rich.console import Console


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl report`` to *parser*."""
    parser.add_argument(
        "folder",
        metavar="DIR|FILE",
        help="the --out folder of a concurcrawl compare, or the file of "
        "CONCURCRAWL_RECORDS of one crawl",
    )


def run(args: argparse.Namespace) -> int:
    """Compute, print and write everything again.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0; 2 if there is no comparison in the folder, or the file has no
        records.
    """
    path = Path(args.folder)
    report = _report_crawl if path.is_file() else _report
    return ended("report", lambda: report(path))


def _report(folder: Path) -> int:
    require_charts()
    environment, outcomes, complete = read(folder)
    publish(folder, environment, outcomes, complete=complete)
    console = table_console()
    for outcome in outcomes:
        show(outcome, console)
    _print_where(console, folder / PAGE)
    return 0


def _report_crawl(file: Path) -> int:
    require_charts()
    from concurcrawl.tools.compare.report.crawl_html import page  # takes a second

    records = read_file(file, "FILE")
    if not records:
        raise ConfigError("FILE", str(file), "a file with records, but it is empty")
    name = f"{file.name.removesuffix('.gz').removesuffix('.jsonl')}.html"
    text = page(file.name, records)
    write_whole(file.parent, name, text.encode("utf-8", "backslashreplace"))
    _print_where(table_console(), file.parent / name)
    return 0


def _print_where(console: Console, page: Path) -> None:
    console.print(f"Report: {page}", highlight=False, markup=False, soft_wrap=True)
