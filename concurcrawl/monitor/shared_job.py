"""A job in Redis, which several nodes share, as a part of a snapshot."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from concurcrawl.errors import ConcurcrawlError
from concurcrawl.frontier.base import GroupState
from concurcrawl.frontier.redis import admin
from concurcrawl.monitor.snapshot import CrawlSnapshot, Node, counts_of

if TYPE_CHECKING:
    from concurcrawl.frontier.redis.connection import JobRef

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
