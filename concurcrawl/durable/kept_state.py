"""The supervisor's ``spider.state``: merged from all processes and kept over a kill."""

from __future__ import annotations

import asyncio
import logging
import pickle
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concurcrawl.durable.state import Tracker, apply, read_file, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from concurcrawl.frontier.sqlite import SqliteFrontier

logger = logging.getLogger(__name__)

#: Changes are folded into a whole when they take more room than it, and than this.
_MANY_BYTES = 1 << 16

#: Seconds between two looks for what pipelines and extensions changed inside of values.
_INTERVAL_S = 1.0

#: Kinds of changes whose order matters.
_IN_ORDER = {"put", "gone"}


@dataclass(frozen=True, slots=True)
class StateChanges:
    """Changes of ``spider.state`` on their way into the frontier.

    Attributes:
        row: All of them, as they are kept.
        kept: Each, encoded, and the worker that need not be sent it.
        changes: Those that a worker made.
        own: How many were made in this process.
    """

    row: bytes
    kept: Sequence[tuple[bytes, str]]
    changes: Sequence[bytes]
    own: int


class KeptState:
    """What is kept of ``spider.state``.

    Invariant: the frontier has each change in the step that completed the request whose
    callback made it, and the changes in the order in which they were merged.
    """

    def __init__(
        self,
        spider: Any,
        frontier: SqliteFrontier,
        path: str,
        send: Callable[[Sequence[bytes], str], None] = lambda *_: None,
    ) -> None:
        """Make one that is not loaded.

        Args:
            spider: The spider, which gets the attribute ``state``.
            frontier: Keeps it while the crawl runs.
            path: The file in which Scrapy keeps it between two crawls.
            send: Called with changes, and the name of the worker that need not be sent
                them.
        """
        self._spider: Any = spider  # it has no state until now
        self._table = frontier.state
        self._path = path
        self._own: list[bytes] = []
        self._last: dict[Any, str] = {}  # who changed a key last
        self._refused: set[str] = set()
        self._bytes = self._whole_bytes = 0
        self._is_due = False
        self._task: asyncio.Task[None] | None = None
        self._send = send
        self._tracker = Tracker(self._note_own)

    def _load(self) -> dict[Any, Any]:
        kept = self._table.rows()
        if not kept:
            return read_file(self._path)
        found: dict[Any, Any] = pickle.loads(kept[0])  # noqa: S301 - our own file
        for changes in kept[1:]:
            for encoded in pickle.loads(changes):  # noqa: S301 - our own file
                key, change = pickle.loads(encoded)  # noqa: S301 - our own file
                apply(found, key, change)
        return found

    def load(self) -> None:
        """Give the spider what an earlier run has left."""
        self._tracker.replace(self._load())
        self._spider.state = self._tracker.live

    def open(self) -> None:
        """Load it, and begin to look for what is changed here."""
        self.load()
        self._fold()
        self._task = asyncio.ensure_future(self._look_now_and_then())

    def whole(self) -> bytes:
        """Return all of it, for a worker that begins."""
        self.save()
        return pickle.dumps(self._tracker.snapshot())

    def save(self) -> None:
        """Keep what was changed in this process."""
        self._is_due = False
        self.merge((), "")

    def merge(self, changes: Sequence[bytes], worker: str) -> None:
        """Keep and apply *changes* of *worker*, and those made in this process."""
        prepared = self.prepare(changes, worker)
        if prepared is not None:
            self.commit(prepared)
            self.committed(prepared)

    def prepare(self, changes: Sequence[bytes], worker: str) -> StateChanges | None:
        """Return what to keep of *changes*, and of those made in this process.

        Not within a transaction: values are pickled, which runs their classes' code.

        Args:
            changes: Changes that came of a request, encoded.
            worker: Name of the worker that made them.

        Returns:
            None if there is nothing to keep.
        """
        self._spider.state = self._tracker.adopt(getattr(self._spider, "state", None))
        self._tracker.collect()
        kept = [*self._kept(self._own, ""), *self._kept(changes, worker)]
        own = len(self._own)
        if not kept:
            self._own.clear()
            return None
        row = pickle.dumps([encoded for encoded, _ in kept])
        return StateChanges(row, kept, changes, own)

    def commit(self, prepared: StateChanges) -> None:
        """Write *prepared*, in the transaction that ends the request."""
        self._table.add(prepared.row)

    def committed(self, prepared: StateChanges) -> None:
        """Apply what was committed to the copy here, and send it to the workers."""
        del self._own[: prepared.own]
        self._tracker.apply(prepared.changes)
        for encoded, but in prepared.kept:
            self._send([encoded], but)
        self._bytes += len(prepared.row)
        if self._bytes > max(_MANY_BYTES, self._whole_bytes):
            self._fold()

    def close(self) -> None:
        """Keep it for the next crawl, as Scrapy does."""
        if self._task is not None:
            self._task.cancel()
        try:
            self.save()
            self._fold()
            write_file(self._path, self._tracker.snapshot())
        except (OSError, sqlite3.Error) as error:
            logger.error("spider.state could not be written: %s", error)  # noqa: TRY400

    def _kept(self, changes: Sequence[bytes], worker: str) -> list[tuple[bytes, str]]:
        """Return the changes that can be kept, and whom not to tell of each."""
        found = []
        for encoded in changes:
            key, change = pickle.loads(encoded)  # noqa: S301 - our own processes'
            if change[0] == "refused":
                self._say_refused(key, change[1])
                continue
            last, self._last[key] = self._last.get(key, worker), worker
            # Two that wrote at the same time must both end with what came last.
            is_race = last != worker and change[0] in _IN_ORDER
            found.append((encoded, "" if is_race else worker))
        return found

    def _say_refused(self, key: str, reason: str) -> None:
        if key in self._refused:
            return
        self._refused.add(key)
        logger.error(
            "spider.state[%s] cannot be kept (%s). Each process has a value of its "
            "own, and none survives the crawl; put plain values into the state.",
            key,
            reason,
        )

    def _note_own(self, encoded: bytes) -> None:
        self._own.append(encoded)
        if not self._is_due and self._task is not None:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._save_if_due)

    def _save_if_due(self) -> None:
        if self._is_due and self._task is not None and not self._task.cancelled():
            self._save_or_say()

    def _save_or_say(self) -> None:
        try:
            self.save()
        except sqlite3.Error as error:
            logger.error("spider.state could not be kept: %s", error)  # noqa: TRY400

    def _fold(self) -> None:
        whole = pickle.dumps(self._tracker.snapshot())
        self._table.replace(whole)
        self._bytes, self._whole_bytes = 0, len(whole)

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self._save_or_say()
