"""What makes a crawl with a ``JOBDIR`` lose nothing and do nothing twice.

- An item is kept in the frontier from the moment its request is done until it is safe
  in the feeds. A crawl that resumes sends those that are left through the pipelines.
- How much of ``Spider.start()`` has been taken is noted with what was taken, and a
  crawl that resumes goes on after it.

Without a ``JOBDIR`` a journal does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import sqlite3
from typing import TYPE_CHECKING, Any

from scrapy import Request, signals

from concurcrawl.durable.exports import Exports
from concurcrawl.feeds import Ledger
from concurcrawl.frontier.base import at_once
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.jobdir import SPIDER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import Frontier
    from concurcrawl.jobdir import JobDir
    from concurcrawl.workers.messages import Head

logger = logging.getLogger(__name__)

#: Seconds between two times that the feeds are made safe.
_INTERVAL_S = 1.0

#: The note with how much of start() was taken: a number, or that it was all.
START = "start"
ALL = "all"


def is_start(request: Request) -> bool:
    """Tell whether *request* came from ``Spider.start()``."""
    return bool(request.meta.get("is_start_request"))


class Journal:
    """Keeps items until they are safe, and how far the start has come.

    Invariant: an item is in the frontier, or in each feed below its noted length, or,
    if a pipeline dropped it, in neither; never in both.
    """

    def __init__(
        self, crawler: Crawler, frontier: Frontier, jobdir: JobDir | None
    ) -> None:
        """Keep the journal of *crawler*, whose spider is about to start."""
        self._crawler = crawler
        self._frontier = frontier
        self.is_kept = jobdir is not None
        self._is_resumed = jobdir is not None and jobdir.is_resumed
        self._processed: set[int] = set()
        self._is_closed = False
        self._started = 0  # outputs of start() that were taken, this one included
        self._timer: asyncio.Task[None] | None = None
        self.is_replaying = False
        self.process: Callable[[bytes, Head | None, int], Awaitable[None]] = not_open
        self.encode: Callable[[object], bytes] = pickle.dumps
        self.decode: Callable[[bytes], Any] = pickle.loads
        self.on_failure: Callable[[Exception], None] = _raise
        assert crawler.spider is not None
        self._start = crawler.spider.start
        crawler.spider.start = self._start_in_turns  # type: ignore[method-assign]
        if not self.is_kept:
            return
        self._ledger = Ledger(crawler, self._take_notes)
        if self._is_resumed:
            self._ledger.resume(at_once(frontier.notes()))
        self._exports = self._make_exports(frontier)

    def _make_exports(self, frontier: Frontier) -> Exports:
        assert isinstance(frontier, SqliteFrontier)  # there is a JOBDIR
        self._store = frontier
        exports = Exports(
            self._crawler,
            frontier,
            self._ledger,
            encode=lambda item: self.encode(item),  # noqa: PLW0108 - it is set later
            decode=lambda payload: self.decode(payload),  # noqa: PLW0108 - likewise
        )
        exports.commit = self._make_safe_or_fail
        exports.is_over = lambda: not frontier.waiting()
        return exports

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

    def entry(self, payload: bytes, head: Head | None) -> bytes:
        """Return an item as it is kept."""
        return pickle.dumps((payload, head)) if self.is_kept else b""

    def processed(self, numbers: Sequence[int]) -> None:
        """Note that pipelines and feeds have had these items."""
        self._processed.update(numbers)

    def start_notes(self) -> dict[str, str]:
        """Return what to remember with a start request."""
        return {START: str(self._started)} if self.is_kept else {}

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
            self.on_failure(error)
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
            notes = {}  # the next crawl begins anew
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
        for number, kept in await self._frontier.items():
            payload, head = pickle.loads(kept)  # noqa: S301 - our own file
            await self.process(payload, head, number)
            self._processed.add(number)
        self.is_replaying = False

    async def _start_in_turns(self) -> AsyncIterator[Any]:
        """Yield what the spider's start() yields, and let others have turns.

        While all workers are busy, the engine takes one output after the other. If
        start() never waits, nobody would hear workers or signals before its end.
        """
        async for output in self._go_on_starting() if self.is_kept else self._start():
            yield output
            await asyncio.sleep(0)

    async def _go_on_starting(self) -> AsyncIterator[Any]:
        """Yield what the spider's own start() yields, without what was taken before."""
        note = (await self._frontier.notes()).get(START, "0")
        if note == ALL:
            return
        taken = int(note)
        async for output in self._start():
            self._started += 1
            if self._started <= taken:
                continue
            if isinstance(output, Request):
                yield output
                # It may have come to nothing: a duplicate, or dropped on its way.
                if await self._keep((), self.start_notes()) is None:
                    return
            else:
                payload = self.encode(output)
                entry = self.entry(payload, None) or b""
                kept = await self._keep([entry], self.start_notes())
                if kept is None:
                    return
                await self.process(payload, None, *kept)
                self.processed(kept)
        await self._keep((), {START: ALL})

    async def _keep(
        self, items: Sequence[bytes], notes: dict[str, str]
    ) -> list[int] | None:
        """Keep *items* and return their numbers; None if that ended the crawl."""
        try:
            return await self._frontier.keep(items, notes)
        except sqlite3.Error as error:
            self.on_failure(error)
            return None


async def not_open(_payload: bytes, _head: Head | None, _number: int) -> None:
    """Stand for what processes an item, until there is something that does."""
    raise RuntimeError("the journal was opened before the pipelines")


def _raise(error: Exception) -> None:
    raise error
