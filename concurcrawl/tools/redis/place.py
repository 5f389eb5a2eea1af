"""The Redis and the job that a command works on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from concurcrawl.config import Config
from concurcrawl.errors import ConfigError
from concurcrawl.frontier.redis import admin, connection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from concurcrawl.frontier.redis.connection import JobRef

#: The default of ``CONCURCRAWL_FRONTIER_PREFIX``.
PREFIX = Config().frontier_prefix


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a Redis and a job in it."""
    parser.add_argument(
        "url",
        metavar="URL",
        help="redis://host:6379/0 (password: CONCURCRAWL_FRONTIER_PASSWORD)",
    )
    parser.add_argument("--job", metavar="NAME", help="the job (default: the only one)")
    parser.add_argument(
        "--prefix",
        metavar="WORD",
        default=PREFIX,
        help=f"prefix of all keys (default: {PREFIX})",
    )


def target_of(args: argparse.Namespace) -> JobRef:
    """Return the Redis and the job; the job is empty if none was named.

    Raises:
        FrontierError: If the URL is wrong.
    """
    return connection.parse(args.url, args.prefix, args.job or "")


def only_job(target: JobRef) -> JobRef:
    """Return *target* with its job, or with the only one there is.

    Raises:
        ConfigError: If there is no such job, or none or several to choose from.
        FrontierError: If Redis does not answer.
    """
    names = admin.jobs(target)
    if target.job in names:
        return target
    if len(names) == 1 and not target.job:
        return replace(target, job=names[0])
    raise ConfigError("--job", target.job, f"a job in {target.url} ({listed(names)})")


def listed(names: Sequence[str]) -> str:
    """Return *names* as words."""
    return f"there are: {', '.join(names)}" if names else "there is none"
