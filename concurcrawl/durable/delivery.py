"""What makes a crawl with a ``JOBDIR`` lose nothing and do nothing twice.

- An item is kept in the frontier from the moment its request is done until it is safe
  in the feeds. A crawl that resumes sends those that are left through the pipelines.
- What ``Spider.start()`` yields is noted with what it is, and a crawl that resumes
  skips what was taken before.
- A crawl that has finished begins anew in the same folder.

Without a ``JOBDIR`` a delivery does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import sqlite3
from io import BytesIO
from typing import TYPE_CHECKING, Any

from scrapy import Request, signals

from concurcrawl.durable.exports import Exports
from concurcrawl.durable.feeds import Ledger
from concurcrawl.durable.jobdir import FINISHED, SPIDER
from concurcrawl.frontier.base import at_once
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.workers.protocol.messages.signals import ResponseMeta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from scrapy.crawler import Crawler

    from concurcrawl.durable.items import KeptItems
    from concurcrawl.durable.jobdir import JobDir
    from concurcrawl.durable.start import StartOutputs
    from concurcrawl.frontier.base import Frontier

logger = logging.getLogger(__name__)

#: Seconds between two times that the feeds are made safe.
_INTERVAL_S = 1.0


class JobDirDelivery:
    """Keeps items until they are safe, and what start() has yielded.

    Invariant: an item is in the frontier, or in each feed below its noted length, or,
    if a pipeline dropped it, in neither; never in both.

    Attributes:
        start: What start() yields.
    """

    is_whole = False
    streams = False

    def __init__(
        self,
        crawler: Crawler,
        frontier: Frontier,
        jobdir: JobDir | None,
        start: StartOutputs,
        pipelines: KeptItems,
        fail: Callable[[Exception], None],
    ) -> None:
        """Make one for *crawler*, whose spider is about to start.

        Args:
            crawler: The crawl.
            frontier: Keeps items and notes.
            jobdir: The folder of the crawl; None if it has none.
            start: What start() yields.
            pipelines: Process items.
            fail: Called with the error if nothing can be kept any more.
        """
        self._crawler = crawler
        self._frontier = frontier
        self.is_kept = jobdir is not None
        self._is_resumed = jobdir is not None and jobdir.is_resumed
        self._processed: set[int] = set()
        self._is_closed = False
        self._timer: asyncio.Task[None] | None = None
        self.is_replaying = False
        self._pipelines = pipelines
        self._fail = fail
        self.start = start
        if not self.is_kept:
            return
        if self._is_resumed:
            self._begin_anew_if_finished()
        self._ledger = Ledger(crawler, self._take_notes)
        if self._is_resumed:
            self._ledger.resume(at_once(frontier.notes()))
        self._exports = self._make_exports(frontier)

    def _make_exports(self, frontier: Frontier) -> Exports:
        assert isinstance(frontier, SqliteFrontier)  # there is a JOBDIR
        self._store = frontier
        return Exports(
            self._crawler,
            frontier,
            self._ledger,
            codec=self._pipelines.codec,
            commit=self._make_safe_or_fail,
            is_over=self._is_over,
        )

    async def open(self) -> None:
        """Begin to make feeds safe, and to replay the items that are not."""
        if not self.is_kept:
            return
        assert self._crawler.spider is not None
        left = await self._frontier.items()
        if self._is_resumed:
            logger.info(
                "Resuming the crawl: %d requests wait, %d items are in no feed yet",
                self._frontier.waiting(),
                len(left),
            )
        await self._frontier.keep([], {SPIDER: self._crawler.spider.name})
        self._timer = asyncio.ensure_future(self._make_safe_now_and_then())
        if left:
            self.is_replaying = True
            # Not earlier: only then are pipelines and feeds open.
            self._crawler.signals.connect(self._replay_soon, signals.engine_started)

    def entry(self, item: Any, payload: bytes, meta: ResponseMeta | None) -> bytes:
        """Return an item as it is kept."""
        return pickle.dumps((payload, meta)) if self.is_kept else b""

    async def through_pipelines(
        self, process: Callable[[], Awaitable[None]]
    ) -> list[bytes]:
        """Do nothing: items are kept before the pipelines."""
        raise NotImplementedError

    def kept(self, numbers: Sequence[int]) -> None:
        """Do nothing: no other process has these items."""

    def processed(self, numbers: Sequence[int]) -> None:
        """Note that pipelines and feeds have had these items."""
        self._processed.update(numbers)

    def _begin_anew_if_finished(self) -> None:
        notes = at_once(self._frontier.notes())
        if FINISHED in notes:
            assert isinstance(self._frontier, SqliteFrontier)
            self._frontier.begin_anew({SPIDER: notes[SPIDER]})
            self._is_resumed = False
            logger.info(
                "The crawl of this JOBDIR has finished: it begins anew, without the "
                "pages that are known"
            )

    def end(self, reason: str) -> None:
        """Note that the crawl has finished, if it has: last of all."""
        # Where feeds are exported, that was noted in the step that completed them.
        has_left = bool(self._store.exports.states())
        if reason == "finished" and self._is_over() and not has_left:
            at_once(self._frontier.keep([], {FINISHED: "1"}))

    def _is_over(self) -> bool:
        """Return whether nothing is left to crawl, and every item is in the feeds."""
        is_crawled = self.start.is_exhausted and not (
            self._frontier.waiting() or self._frontier.leased()
        )
        if not is_crawled:
            return False
        done = self._processed | self._ledger.written
        return {number for number, _ in at_once(self._frontier.items())} <= done

    async def close(self) -> None:
        """Make the feeds safe for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.is_kept:
            return
        self._make_safe_or_fail()
        self._is_closed = True

    async def _make_safe_now_and_then(self) -> None:
        is_well = True
        while is_well:
            await asyncio.sleep(_INTERVAL_S)
            is_well = self._make_safe_or_fail()

    def _make_safe_or_fail(self) -> bool:
        try:
            self._make_safe()
        except (OSError, sqlite3.Error) as error:
            self._exports.has_failed = True
            self._fail(error)
            return False
        return True

    def _make_safe(self) -> None:
        # Also those on whose account others are still busy: they are in the feeds.
        done = self._processed | self._ledger.written
        # In this order: a note must not promise what the disk does not have.
        notes = self._ledger.make_safe()
        changes = self._exports.changes()
        if not (done or changes):
            return
        if changes.clears:
            notes = {FINISHED: "1"}  # the next crawl begins anew
        self._store.deliver(sorted(done), notes, changes)
        self._processed.clear()
        self._ledger.written.clear()

    def _take_notes(self, notes: dict[str, str]) -> None:
        if not self._is_closed:  # an empty feed is opened last of all, to be there
            # Safe before anything is written: should power fail and the disk have the
            # feed's new end but not the note, it would pass for what was there before.
            self._frontier.deliver([], notes)

    def _replay_soon(self) -> None:
        asyncio.ensure_future(self._replay())  # noqa: RUF006 - the engine outlives it

    async def _replay(self) -> None:
        try:
            for number, kept in await self._frontier.items():
                payload, meta = read_entry(kept)
                await self._pipelines.process_kept(payload, meta, number)
                self._processed.add(number)
        finally:  # else the crawl would wait for the rest for ever
            self.is_replaying = False

    async def in_turns(self, outputs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the *outputs* of start() that the engine is to have.

        While all workers are busy, the engine takes one output after the other. If
        start() never waits, messages and signals would not be handled before its end.
        """
        async for output in self._untaken(outputs) if self.is_kept else outputs:
            yield output
            await asyncio.sleep(0)

    async def _untaken(self, outputs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for output in self.start.untaken(outputs):
            if isinstance(output, Request):
                yield output
            elif not await self._process_start(output):
                return

    async def _process_start(self, item: Any) -> bool:
        """Keep and process an item of start(); return whether the crawl goes on."""
        payload = self._pipelines.codec.encode(item)
        entry = self.entry(item, payload, None)
        try:
            kept = await self._frontier.keep([entry], {}, self.start.output_of(item))
        except sqlite3.Error as error:
            self._fail(error)
            return False
        for number in kept:
            await self._pipelines.process_kept(payload, None, number)
        self.processed(kept)
        return True


def read_entry(kept: bytes) -> tuple[bytes, ResponseMeta | None]:
    """Return an item, encoded, and the metadata of its response."""
    found: tuple[bytes, ResponseMeta | None] = _EntryUnpickler(BytesIO(kept)).load()
    return found


class _EntryUnpickler(pickle.Unpickler):
    """Reads what 0.1.0 has kept as well, where classes had other names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("concurcrawl.workers.messages", "Head"):
            return ResponseMeta
        return super().find_class(module, name)
