"""The command ``doctor``: check a project under each mode, without a crawl."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from concurcrawl.config import Config
from concurcrawl.errors import ConfigError
from concurcrawl.integrations.inventory import foreign_bases
from concurcrawl.mode_checks import chosen_mode
from concurcrawl.modes import Mode
from concurcrawl.terminal.arguments import add_pairs, check_pairs, names
from concurcrawl.terminal.console import table_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.doctor import machine
from concurcrawl.tools.doctor.examine import examine
from concurcrawl.tools.doctor.picture import picture
from concurcrawl.tools.doctor.project import is_ours, load_project, load_settings
from concurcrawl.tools.doctor.report import ProjectReport
from concurcrawl.workers.launch.ways import cannot_fork

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from scrapy import Spider
    from scrapy.settings import BaseSettings

    from concurcrawl.tools.doctor.project import Project

_NOT_LOOKED_AT = (
    "Not looked at, since nothing was crawled: signals that extensions and middlewares "
    "connect when they are made (only their code was searched for names of signals "
    "that stay in workers), what is set while a crawl runs, arguments of spiders (-a), "
    "and whether a JOBDIR or a Redis can be had. The start of a crawl looks at these, "
    "and names what it finds."
)

#: Attributes of a spider class that matter to a mode, in addition to its settings.
_TELLING = ("max_concurrent_requests", "start_requests")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl doctor`` to *parser*."""
    add = parser.add_argument
    add(
        "--spider",
        metavar="NAME",
        help="a spider of the project (default: the settings and all spiders)",
    )
    add("--mode", metavar="MODE", help="modes, separated by commas; default: all five")
    add_pairs(parser, "-s", dest="set", about="a setting, as of scrapy crawl")
    add("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Examine the current project and print the report.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0 if everything would be in effect; 1 if something would not; 2
        if an option is wrong or there is no project.
    """
    return ended("doctor", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    modes = tuple(Mode)
    if args.mode is not None:
        modes = tuple(Mode(name) for name in names("--mode", args.mode, modes))
    check_pairs("-s", args.set)
    with redirect_stdout(sys.stderr):  # of what the project prints when it is imported
        report = diagnose(args.spider, modes, args.set)
    if args.json:
        print(json.dumps(report.values(), indent=2))  # noqa: T201 - its purpose
    else:
        table_console().print(picture(report), highlight=False)
    return 0 if report.is_well else 1


def diagnose(
    spider: str | None, modes: Sequence[Mode], pairs: Sequence[str]
) -> ProjectReport:
    """Examine the current project.

    Args:
        spider: Name of the spider to examine; None for the project's settings, and the
            spiders that have settings or attributes of their own.
        modes: The modes to examine.
        pairs: Settings of the command line, as ``NAME=VALUE``.

    Raises:
        ConfigError: If there is no such project or spider.
    """
    name, settings = load_settings(pairs)
    here = machine.machine(settings)  # before modules of spiders start threads
    return report_of(load_project(name, settings), spider, modes, here)


def report_of(
    project: Project,
    spider: str | None,
    modes: Sequence[Mode],
    here: Mapping[str, object],
) -> ProjectReport:
    """Examine *project*.

    Args:
        project: The project.
        spider: As in :func:`diagnose`.
        modes: The modes to examine.
        here: Result of :func:`~concurcrawl.tools.doctor.machine.machine`.

    Raises:
        ConfigError: If there is no such spider.
    """
    if spider is None:
        chosen = [None, *_with_something_of_their_own(project)]
    else:
        chosen = [project.spider(spider)]
    settings = project.settings
    return ProjectReport(
        project=project.name,
        add_on=any(
            is_ours(add_on) and at is not None
            for add_on, at in settings.getdict("ADDONS").items()
        ),
        mode=str(settings.get("CONCURCRAWL_MODE") or settings.get("MODE") or ""),
        broken=project.broken,
        wrong=tuple(_wrong(settings, here)),
        versions=machine.versions(),
        machine=here,
        spiders=tuple(examine(one, settings, modes) for one in chosen),
        not_looked_at=(_NOT_LOOKED_AT,),
    )


def _wrong(settings: BaseSettings, here: Mapping[str, object]) -> Iterator[str]:
    """Yield sentences about problems that do not depend on the mode."""
    try:
        chosen_mode(settings)
        Config.from_settings(settings)
    except ConfigError as error:
        yield f"{error}."
    if here["start_method_setting"] == "fork" and here["why_not_fork"]:
        yield f"{cannot_fork(str(here['why_not_fork']))}."
    if here["why_no_cluster"]:
        yield f"{here['why_no_cluster']}."


def _with_something_of_their_own(project: Project) -> list[type[Spider]]:
    return [
        spider
        for spider in project.spiders.values()
        if spider.custom_settings
        or "update_settings" in vars(spider)
        or any(hasattr(spider, name) for name in _TELLING)
        or foreign_bases(spider)
    ]
