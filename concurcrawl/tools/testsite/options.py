"""The options of ``concurcrawl testsite``, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError
from concurcrawl.tools.testsite.countries import COUNTRY_COUNT
from concurcrawl.tools.testsite.faults import (
    KINDS,
    RetryAfter,
    parse_faults,
    parse_retry_after,
)

if TYPE_CHECKING:
    import argparse

_HOST = "127.0.0.1"
_ROBOTS = r"User-agent: *\nDisallow:"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """The options, checked.

    Attributes:
        hosts: Addresses to listen on, all on the same port.
        port: Port to listen on; 0 for any free one.
        latency_s: Wait before the first byte of an answer.
        bandwidth: Most bytes per second of one answer; None for no cap.
        tls: Whether to speak https.
        pages: How many countries the site has.
        seed: Which of the possible sites.
        robots: Text of ``/robots.txt``.
        faults: Share of the requests by kind of fault.
        fault_times: How often a page misbehaves at most.
        retry_after: What a 429 and a 503 ask for.
        log: Whether each request is written down.
        until_stdin_closes: Whether to end when standard input does.
    """

    hosts: tuple[str, ...]
    port: int
    latency_s: float
    bandwidth: float | None
    tls: bool
    pages: int
    seed: int
    robots: str
    faults: tuple[tuple[str, float], ...]
    fault_times: int
    retry_after: RetryAfter
    log: bool
    until_stdin_closes: bool

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ConfigError: Naming the first option that is out of them.
        """
        if not 0 <= self.port <= 65535:
            raise ConfigError("--port", self.port, "from 0 to 65535")
        if not (self.latency_s >= 0 and math.isfinite(self.latency_s)):
            raise ConfigError("--latency", self.latency_s, "0 or more seconds")
        if self.bandwidth is not None and not (
            self.bandwidth > 0 and math.isfinite(self.bandwidth)
        ):
            expected = "more than 0 bytes per second"
            raise ConfigError("--bandwidth", self.bandwidth, expected)
        if not 1 <= self.pages <= COUNTRY_COUNT:
            raise ConfigError("--pages", self.pages, f"from 1 to {COUNTRY_COUNT}")
        if self.fault_times < 0:
            raise ConfigError("--fault-times", self.fault_times, "0 or more")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the test site's options to *parser*."""
    add = parser.add_argument
    add(
        "--host",
        action="append",
        help=f"address to listen on, {_HOST} if not given; several times for several"
        " hosts on one port, such as 127.0.0.2 and 127.0.0.3",
    )
    add("--port", type=int, default=0, help="port; 0 for any free one")
    add("--latency", type=float, default=0.0, help="seconds before the first byte")
    add("--bandwidth", type=float, help="most bytes per second of one answer")
    add("--tls", action="store_true", help="https with a throw-away certificate")
    add(
        "--pages",
        type=int,
        default=COUNTRY_COUNT,
        help=f"countries on the list, 1 to {COUNTRY_COUNT}",
    )
    add("--seed", type=int, default=0, help="seed of the generated pages")
    add(
        "--robots",
        metavar="TEXT",
        default=_ROBOTS,
        help=r"what /robots.txt says, with \n for a new line",
    )
    _configure_faults(parser)
    add(
        "--log",
        action="store_true",
        help="log each request, for /_testsite/log (the last 200000)",
    )
    add(
        "--until-stdin-closes",
        action="store_true",
        help="end when standard input does",
    )


def _configure_faults(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--fault",
        metavar="KIND:SHARE,...",
        default="",
        help="answer these shares of the requests badly, the same ones for the same"
        f" seed; kinds: {'; '.join(f'{kind} ({how})' for kind, how in KINDS.items())}",
    )
    add(
        "--fault-times",
        type=int,
        default=2,
        help="how often a page fails at most (default: 2), so that a crawl with as many"
        " RETRY_TIMES (Scrapy's default is 2) gets every page",
    )
    add(
        "--retry-after",
        metavar="S",
        default="1",
        help="what a 429 or 503 asks for: seconds, date or date:SECONDS (the same as a"
        " date), none; 1 if not given",
    )


def from_arguments(args: argparse.Namespace) -> SiteOptions:
    """Return what :func:`configure`'s parser read.

    Raises:
        ConfigError: Naming the first option that is invalid.
    """
    return SiteOptions(
        hosts=tuple(dict.fromkeys(args.host or [_HOST])),
        port=args.port,
        latency_s=args.latency,
        bandwidth=args.bandwidth,
        tls=args.tls,
        pages=args.pages,
        seed=args.seed,
        robots=args.robots.replace(r"\n", "\n").rstrip("\n") + "\n",
        faults=parse_faults(args.fault),
        fault_times=args.fault_times,
        retry_after=parse_retry_after(args.retry_after),
        log=args.log,
        until_stdin_closes=args.until_stdin_closes,
    )
