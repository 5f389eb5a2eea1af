"""The command ``status``: show the distributed crawls in a Redis."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.live import Live

from concurcrawl.frontier.redis import admin
from concurcrawl.terminal.arguments import seconds
from concurcrawl.terminal.console import table_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.redis import picture, place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rich.console import RenderableType

    from concurcrawl.frontier.redis.admin import Snapshot
    from concurcrawl.frontier.redis.connection import JobRef


#: The shortest and the longest interval of ``--watch``, in seconds.
_INTERVALS_S = (0.1, 3600.0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl status`` to *parser*."""
    place.configure(parser)
    add = parser.add_argument
    add(
        "--watch", action="store_true", help="repeat until the job has ended, or Ctrl-C"
    )
    add("--interval", metavar="S", default="1", help="seconds between two updates")
    add("--json", action="store_true", help="print JSON, one line per update")


def run(args: argparse.Namespace) -> int:
    """Print the status.

    Returns:
        The exit code: 0; 1 if Redis cannot be used; 2 if an option is wrong; 130 after
        Ctrl-C.
    """
    return ended("status", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    target = place.target_of(args)
    if target.job:
        target = place.only_job(target)
    looks = _looks(
        target,
        seconds("--interval", args.interval, span=_INTERVALS_S) if args.watch else None,
    )
    if args.json:
        for now, before in looks:
            print(json.dumps(_values(target, now, before)), flush=True)  # noqa: T201 - its purpose
        return 0
    console = table_console()
    if not (args.watch and console.is_terminal):
        for now, before in looks:
            console.print(_picture(target, now, before))
        return 0
    with Live(console=console, auto_refresh=False) as live:
        for now, before in looks:
            live.update(_picture(target, now, before), refresh=True)
    return 0


def _looks(
    target: JobRef, interval_s: float | None
) -> Iterator[tuple[tuple[Snapshot, ...], tuple[Snapshot, ...]]]:
    """Yield each snapshot with the one before it."""
    before: tuple[Snapshot, ...] = ()
    while True:
        now = _look(target)
        yield now, before
        if interval_s is None or (target.job and _is_over(now)):
            return
        before = now
        time.sleep(interval_s)


def _look(target: JobRef) -> tuple[Snapshot, ...]:
    names = [target.job] if target.job else admin.jobs(target)
    found = (admin.snapshot(replace(target, job=name)) for name in names)
    return tuple(snapshot for snapshot in found if snapshot is not None)


def _is_over(now: tuple[Snapshot, ...]) -> bool:
    return not now or now[0].state == "ended"


def _picture(
    target: JobRef, now: tuple[Snapshot, ...], before: tuple[Snapshot, ...]
) -> RenderableType:
    if target.job and now:
        return picture.job_picture(now[0], before[0] if before else None)
    return picture.jobs_table(now)


def _values(
    target: JobRef, now: tuple[Snapshot, ...], before: tuple[Snapshot, ...]
) -> object:
    earlier = {one.job: one for one in before}
    found = [picture.values(one, earlier.get(one.job)) for one in now]
    return found[0] if target.job and found else found
