"""Feeds that can be continued: each item exactly once, however a crawl was ended.

A feed's file is a log. Now and then it is made safe on disk, and its length is noted
together with the items that are in it up to there. A crawl that resumes cuts the file
to the noted length and goes on from there with the items that were not noted.

This holds for formats in which an item is a line: JSON lines and CSV.
"""

from __future__ import annotations

import csv
import io
import os
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from scrapy.exporters import CsvItemExporter
from scrapy.extensions.feedexport import FileFeedStorage

from concurcrawl.files import make_name_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

#: Prefix of the notes with the length of a feed's file.
_NOTE = "feed:"

#: The number of the item that goes through pipelines and feeds in this context.
item_at_hand: ContextVar[int | None] = ContextVar("item_at_hand", default=None)

_ledgers: WeakKeyDictionary[Crawler, Ledger] = WeakKeyDictionary()


class Ledger:
    """Knows the files of a crawl's feeds, how long each is, and which items it has.

    Invariant: between two steps of the event loop, an item is in ``written`` if any
    feed has it, and then each feed that takes it has it.

    Attributes:
        written: Numbers of the items that went into a feed since this was emptied.
    """

    def __init__(
        self, crawler: Crawler, take_notes: Callable[[dict[str, str]], object]
    ) -> None:
        """Keep the ledger of *crawler*.

        Args:
            crawler: It.
            take_notes: Called with notes that must be known before a feed is written.
        """
        _ledgers[crawler] = self
        self._take_notes = take_notes
        self.written: set[int] = set()
        self._error: OSError | None = None
        self._files: dict[str, IO[bytes]] = {}
        self._lengths: dict[str, int] = {}

    def resume(self, notes: Mapping[str, str]) -> None:
        """Cut each feed to the length that was noted.

        Raises:
            OSError: If a file cannot be written.
        """
        for name, text in notes.items():
            path = Path(name.removeprefix(_NOTE))
            if name.startswith(_NOTE) and path.exists():
                length = min(int(text), path.stat().st_size)
                os.truncate(path, length)
                self._lengths[str(path)] = length

    def open(self, path: Path, mode: str) -> IO[bytes]:
        """Open a feed: at its end if it is continued, else in *mode*."""
        key = str(path.absolute())
        raw = io.FileIO(str(path), "ab" if key in self._lengths else mode)
        file = _FeedFile(raw, self)
        length = file.seek(0, os.SEEK_END)
        if key not in self._lengths:
            make_name_safe(Path(key))
            # What it had before is no item of ours, also if we are killed from now on.
            self._take_notes({_NOTE + key: str(length)})
        self._files[key] = file
        return file

    def open_feed(self, path: Path, mode: str, feed_format: str) -> IO[bytes]:
        """Open a feed of a format, or of no known one if it is empty."""
        return self.open(path, mode)

    def is_continued(self, file: IO[bytes]) -> bool:
        """Tell whether *file* is a feed that an earlier crawl has begun."""
        lengths = self._lengths
        return any(f is file and lengths.get(k, 0) for k, f in self._files.items())

    def make_safe(self) -> dict[str, str]:
        """Write all feeds to disk and return the notes to take.

        Raises:
            OSError: If that fails, as on a full disk, or if an item could not be
                written before.
        """
        if self._error is not None:
            raise self._error
        notes = {}
        for key, file in list(self._files.items()):
            if file.closed:
                continue
            file.flush()
            os.fsync(file.fileno())
            notes[_NOTE + key] = str(file.tell())
        return notes

    def wrote(self) -> None:
        """Note that the item at hand went into a feed."""
        number = item_at_hand.get()
        if number is not None:
            self.written.add(number)

    def fail(self, error: OSError) -> None:
        """Note that an item is in no feed, or in a part of them, or torn."""
        self._error = error


class _FeedFile(io.BufferedWriter):
    """A feed's file, which tells its ledger what was written."""

    def __init__(self, raw: io.FileIO, ledger: Ledger) -> None:
        super().__init__(raw)
        self._ledger = ledger

    def write(self, data: Any) -> int:
        """See :class:`io.BufferedWriter`."""
        try:
            written = super().write(data)
        except OSError as error:
            self._ledger.fail(error)  # exporters' errors are only logged
            raise
        self._ledger.wrote()
        return written


def enable(
    settings: BaseSettings, rank: str, csv_exporter: type[CsvItemExporter] | None = None
) -> None:
    """Have feeds in files kept by a ledger.

    Args:
        settings: Of the crawl.
        rank: The priority to set them with.
        csv_exporter: What writes CSV; by default what continues a file.
    """
    storages = settings.getdict("FEED_STORAGES")
    for scheme in ("", "file"):
        storages.setdefault(scheme, LedgerStorage)
    settings.set("FEED_STORAGES", storages, rank)
    exporters = settings.getdict("FEED_EXPORTERS")
    exporters.setdefault("csv", csv_exporter or ContinuedCsv)
    settings.set("FEED_EXPORTERS", exporters, rank)


class LedgerStorage(FileFeedStorage):
    """Feeds in files, continued if an earlier crawl has begun them."""

    def __init__(
        self,
        uri: str,
        *,
        feed_options: dict[str, Any] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        super().__init__(uri, feed_options=feed_options)
        self._ledger = ledger
        options = feed_options or {}
        # What is compressed or cut into batches is no file of lines.
        is_plain = not (
            options.get("postprocessing") or options.get("batch_item_count")
        )
        self._format = str(options.get("format", "")) if is_plain else ""

    @classmethod
    def from_crawler(
        cls, crawler: Crawler, uri: str, *, feed_options: dict[str, Any] | None = None
    ) -> Self:
        """Make one with the ledger of *crawler*."""
        return cls(uri, feed_options=feed_options, ledger=_ledgers.get(crawler))

    def open(self, spider: Spider) -> IO[bytes]:
        """See :class:`FileFeedStorage`."""
        if self._ledger is None:
            return super().open(spider)
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return self._ledger.open_feed(path, self.write_mode, self._format)


class ContinuedCsv(CsvItemExporter):
    """CSV whose columns are those of the header that stands in the file already."""

    @classmethod
    def from_crawler(
        cls, crawler: Crawler, file: Any, *args: Any, **kwargs: Any
    ) -> Self:
        """Make one; continue the file if *crawler* has resumed."""
        ledger = _ledgers.get(crawler)
        if ledger is not None and ledger.is_continued(file):
            kwargs["include_headers_line"] = False
            if kwargs.get("fields_to_export") is None:
                kwargs["fields_to_export"] = _header(file.name)
        return cls(file, *args, **kwargs)


def _header(path: str) -> list[str] | None:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), None)
