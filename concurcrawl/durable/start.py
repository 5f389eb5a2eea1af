"""How ``Spider.start()`` goes on where an earlier run of it was ended.

It runs anew in each life of a crawl, as in plain Scrapy, and what was taken before is
skipped: by what it is, never by its position. A database, a queue, a set or a shuffled
list yields something else, or in another order, the next time.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

from scrapy import Request

from concurcrawl.durable.identity import digest
from concurcrawl.frontier.base import Output
from concurcrawl.frontier.sqlite_schema import nameless

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import ItemStore

logger = logging.getLogger(__name__)


class StartOutputs:
    """Knows which outputs of ``start()`` were taken before.

    Invariant: an output is taken in the same step that keeps it, and ``start()`` is
    asked for the next one only after that. A source that forgets what it gave away
    loses nothing, whenever the process is killed.

    Attributes:
        is_exhausted: Whether ``start()`` has come to its end.
    """

    def __init__(
        self,
        crawler: Crawler,
        frontier: ItemStore,
        has_own_filter: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make one for a run of ``start()``.

        Args:
            crawler: The crawl.
            frontier: Keeps how often each output was taken.
            has_own_filter: Whether duplicates are not known by the frontier's keys.
        """
        self._crawler = crawler
        self._frontier = frontier
        self._has_own_filter = has_own_filter
        self._at_hand: tuple[object, Output | None] = (None, None)
        self._pending: asyncio.Future[None] | None = None
        self.is_exhausted = False

    async def untaken(self, outputs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield what *outputs* yields, without what was taken before.

        Each is safe before the next is asked for, if the scheduler says by
        :meth:`wait_for` what it must wait for.
        """
        skipped = 0
        with contextlib.closing(_Counts()) as met:
            async for thing in outputs:
                output = self._output(thing, met)
                if output is not None and await self._was_taken(output):
                    skipped += 1
                    continue
                self._at_hand = (thing, output)
                yield thing
                await self._wait_for_pending()
        self._at_hand = (None, None)
        self.is_exhausted = True
        if skipped:
            logger.info(
                "start() yielded %d requests or items that were taken before the crawl "
                "was resumed; they are not taken again",
                skipped,
            )

    def output_of(self, thing: object) -> Output | None:
        """Return what is to be noted as taken together with *thing*, if anything."""
        found, output = self._at_hand
        return output if found is thing else None

    def wait_for(self, request: Request, pushed: asyncio.Future[None]) -> bool:
        """Ask for no further output until *request*, if it is the last, is safe.

        Returns:
            Whether it is.
        """
        is_last = self._at_hand[0] is request
        if is_last:
            self._pending = pushed
        return is_last

    async def _wait_for_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            await pending

    def _output(self, thing: object, met: _Counts) -> Output | None:
        """Return *thing* as it is counted; None if the frontier's key is enough.

        Args:
            thing: An output of ``start()``.
            met: What this run of it has yielded up to now.
        """
        fingerprint = b""
        if isinstance(thing, Request):
            if not (thing.dont_filter or self._has_own_filter()):
                return None
            fingerprint = self._crawler.request_fingerprinter.fingerprint(thing)
        what = digest(thing, fingerprint)
        return Output(what, met.count(what))

    async def _was_taken(self, output: Output) -> bool:
        return await self._frontier.times_taken(output.what) >= output.nth


class _Counts:
    """How often each digest was met, on disk where there is room for that."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(nameless(), isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(
            "CREATE TABLE met (what BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID"
        )

    def count(self, what: bytes) -> int:
        """Count *what* and return how often it was met by now."""
        select = "SELECT times FROM met WHERE what = ?"
        row = self._db.execute(select, (what,)).fetchone()
        times = 1 if row is None else int(row[0]) + 1
        self._db.execute("INSERT OR REPLACE INTO met VALUES (?, ?)", (what, times))
        return times

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
