"""What makes each item of a crawl on several machines be in one feed, once.

- An item is kept in Redis, for the node that completed its request, until it is in that
  node's feeds. Those of a node that died are taken over by others.
- A node that wants to write says so first. Once it may, the items are its own for
  ever: it writes them and says that it has. A node that dies in between leaves a batch
  in doubt. Only that node, when it comes back and finds its files, can see by their
  length whether they were written; no other node writes them again.
- What ``Spider.start()`` yields is noted with what it is, so that another node can go
  on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from scrapy import Request, signals

from concurcrawl.errors import ConcurcrawlError, LeaseLostError, NotJsonError
from concurcrawl.nodes.feeds import HeldLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from scrapy.crawler import Crawler

    from concurcrawl.durable.items import KeptItems
    from concurcrawl.durable.start import StartOutputs
    from concurcrawl.frontier.redis.connection import RedisConnection
    from concurcrawl.frontier.redis.frontier import RedisFrontier
    from concurcrawl.nodes.json_codec import JsonCodec
    from concurcrawl.workers.protocol.messages.signals import ResponseMeta

logger = logging.getLogger(__name__)

#: Seconds between two times that the feeds are made safe.
_INTERVAL_S = 1.0

#: Where the lines of the items go that pass the pipelines in this context.
_lines: ContextVar[list[bytes] | None] = ContextVar("lines", default=None)

#: Prefixes of the notes with the length of a feed and the columns of a table.
_FEED = "feed:"
_COLUMNS = "columns:"


class NodeDelivery:
    """A node's items, and what start() has yielded.

    Invariant: an item is in Redis, or in the feeds of one node, or in a batch that is
    in doubt; or, if a pipeline dropped it, nowhere.
    """

    is_kept = True
    is_whole = True  # the one exchange with Redis has it all

    def __init__(  # noqa: PLR0913 - the parts of a node
        self,
        crawler: Crawler,
        frontier: RedisFrontier,
        link: RedisConnection,
        portable: JsonCodec,
        home: str,
        start: StartOutputs,
        *,
        streams: bool,
        pipelines: KeptItems,
        lead: Callable[[], Awaitable[bool]],
        fail: Callable[[Exception], None],
    ) -> None:
        """Make one for *crawler*, whose spider is about to start.

        Args:
            crawler: It.
            frontier: The node's part of the frontier.
            link: The way to Redis.
            portable: Writes and reads items.
            home: Whose feeds those of this node are, also when it is started again.
            start: What start() yields.
            streams: Whether items go into one stream instead.
            pipelines: Process items.
            lead: Waits until this node is to make the start requests; returns False if
                it never is.
            fail: Called with the error if nothing can be kept any more.
        """
        self._crawler = crawler
        self._frontier = frontier
        self._link = link
        self._portable = portable
        self._home = home
        self.streams = streams
        if streams:
            crawler.signals.connect(self._scraped, signals.item_scraped)
        self._ours: set[int] = set()
        self._processed: set[int] = set()
        self._ledger: HeldLedger | None = None
        self._timer: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._replaying = 0
        self._pipelines = pipelines
        self._lead = lead
        self._fail = fail
        self.start = start

    @property
    def is_replaying(self) -> bool:
        """Whether items of dead nodes are being processed."""
        return self._replaying > 0

    async def open(self) -> None:
        """Find out what an earlier life of this node has left, and begin."""
        notes = await self._frontier.notes()
        self._ledger = HeldLedger(
            self._crawler, self._lengths(notes), self._columns(notes)
        )
        if not self._frontier.has_joined:
            return  # the crawl was over; the feeds are left as they are
        await self._resolve_in_doubt()
        self._timer = asyncio.ensure_future(self._make_safe_now_and_then())

    def entry(
        self, item: Any, payload: bytes, meta: ResponseMeta | None
    ) -> bytes | None:
        """Return an item as it is kept, or None if it cannot be."""
        page = None if meta is None else (meta.url, meta.status)
        try:
            return self._portable.write_item(item, page)
        except NotJsonError as error:
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._crawler.stats.inc_value("concurcrawl/not_shippable")
            return None

    async def through_pipelines(
        self, process: Callable[[], Awaitable[None]]
    ) -> list[bytes]:
        """Return the lines of what pipelines make of items, before they are kept.

        In a stream an item cannot be changed any more.

        Args:
            process: Sends them through the pipelines.
        """
        lines: list[bytes] = []
        token = _lines.set(lines)
        try:
            await process()
        finally:
            _lines.reset(token)
        return lines

    def _scraped(self, item: Any) -> None:
        lines = _lines.get()
        if lines is None:
            return
        try:
            lines.append(self._portable.write_line(item))
        except NotJsonError as error:
            logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
            self._crawler.stats.inc_value("concurcrawl/not_shippable")

    def kept(self, numbers: Sequence[int]) -> None:
        """Note that these items are this node's to process."""
        if not self.streams:
            self._ours.update(numbers)

    def processed(self, numbers: Sequence[int]) -> None:
        """Note that pipelines and feeds have had these items."""
        self._processed.update(numbers)

    def adopt(self, items: list[tuple[int, bytes]]) -> None:
        """Process items of dead nodes, or of an earlier life."""
        self.kept([number for number, _ in items])
        self._replaying += 1
        asyncio.ensure_future(self._replay(items))  # noqa: RUF006 - the engine outlives it

    def disown(self) -> None:
        """Forget all items: others have them now."""
        self._ours.clear()
        self._processed.clear()
        asyncio.ensure_future(self._cut_back())  # noqa: RUF006 - the engine outlives it

    async def close(self) -> None:
        """Make the feeds safe for the last time."""
        if self._timer is not None:
            async with self._writing:  # what was offered must be written, too
                self._timer.cancel()
        try:
            await self.make_safe()
        except (OSError, ConcurcrawlError) as error:
            self._fail(error)

    async def make_safe(self) -> None:
        """Write what is held into the feeds, if that is agreed to.

        Raises:
            OSError: If a file cannot be written.
            FrontierError: If Redis is out of reach.
        """
        async with self._writing:
            ledger = self._ledger
            if ledger is None:
                return
            ledger.drop(self._ours.__contains__)
            done = sorted((self._processed | ledger.written) & self._ours)
            self._processed.clear()
            ledger.written.clear()
            if not done:
                return
            try:
                await self._hand_over(ledger, done)
            except LeaseLostError:
                ledger.drop(self._ours.__contains__)
            else:
                self._ours.difference_update(done)

    async def _hand_over(self, ledger: HeldLedger, done: list[int]) -> None:
        ledger.make_safe()  # files that are no lines
        extents = ledger.extents()
        if not extents:
            await self._frontier.deliver(done, {})
            return
        batch = secrets.token_hex(8)
        columns = {path: ledger.columns_of(path) for path in extents}
        columns = {path: text for path, text in columns.items() if text}
        about = {
            "home": self._home,
            "node": self._frontier.node,
            "files": extents,
            "columns": columns,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "born_s": psutil.Process().create_time(),
        }
        lines = ledger.freeze()
        await self._frontier.prepare(batch, json.dumps(about), done)
        ledger.let_go(lines)
        notes = {self._note(path): str(end) for path, (_, end) in extents.items()}
        notes |= {self._note(p, _COLUMNS): text for p, text in columns.items()}
        await self._frontier.commit(batch, notes, was_written=True)

    async def _make_safe_now_and_then(self) -> None:
        while True:
            # Nobody waits for us as long as there is something to do.
            interval_s = 0.05 if self._frontier.is_quiet else _INTERVAL_S
            await asyncio.sleep(interval_s)
            try:
                await self.make_safe()
            except (OSError, ConcurcrawlError) as error:
                self._fail(error)
                return

    async def _replay(self, items: list[tuple[int, bytes]]) -> None:
        try:
            for number, kept in items:
                try:
                    item, _page = self._portable.read_item(kept)
                except NotJsonError as error:
                    logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
                else:
                    await self._pipelines.process_kept(
                        self._pipelines.codec.encode(item), None, number
                    )
                self._processed.add(number)
        finally:
            self._replaying -= 1

    # What an earlier life has left -----------------------------------------------

    def _note(self, path: str, kind: str = _FEED) -> str:
        return f"{kind}{self._home}:{path}"

    def _lengths(self, notes: dict[str, str]) -> dict[str, int]:
        found = self._noted(notes, _FEED)
        return {path: int(text) for path, text in found.items()}

    def _columns(self, notes: dict[str, str]) -> dict[str, str]:
        return self._noted(notes, _COLUMNS)

    def _noted(self, notes: dict[str, str], kind: str) -> dict[str, str]:
        start = self._note("", kind)
        return {
            name.removeprefix(start): text
            for name, text in notes.items()
            if name.startswith(start)
        }

    async def _resolve_in_doubt(self) -> None:
        """See whether batches of this home, whose node has died, were written."""
        live = await self._link.nodes()
        for batch, text in (await self._link.in_doubt()).items():
            about = json.loads(text)
            if about["home"] != self._home:
                continue
            is_other = about["node"] in live - {self._frontier.node}
            if is_other and not _is_gone(about):
                continue
            assert self._ledger is not None
            files = {path: tuple(extent) for path, extent in about["files"].items()}
            was_written = all(
                self._sizes(path) >= end for path, (_, end) in files.items()
            )
            lengths = {p: end if was_written else at for p, (at, end) in files.items()}
            columns = about.get("columns", {}) if was_written else {}
            self._ledger.cut(lengths, columns)
            notes = {self._note(path): str(length) for path, length in lengths.items()}
            notes |= {self._note(p, _COLUMNS): text for p, text in columns.items()}
            await self._frontier.commit(batch, notes, was_written=was_written)

    def _sizes(self, path: str) -> int:
        file = Path(path)
        return file.stat().st_size if file.exists() else -1

    async def _cut_back(self) -> None:
        """Have no more in the feeds than Redis knows of, if it has lost something."""
        try:
            lengths = self._lengths(await self._frontier.notes())
            async with self._writing:
                if self._ledger is not None:
                    self._ledger.cut_back(lengths)
        except (OSError, ConcurcrawlError) as error:
            self._fail(error)

    # The start ----------------------------------------------------------------------

    async def in_turns(self, outputs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the *outputs* of start() that the engine is to have, if we lead.

        A node that leads no longer waits until it does again, or the crawl ends: the
        other runs start() meanwhile.
        """
        if not await self._lead():
            return
        async for output in self.start.untaken(outputs):
            if isinstance(output, Request):
                yield output
            else:
                await self._process_start(output)
            await asyncio.sleep(0)
            if not self._frontier.is_leader and not await self._lead():
                return

    async def _process_start(self, item: Any) -> None:
        payload, output = self._pipelines.codec.encode(item), self.start.output_of(item)
        if self.streams:
            lines = await self.through_pipelines(
                lambda: self._pipelines.process_kept(payload, None, 0)
            )
            await self._frontier.keep(lines, {}, output)
            return
        entry = self.entry(item, payload, None)
        if entry is not None:
            kept = await self._frontier.keep([entry], {}, output)
            self.kept(kept)
            for number in kept:
                await self._pipelines.process_kept(payload, None, number)
            self.processed(kept)


def _is_gone(about: dict[str, Any]) -> bool:
    """Return whether a node's process is known to be dead, though its lease may run."""
    if about["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(about["pid"])
        is_same = abs(process.create_time() - about["born_s"]) < 1
        return not is_same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
