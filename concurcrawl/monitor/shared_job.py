"""A job in Redis, which several nodes share, as a part of a snapshot."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from concurcrawl.errors import ConcurcrawlError, ControlError
from concurcrawl.frontier.base import GroupState
from concurcrawl.frontier.redis import admin
from concurcrawl.frontier.redis.control import JobControl
from concurcrawl.monitor.observer import Stillness, state_of
from concurcrawl.monitor.snapshot import CrawlSnapshot, Node, Process, counts_of
from concurcrawl.progress.rates import Rates, Row, Sight, Tally
from concurcrawl.watchdog.stall import STALLED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from concurcrawl.frontier.redis.connection import JobRef
    from concurcrawl.monitor.snapshot import Progress

#: Seconds for which Redis is not asked again.
_FRESH_S = 2.0
#: Groups that Redis is asked for.
_GROUPS = 20


class SharedJob:
    """Reads a job from outside, in a thread: the event loop does not wait."""

    def __init__(self, target: JobRef) -> None:
        self._target = target
        self._read_s = 0.0
        self._read: admin.Snapshot | None = None

    async def merged(self, made: CrawlSnapshot) -> CrawlSnapshot:
        """Return *made*, a node's own, with what all nodes have done."""
        found = await self._look()
        return made if found is None else with_job(made, found)

    async def _look(self) -> admin.Snapshot | None:
        if time.monotonic() - self._read_s > _FRESH_S:
            try:
                self._read = await asyncio.to_thread(
                    admin.snapshot, self._target, most_groups=_GROUPS
                )
            except (ConcurcrawlError, OSError):
                return self._read  # Redis is away for a while; the crawl says so
            self._read_s = time.monotonic()
        return self._read


class JobObserver:
    """Reads a job from a process that is no node of it."""

    def __init__(self, target: JobRef) -> None:
        self._target = target
        self._control = JobControl(target)
        self._rates = Rates()
        self._stillness = Stillness()

    async def values(self) -> dict[str, Any]:
        """Return the job as it is now, as values that JSON has.

        Raises:
            ControlError: If it is gone.
            FrontierError: If Redis does not answer.
        """
        job = await asyncio.to_thread(admin.snapshot, self._target, most_groups=_GROUPS)
        if job is None:
            raise ControlError(f"there is no job {self._target.job} any more")
        seen = _seen_from_outside(job)
        if job.state != "ended":
            reports = await asyncio.to_thread(self._control.reports)
            seen = self._with_state(with_reports(seen, job, reports), job)
        return replace(seen, progress=self._with_rates(seen)).values()

    def _with_state(self, seen: CrawlSnapshot, job: admin.Snapshot) -> CrawlSnapshot:
        if not any(node.is_live for node in job.nodes):
            return replace(seen, state="gone")
        still_s = self._stillness.seen(seen, is_paused=job.is_paused)
        state = "paused" if job.is_paused else state_of(seen, still_s)
        return replace(seen, state=state, still_s=still_s)

    def _with_rates(self, seen: CrawlSnapshot) -> Progress:
        progress, rates = seen.progress, self._rates
        items = Row("items", Tally(pages=progress.items), None)
        total = Row("total", Tally(pages=progress.pages), progress.leased)
        waiting = progress.waiting
        rates.see(Sight(seen.elapsed_s, (items,), total, waiting, is_starting=False))
        if seen.state == "finished":
            return progress
        return replace(
            progress,
            left_s=rates.left_s(),
            pages_per_s=rates.pages_per_s(total),
            items_per_s=rates.pages_per_s(items),
        )


def _seen_from_outside(job: admin.Snapshot) -> CrawlSnapshot:
    state = "running"
    if job.state == "ended":
        state = STALLED if job.reason == STALLED else "finished"
    modes = {str(node.about.get("mode", "")) for node in job.nodes}
    made = CrawlSnapshot(
        at_s=job.at_s,
        spider=job.spider,
        mode=", ".join(sorted(modes - {""})),
        state=state,
        reason=job.reason,
    )
    return with_job(made, job)


def with_job(made: CrawlSnapshot, job: admin.Snapshot) -> CrawlSnapshot:
    """Return *made* with the totals, groups and nodes of *job*."""
    counts = counts_of(job.stats)
    pages = int(job.stats.get("response_received_count", 0))
    items = int(job.stats.get("item_scraped_count", 0))
    return replace(
        made,
        job=job.job,
        elapsed_s=(job.ended_s or job.at_s) - job.began_s,
        progress=replace(
            made.progress,
            waiting=job.waiting,
            leased=job.leased,
            done=job.done,
            pages=pages,
            items=items,
        ),
        counts=replace(
            counts, restarts=made.counts.restarts, dead_letters=len(job.failures)
        ),
        groups=tuple(map(_group, job.groups)),
        nodes=tuple(map(_node, job.nodes)),
    )


def with_reports(
    made: CrawlSnapshot, job: admin.Snapshot, reports: Mapping[str, Mapping[str, Any]]
) -> CrawlSnapshot:
    """Return *made* with what the live nodes of *job* say of themselves.

    A node, with all that it has started, is shown as one process.
    """
    live = {node.name: node for node in job.nodes if node.is_live}
    found = {name: reports[name] for name in live if name in reports}
    processes = tuple(
        Process(
            name=name,
            pid=int(live[name].about.get("pid", 0)),
            memory_bytes=int(one["memory_bytes"]),
            cpu=float(one["cpu"]),
            cpu_s=float(one["cpu_s"]),
        )
        for name, one in found.items()
    )
    restarts = {name: int(one["restarts"]) for name, one in found.items()}
    nodes = (replace(node, restarts=restarts.get(node.name)) for node in made.nodes)
    counts = replace(made.counts, restarts=sum(restarts.values()))
    return replace(made, processes=processes, nodes=tuple(nodes), counts=counts)


def _group(group: admin.GroupStatus) -> GroupState:
    return GroupState(
        name=group.name,
        in_flight=group.in_flight,
        limit=group.limit,
        waiting=group.waiting,
        delay_s=group.delay_s,
        paused_s=group.paused_s,
        why="the site asked for it" if group.paused_s else "",
    )


def _node(node: admin.NodeStatus) -> Node:
    state = "dead" if node.is_dead else "left"
    if node.is_live:
        state = "leads" if node.is_leader else "live"
    return Node(
        name=node.name,
        host=str(node.about.get("host", "")),
        state=state,
        workers=int(node.about.get("workers", 0)),
        leased=node.leased,
        done=node.done,
        silent_s=node.silent_s,
    )
