"""Runs the contenders in turn and measures them from outside."""

from __future__ import annotations

import resource
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.runner import contenders, options, workloads
from benchmarks.runner.options import configure
from benchmarks.runner.results import Results
from benchmarks.runner.run import Bench
from benchmarks.runner.tables import from_json, into_readme, markdown, to_json
from concurcrawl.durable.atomic_files import prepare_out, write_whole
from concurcrawl.errors import ConfigError
from concurcrawl.terminal.ending import FAILED, ended

if TYPE_CHECKING:
    import argparse

    from benchmarks.runner.options import Options

__all__ = ["configure", "run"]

JSON = "bench.json"
MARKDOWN = "bench.md"


def run(args: argparse.Namespace) -> int:
    """Measure, write JSON and Markdown, and print the latter.

    Returns:
        The exit code: 2 if an option cannot be worked with, 1 if something of ours
        failed, 130 if it was interrupted.
    """
    return ended(
        "bench",
        lambda: _measure(args),
        f"stopped; what was measured is in {args.out}",
    )


def _measure(args: argparse.Namespace) -> int:
    wanted = options.read(args)
    earlier = _earlier(wanted)
    _check_readme(wanted)
    prepare_out(wanted.out)
    _allow_connections()
    bench = Bench(wanted, _say)
    bench.run(lambda found: _write(wanted, _merged(earlier, found)))
    results = _merged(earlier, bench.results)
    _write(wanted, results)
    sys.stdout.write(markdown(results))
    if wanted.readme is not None:
        text = wanted.readme.read_text(encoding="utf-8")
        write_whole(
            wanted.readme.absolute().parent,
            wanted.readme.name,
            into_readme(text, results).encode(),
        )
    return FAILED if _has_failed(results) else 0


def _allow_connections() -> None:
    """Let contenders keep a connection open to each of many hosts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _earlier(wanted: Options) -> Results | None:
    file = wanted.out / JSON
    if not (wanted.keep and file.exists()):
        return None
    try:
        return from_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError("--keep", str(file), f"results to keep ({error})") from None


def _check_readme(wanted: Options) -> None:
    """See before the hour, not after it, that the tables can be put there."""
    if wanted.readme is None:
        return
    try:
        into_readme(wanted.readme.read_text(encoding="utf-8"), Results())
    except (OSError, ValueError) as error:
        expected = f"a text with the two marks ({error})"
        raise ConfigError("--readme", str(wanted.readme), expected) from None


def _merged(earlier: Results | None, found: Results) -> Results:
    """Return *found*, and what *earlier* has beside it."""
    if earlier is None:
        return found
    tables = {table.workload: table for table in (*earlier.tables, *found.tables)}
    order = [name for name in workloads.BY_NAME if name in tables]
    return replace(
        found,
        environment=found.environment if found.tables else earlier.environment,
        tables=tuple(tables[name] for name in order),
        frontier=found.frontier or earlier.frontier,
        imports_s=found.imports_s or earlier.imports_s,
    )


def _write(wanted: Options, results: Results) -> None:
    write_whole(wanted.out, JSON, to_json(results).encode())
    write_whole(wanted.out, MARKDOWN, markdown(results).encode())


def _has_failed(results: Results) -> bool:
    """Return whether a mode failed or lost a page; that a peer did is its result."""
    return any(
        summary.status in ("failed", "lost")
        for table in results.tables
        for summary in table.summaries
        if contenders.BY_NAME[summary.contender].is_ours
    )
