"""The command ``advise``: recommend a mode from one short serial run or its records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from concurcrawl.cpus import usable_cpus
from concurcrawl.durable.atomic_files import prepare_out
from concurcrawl.errors import NoSerialRunError
from concurcrawl.terminal.console import line_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.compare import options
from concurcrawl.tools.compare.advice import Advice, SiteLimits, advise
from concurcrawl.tools.compare.kept import KeptRecords
from concurcrawl.tools.compare.publish import read, require_charts
from concurcrawl.tools.compare.report.live import progress_for
from concurcrawl.tools.compare.run import Comparison
from concurcrawl.tools.compare.target import find, politeness_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tools.compare.options import CompareOptions

_PAGES = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl advise`` to *parser*."""
    options.configure_crawl(parser)
    options.configure_settings(parser)
    parser.set_defaults(out="advice", modes="serial", rounds="1", sweep=None)
    parser.add_argument(
        "--from",
        dest="record",
        metavar="DIR",
        help="a comparison with serial runs, instead of a new run",
    )


def run(args: argparse.Namespace) -> int:
    """Make or read one serial run and print the recommendation.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0; 1 if the run failed; 2 if an option is wrong; 130 if it was
        interrupted.
    """
    return ended("advise", lambda: _advise(args))


def _advise(args: argparse.Namespace) -> int:
    wanted = _options(args)
    outcomes = _outcomes(args, wanted)
    known = [outcome for outcome in outcomes if outcome.cost is not None]
    if not known:
        raise NoSerialRunError(_why_unknown(outcomes))
    console = line_console()
    for outcome in known:
        assert outcome.cost is not None
        limits = _limits(wanted, outcome, Path(args.record or wanted.out))
        cores = usable_cpus() if args.record is None else outcome.setup.cores
        found = advise(outcome.cost, cores=cores, limits=limits)
        console.print(_in_words(outcome.experiment.title, found))
    return 0


def _why_unknown(outcomes: Sequence[ComparisonResult]) -> str:
    runs = [run for one in outcomes for run in one.runs if run.mode == "serial"]
    if not runs:
        return "there is none"
    worst = max(runs, key=lambda run: run.failures)
    if worst.reason:
        return worst.reason
    if 2 * worst.failures > worst.requests:
        return f"{worst.failures} of its {worst.requests} requests failed"
    return "it made too few requests, or was too quick to be measured"


def _options(args: argparse.Namespace) -> CompareOptions:
    if args.pages is None:
        args.pages = str(_PAGES)
    if args.spider is not None:  # it may not know of pages
        args.set = [f"CLOSESPIDER_PAGECOUNT={args.pages}", *args.set]
    elif args.work is None and args.site is None:
        args.work = "save"
    args.tutorial = False
    return options.read(args)


def _outcomes(
    args: argparse.Namespace, wanted: CompareOptions
) -> tuple[ComparisonResult, ...]:
    if args.record is not None:
        return read(Path(args.record))[1]
    require_charts()
    target = find(wanted)
    prepare_out(wanted.out)
    comparison = Comparison(wanted, target, progress_for(Console(stderr=True)))
    comparison.run(lambda _: None)
    return comparison.explained


def _limits(
    wanted: CompareOptions, outcome: ComparisonResult, folder: Path
) -> SiteLimits:
    """Return the limits of the site that most of the records are about."""
    records = [
        r
        for some in KeptRecords(folder, (run.folder for run in outcome.runs)).values()
        for r in some
    ]
    politeness = politeness_of(wanted)
    groups = [politeness.group_of(record.url, None) for record in records]
    limits = politeness.limits_of(max(set(groups), key=groups.count))
    rates = [limits.rate_per_s, 1 / limits.delay_s if limits.delay_s else 0.0]
    return SiteLimits(
        in_flight=limits.in_flight,
        rate_per_s=min(filter(None, rates), default=0.0),
    )


def _in_words(title: str, found: Advice) -> str:
    settings = " ".join(f"-s {pair}" for pair in found.settings)
    gain = (
        "and nothing else would be faster"
        if found.mode == "serial"
        else f"{found.gain:.1f} times as fast as serial"
    )
    return (
        f"{title}: use {settings}\n"
        f"  About {found.pages_per_s:.1f} pages/s in a long crawl, {gain}.\n"
        f"  {found.reason}"
    )
