"""The command ``purge``: delete a distributed crawl from Redis, after confirmation."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError
from concurcrawl.frontier.redis import admin
from concurcrawl.terminal.console import line_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.redis import place

if TYPE_CHECKING:
    import argparse

    from concurcrawl.frontier.redis.admin import Snapshot


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl purge`` to *parser*."""
    place.configure(parser)
    parser.add_argument("--all", action="store_true", help="all jobs of the prefix")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Print what would be deleted, ask for confirmation, and delete it.

    Returns:
        The exit code: 0; 1 if Redis cannot be used or the answer was no; 2 if an option
        is wrong; 130 after Ctrl-C.
    """
    return ended("purge", lambda: _run(args))


def summary(job: Snapshot) -> str:
    """Return one line about what deleting *job* would lose."""
    lost = {
        "requests that wait": job.waiting,
        "requests that nodes have": job.leased,
        "items in the stream": job.streamed,
        "items in no feed yet": job.undelivered + job.in_doubt,
    }
    parts = ", ".join(f"{count} {what}" for what, count in lost.items() if count)
    live = sum(node.is_live for node in job.nodes)
    state = f"{live} live nodes work on it" if live else job.reason or job.state
    return (
        f"{job.job} (spider {job.spider}; {state}): {parts or 'nothing is left of it'}"
    )


def _run(args: argparse.Namespace) -> int:
    console = line_console()
    target = place.target_of(args)
    if args.all and args.job:
        raise ConfigError("--job", args.job, "left out with --all")
    names = admin.jobs(target) if args.all else [place.only_job(target).job]
    targets = [replace(target, job=name) for name in names]
    for one in targets:
        snapshot = admin.snapshot(one)
        if snapshot is not None:
            console.print(summary(snapshot))
    if not targets:
        console.print(f"There is no job in {target.url}.")
        return 0
    if not args.yes and not _is_agreed(target.url, len(targets)):
        console.print("Nothing was deleted.")
        return 1
    for one in targets:
        count = admin.purge(one)
        console.print(f"Deleted {one.job}: {count} keys.")
    return 0


def _is_agreed(url: str, count: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("--yes", False, "given if standard input is no terminal")
    what = "it" if count == 1 else f"these {count} jobs"
    answer = input(f"Delete {what} from {url}, for good? [y/N] ")
    return answer.strip().lower() in {"y", "yes"}
