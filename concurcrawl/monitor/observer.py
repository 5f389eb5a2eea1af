"""Makes snapshots of a crawl, each only when it is asked for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from concurcrawl.monitor.snapshot import CrawlSnapshot, Progress, counts_of
from concurcrawl.progress.rates import Rates, Row, Sight, Tally
from concurcrawl.watchdog.stall import STALLED

if TYPE_CHECKING:
    from concurcrawl.monitor.crawl_view import CrawlView
    from concurcrawl.monitor.error_log import ErrorLog
    from concurcrawl.monitor.processes import Processes
    from concurcrawl.monitor.shared_job import SharedJob
    from concurcrawl.monitor.snapshot import CrawlCounts

#: Groups that are shown.
MOST_GROUPS = 20
#: Seconds without anything done after which a crawl counts as stalled.
STALLED_AFTER_S = 20.0
#: Seconds for which a snapshot is given again: two who ask at once see the same.
_FRESH_S = 0.2


class Stillness:
    """When something was done last, as far as it was seen."""

    def __init__(self) -> None:
        self._what: tuple[int, ...] = ()
        self._at_s = time.monotonic()

    def seen(self, made: CrawlSnapshot, *, is_paused: bool) -> float:
        """Return the seconds for which nothing was done, up to *made*."""
        progress, counts = made.progress, made.counts
        what = (
            *(progress.pages, progress.items, progress.done),
            *(sum(counts.errors.values()), sum(counts.retries.values())),
        )
        now_s = time.monotonic()
        if what != self._what or is_paused:
            self._what, self._at_s = what, now_s
        return now_s - self._at_s


class Observer:
    """Looks at one crawl. Between two looks nothing runs."""

    def __init__(
        self,
        view: CrawlView,
        processes: Processes,
        errors: ErrorLog,
        job: SharedJob | None = None,
    ) -> None:
        """Make one.

        Args:
            view: Reads the crawl.
            processes: Measures its processes.
            errors: Has the last errors.
            job: The job in Redis that the crawl is a part of, if it is.
        """
        self._view = view
        self._processes = processes
        self._errors = errors
        self._job = job
        self._began_s = time.monotonic()
        self._rates = Rates()
        self._stillness = Stillness()
        self._last_s = 0.0
        self._last: CrawlSnapshot | None = None
        self._is_over = False
        self._lock = asyncio.Lock()

    async def look(self) -> CrawlSnapshot:
        """Return the crawl as it is now; after its end, as it was at last."""
        async with self._lock:
            is_old = time.monotonic() - self._last_s > _FRESH_S
            if self._last is None or (is_old and not self._is_over):
                self._last = await self._make()
                self._last_s = time.monotonic()
            return self._last

    async def values(self) -> dict[str, Any]:
        """Return the same as values that JSON has."""
        return (await self.look()).values()

    def end(self, reason: str) -> CrawlSnapshot:
        """Note that the crawl has ended, and why.

        Returns:
            Its last snapshot. What its processes took last stays in it.
        """
        counts = counts_of(self._view.stats)
        last = self._last
        if last is None:  # no page was open
            slowest, failing = self._view.urls()
            last = replace(self._empty(counts), slowest=slowest, failing=failing)
        progress = self._progress()
        if progress.waiting is None:  # the scheduler is gone
            progress = replace(progress, waiting=last.progress.waiting)
        self._is_over = True
        self._last = replace(
            last,
            at_s=time.time(),
            state="stalled" if reason == STALLED else "finished",
            reason=reason,
            elapsed_s=self._elapsed_s,
            counts=replace(counts, restarts=self._view.restarts),
            progress=replace(progress, leased=0, left_s=None),
            errors=tuple(self._errors.last),
        )
        return self._last

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    async def _make(self) -> CrawlSnapshot:
        view = self._view
        loop = asyncio.get_running_loop()
        measuring = loop.run_in_executor(
            None, self._processes.measure, view.processes()
        )
        workers = view.workers()
        processes = await measuring
        counts = replace(counts_of(view.stats), restarts=view.restarts)
        slowest, failing = view.urls()
        groups, more_groups = view.groups(MOST_GROUPS)
        made = replace(
            self._empty(counts),
            progress=self._progress(),
            groups=tuple(groups),
            more_groups=more_groups,
            workers=workers,
            processes=processes,
            feeds=view.feeds(),
            errors=tuple(self._errors.last),
            slowest=slowest,
            failing=failing,
        )
        if self._job is not None:
            made = await self._job.merged(made)
        still_s = self._still_s(made)
        return replace(made, still_s=still_s, state=self._state(made, still_s))

    def _empty(self, counts: CrawlCounts) -> CrawlSnapshot:
        view = self._view
        return CrawlSnapshot(
            at_s=time.time(),
            spider=view.spider,
            mode=view.mode,
            job=view.job,
            records=view.records,
            elapsed_s=self._elapsed_s,
            counts=counts,
        )

    def _progress(self) -> Progress:
        view, stats = self._view, self._view.stats
        leased = view.leased
        done = int(stats.get("scheduler/dequeued", 0)) - leased
        pages = int(stats.get("response_received_count", 0))
        items = int(stats.get("item_scraped_count", 0))
        rates, rows = self._rates, (Row("items", Tally(pages=items), None),)
        sight = Sight(
            elapsed_s=self._elapsed_s,
            workers=rows,
            total=Row("total", Tally(pages=pages), leased),
            waiting=view.waiting,
            is_starting=view.is_starting,
        )
        rates.see(sight)
        return Progress(
            waiting=sight.waiting,
            leased=leased,
            done=max(0, done),
            pages=pages,
            items=items,
            left_s=rates.left_s(),
            is_starting=sight.is_starting,
            pages_per_s=rates.pages_per_s(sight.total),
            items_per_s=rates.pages_per_s(rows[0]),
        )

    def _still_s(self, made: CrawlSnapshot) -> float:
        """Return the seconds for which nothing was seen to be done."""
        return self._stillness.seen(made, is_paused=self._view.is_paused)

    def _state(self, made: CrawlSnapshot, still_s: float) -> str:
        if self._view.is_closing:
            return "closing"
        if self._view.is_paused:
            return "paused"
        return state_of(made, still_s)


def state_of(made: CrawlSnapshot, still_s: float) -> str:
    """Return the state of a crawl that is neither paused nor about to end.

    Args:
        made: The crawl.
        still_s: Seconds in which nothing was done.
    """
    if _waits_for_time(made):
        return "waiting"
    is_stalled = still_s >= STALLED_AFTER_S and made.progress.leased
    return "stalled" if is_stalled else "running"


def _waits_for_time(made: CrawlSnapshot) -> bool:
    """Return whether sites that asked for a pause are all that is left to ask."""
    paused = [group for group in made.groups if group.paused_s]
    others = [group for group in made.groups if not group.paused_s]
    return (
        bool(paused)
        and not made.more_groups
        and not any(group.in_flight or group.waiting for group in others)
    )
