"""Feeds of a node: what a file gets is held back until no other node can write it too.

Items of a node that dies are taken over by others. So what it wrote of them must not be
in its file, unless it is sure that no other node has them: a line is held in memory
until the frontier has agreed that its item goes into this file.

This holds for formats in which an item is a line: JSON lines and CSV. Other files are
written at once.
"""

from __future__ import annotations

import io
import logging
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlparse

from scrapy.utils.conf import feed_complete_default_values_from_settings
from scrapy.utils.misc import load_object
from typing_extensions import override

from concurcrawl.durable.atomic_files import write_all
from concurcrawl.durable.feeds import ContinuedCsv, Ledger, has_lines, item_at_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)


class HeldLedger(Ledger):
    """Knows which lines are held, and of which items.

    Attributes:
        written: Numbers of the items that went into a feed since this was emptied.
    """

    def __init__(
        self,
        crawler: Crawler,
        lengths: Mapping[str, int],
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the ledger of *crawler*.

        Args:
            crawler: The crawl.
            lengths: How long each file is that an earlier life of this node has begun.
            columns: Those of its tables, as :meth:`columns_of` has them.
        """
        super().__init__(crawler, lambda _: None)
        self._held: dict[str, _HeldFile] = {}
        self._lengths.update(lengths)
        self._columns.update(columns or {})

    def cut(self, lengths: Mapping[str, int], columns: Mapping[str, str]) -> None:
        """Cut files to *lengths* when they are opened; learn *columns* of tables."""
        self._lengths.update(lengths)
        self._columns.update(columns)

    def open_feed(self, path: Path, mode: str, *, has_lines: bool) -> IO[bytes]:
        """Open a feed: held if an item of its format is a line."""
        if not has_lines:
            return super().open(path, mode)
        key = str(path.absolute())
        known = self._lengths.get(key)
        if known is None or not path.exists():
            self._lengths.pop(key, None)
            self._columns.pop(key, None)
            path.open(mode).close()
        elif known < path.stat().st_size:
            # Not earlier: other nodes of this host have files too.
            os.truncate(path, known)
        file = _HeldFile(io.FileIO(str(path), "ab"), self)
        self._held[key] = file
        found: IO[bytes] = file  # type: ignore[assignment]  # all that exporters use
        return found

    def columns_of(self, path: str) -> str:
        """Return the columns of a table as they are noted; empty if it is none."""
        return self._columns.get(path, "")

    def _key(self, file: Any) -> str:
        held = (key for key, one in self._held.items() if one is file)
        return next(held, "") or super()._key(file)

    def drop(self, is_ours: Callable[[int], bool]) -> None:
        """Forget lines of items that are not ours any more."""
        for file in self._held.values():
            file.lines = [
                (n, line) for n, line in file.lines if n is None or is_ours(n)
            ]

    def extents(self) -> dict[str, tuple[int, int]]:
        """Return from where to where each file grows by what is held now."""
        found = {}
        for key, file in self._held.items():
            size = sum(len(line) for _, line in file.lines)
            if size:
                found[key] = (file.length, file.length + size)
        return found

    def freeze(self) -> dict[str, int]:
        """Return how many lines each file holds now: what comes later is not meant."""
        return {key: len(file.lines) for key, file in self._held.items()}

    def let_go(self, lines: Mapping[str, int]) -> None:
        """Write the first lines of each file, to disk.

        Raises:
            OSError: If that fails.
        """
        for key, count in lines.items():
            self._held[key].let_go(count)

    def cut_back(self, lengths: Mapping[str, int]) -> None:
        """Cut files that are longer than the frontier knows: it has lost something.

        Raises:
            OSError: If a file cannot be written.
        """
        for key, file in self._held.items():
            known = lengths.get(key, file.began_at)
            if known < file.length:
                os.truncate(key, known)
                file.length = known


def warn_of_unheld(settings: BaseSettings) -> None:
    """Name the feeds that may lose or double items if a node is stopped or killed."""
    exporters = settings.getwithbase("FEED_EXPORTERS")
    names = []
    for uri, given in settings.getdict("FEEDS").items():
        options = feed_complete_default_values_from_settings(given, settings, str(uri))
        exporter = exporters.get(options["format"])
        is_file = urlparse(str(uri)).scheme in ("", "file")
        is_held = exporter and has_lines(options, load_object(exporter))
        if not (is_file and is_held):
            names.append(str(uri))
    if names:
        logger.warning(
            "Over Redis these feeds may lack or repeat items once a node was stopped "
            "or killed: %s. JSON lines or CSV in a local file, neither compressed nor "
            "in batches, have each item once, and so has "
            "CONCURCRAWL_FRONTIER_ITEMS=stream",
            ", ".join(names),
        )


class _HeldFile(io.BufferedIOBase):
    """A file whose lines are kept in memory until they may be written."""

    def __init__(self, raw: io.FileIO, ledger: HeldLedger) -> None:
        self._raw = raw
        self._ledger = ledger
        self.length = self.began_at = raw.seek(0, os.SEEK_END)
        self.lines: list[tuple[int | None, bytes]] = []
        self.name = raw.name

    @override
    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        """Return True, so that a text wrapper asks where it is: BOMs come once."""
        return True

    @override
    def write(self, data: Any) -> int:
        line = bytes(data)
        self.lines.append((item_at_hand.get(), line))
        self._ledger.wrote()
        return len(line)

    def tell(self) -> int:
        """Return how long the file will be."""
        return self.length + sum(len(line) for _, line in self.lines)

    def let_go(self, count: int) -> None:
        """Write the first *count* lines, to disk."""
        if self.closed or not count:
            return
        written = b"".join(line for _, line in self.lines[:count])
        write_all(self._raw, written)
        os.fsync(self._raw.fileno())
        del self.lines[:count]
        self.length += len(written)

    def close(self) -> None:
        """Close the file, without the lines of items that are held."""
        if not self.closed:
            self.lines = [(n, line) for n, line in self.lines if n is None]
            self.let_go(len(self.lines))
            self._raw.close()
        super().close()


@contextmanager
def of_no_item() -> Iterator[None]:
    """Have what is written within belong to the file, and to no item."""
    token = item_at_hand.set(None)
    try:
        yield
    finally:
        item_at_hand.reset(token)


class HeldCsv(ContinuedCsv):
    """CSV whose header stays although the item that came with it may go."""

    @override
    def write_header(self, item: Any) -> None:
        with of_no_item():
            super().write_header(item)
