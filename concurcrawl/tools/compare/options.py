"""The options of ``compare``, checked, as plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from concurcrawl.errors import ConfigError
from concurcrawl.modes import Mode
from concurcrawl.terminal.arguments import (
    UNBOUNDED,
    add_pairs,
    check_pairs,
    names,
    seconds,
    whole,
)
from concurcrawl.tools.compare import tutorial
from concurcrawl.tools.testsite.countries import COUNTRY_COUNT

if TYPE_CHECKING:
    import argparse

#: The spider that is compared without ``--spider``.
SPIDER = "countries"
#: More threads or processes than this are taken for a typing error.
_MOST_AT_A_TIME = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One table: the same crawl in each mode.

    Attributes:
        name: Its folder below the output folder.
        title: A few words for readers.
        work: The argument ``work`` of the spider; None leaves it out.
        latency_s: Seconds that the test site delays a page; None without a test site.
        pages: Pages to crawl; None means all that the site has.
    """

    name: str
    title: str
    work: str | None
    latency_s: float | None
    pages: int | None


#: The experiments without options, one per lesson. With these numbers of pages both
#: together take less than two minutes on two cores.
WAITING = Experiment(
    name="waiting",
    title="Where pages wait",
    work="save",
    latency_s=0.2,
    pages=60,
)
WORKING = Experiment(
    name="working",
    title="Where pages cost CPU",
    work="parse",
    latency_s=0.0,
    pages=26,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """All options.

    Attributes:
        modes: In the order of the table.
        rounds: Runs of each mode.
        sweep: Numbers of threads, slots or workers to try in each mode; may be empty.
        out: Folder for the results.
        experiments: At least one.
        site: Address of a list page, or None for the test site.
        spider: Name of a spider of the current project, or None for the demo spider.
        arguments: Arguments for the spider, as ``NAME=VALUE``.
        settings: Settings of every crawl, as ``NAME=VALUE``.
        may_be_live: Whether a site on the network may be crawled.
        timeout_s: How long one crawl may take.
    """

    modes: tuple[Mode, ...]
    rounds: int
    out: Path
    experiments: tuple[Experiment, ...]
    site: str | None
    spider: str | None
    arguments: tuple[str, ...]
    settings: tuple[str, ...]
    may_be_live: bool
    timeout_s: float
    sweep: tuple[int, ...] = ()

    @property
    def uses_test_site(self) -> bool:
        """Whether the crawls go to a test site that the comparison starts."""
        return self.site is None and self.spider is None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``compare`` to *parser*, all as text.

    :func:`read` checks the values: ``scrapy compare`` has another parser, whose error
    messages differ.
    """
    add = parser.add_argument
    add("--modes", metavar="LIST", help=f"some of {','.join(Mode)} (default: all)")
    add("--rounds", metavar="N", default="1", help="runs of each mode (default: 1)")
    add("--sweep", metavar="LIST", help="threads, slots or workers to try: 1,2,4,8,16")
    add(
        "--tutorial",
        action="store_true",
        help="make the tutorial's own table again, in about three minutes",
    )
    configure_crawl(parser)


def configure_crawl(parser: argparse.ArgumentParser) -> None:
    """Add the options about the crawl, which are independent of modes."""
    add = parser.add_argument
    add("--work", metavar="WORK", help="save, parse (BeautifulSoup) or both")
    add("--pages", metavar="N", help="pages of each crawl")
    add("--latency", metavar="S", help="seconds that the test site delays each page")
    add(
        "--out",
        metavar="DIR",
        default="compare",
        help="folder for the results (default: %(default)s)",
    )
    add("--site", metavar="URL", help="a list page to crawl instead of the test site's")
    add("--spider", metavar="NAME", help="a spider of the project in this folder")
    add_pairs(parser, "-a", dest="spargs", about="an argument for the spider")
    add("--timeout", metavar="S", default="900", help="longest crawl (default: 900)")
    add(
        "--yes-live",
        action="store_true",
        help="allow a site on another machine; each run crawls it once",
    )


def configure_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``-s`` to *parser*, which Scrapy's own commands have already."""
    add_pairs(parser, "-s", "--set", dest="set", about="a setting of every crawl")


def read(args: argparse.Namespace) -> CompareOptions:
    """Check the options and return them.

    Args:
        args: The arguments of a parser with :func:`configure`, and ``set``: a list of
            ``NAME=VALUE``.

    Raises:
        ConfigError: If a value is invalid.
    """
    check_pairs("-a", args.spargs)
    check_pairs("-s", args.set)
    if args.tutorial:
        _make_tutorial(args)
    if args.site is not None:
        _check_site(args.site, may_be_live=args.yes_live)
    return CompareOptions(
        modes=_modes(args.modes),
        rounds=whole("--rounds", args.rounds, 1, 1000),
        out=Path(args.out),
        experiments=_experiments(args),
        site=args.site,
        spider=args.spider,
        arguments=tuple(args.spargs),
        settings=tuple(args.set),
        may_be_live=args.yes_live,
        timeout_s=seconds("--timeout", args.timeout, above=0),
        sweep=_levels(args.sweep),
    )


def _make_tutorial(args: argparse.Namespace) -> None:
    """Write the tutorial's experiment into *args*.

    Raises:
        ConfigError: If it is combined with other options.
    """
    for name in ("modes", "sweep", "work", "pages", "latency", "site", "spider"):
        value = getattr(args, name)
        if value is not None:
            expected = "left out with --tutorial, which sets the crawl itself"
            raise ConfigError(f"--{name}", value, expected)
    args.modes = ",".join(tutorial.MEASURED)
    args.work = "save"
    args.latency = str(tutorial.LATENCY_S)
    args.set = [
        f"CONCURCRAWL_THREADS={tutorial.THREADS}",
        f"CONCURCRAWL_WORKERS={tutorial.PROCESSES}",
        *args.set,
    ]


def is_loopback(url: str) -> bool:
    """Return whether *url* leads to this machine, by its host's name alone."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    if host is None:  # data:, file:
        return True
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_site(site: str, *, may_be_live: bool) -> None:
    try:
        parts = urlsplit(site)
        usable = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        usable = None
    if not usable:
        raise ConfigError("--site", site, "an http or https address")
    if not may_be_live and not is_loopback(site):
        raise ConfigError(
            "--site",
            site,
            "on this machine, or allowed with --yes-live: each run crawls it again",
        )


def _modes(value: str | None) -> tuple[Mode, ...]:
    if value is None:
        return tuple(Mode)
    return tuple(map(Mode, names("--modes", value, Mode)))


def _levels(value: str | None) -> tuple[int, ...]:
    if value is None:
        return ()
    levels = [level.strip() for level in value.split(",")]
    if not all(
        level.isdecimal() and 1 <= int(level) <= _MOST_AT_A_TIME for level in levels
    ):
        limit = f"whole numbers from 1 to {_MOST_AT_A_TIME}, as 1,2,4,8"
        raise ConfigError("--sweep", value, limit)
    return tuple(sorted({int(level) for level in levels}))


def _experiments(args: argparse.Namespace) -> tuple[Experiment, ...]:
    testsite = args.site is None and args.spider is None
    if args.work not in (None, "save", "parse", "both"):
        raise ConfigError("--work", args.work, "save, parse or both")
    if args.latency is not None and not testsite:
        raise ConfigError("--latency", args.latency, "left out with --site or --spider")
    most = COUNTRY_COUNT if testsite else UNBOUNDED
    pages = None if args.pages is None else whole("--pages", args.pages, 1, most)
    latency_s = None if args.latency is None else seconds("--latency", args.latency)
    if not testsite:
        return _elsewhere(args, pages)
    if args.work == "both" or (args.work is None and latency_s is None):
        return tuple(
            Experiment(
                name=lesson.name,
                title=lesson.title,
                work=lesson.work,
                latency_s=lesson.latency_s if latency_s is None else latency_s,
                pages=pages or lesson.pages,
            )
            for lesson in (WAITING, WORKING)
        )
    work = args.work or "save"
    if latency_s is None:
        latency_s = (WORKING if work == "parse" else WAITING).latency_s
    title = "Pages are parsed" if work == "parse" else "Pages are saved"
    if args.tutorial:
        title = "The tutorial's table, made again"
    return (
        Experiment(
            name=tutorial.NAME if args.tutorial else work,
            title=title,
            work=work,
            latency_s=latency_s,
            pages=pages or COUNTRY_COUNT,
        ),
    )


def _elsewhere(args: argparse.Namespace, pages: int | None) -> tuple[Experiment, ...]:
    works: tuple[str | None, ...] = (args.work,)
    if args.work == "both":
        works = ("save", "parse")
    elif args.work is None and args.spider is None:
        works = ("save",)
    spider = args.spider or SPIDER
    return tuple(
        Experiment(
            name=work or "spider",
            title=f"{spider} on {args.site}" if args.site else f"The spider {spider}",
            work=work,
            latency_s=None,
            pages=pages,
        )
        for work in works
    )
