"""Feeds that can be continued: each item exactly once, however a crawl was ended.

A feed's file is a log. Now and then it is made safe on disk, and its length is noted
together with the items that are in it up to there. A crawl that resumes cuts the file
to the noted length and goes on from there with the items that were not noted.

This holds for formats in which an item is a line: JSON lines and CSV.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from scrapy.exporters import CsvItemExporter
from scrapy.extensions.feedexport import FileFeedStorage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

#: Prefix of the notes with the length of a feed's file.
_NOTE = "feed:"

_ledgers: WeakKeyDictionary[Crawler, Ledger] = WeakKeyDictionary()


class Ledger:
    """Knows the files of a crawl's feeds and how long each is."""

    def __init__(self, crawler: Crawler) -> None:
        _ledgers[crawler] = self
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
        file: IO[bytes] = path.open("ab" if key in self._lengths else mode)
        file.seek(0, os.SEEK_END)
        self._files[key] = file
        return file

    def is_continued(self, file: IO[bytes]) -> bool:
        """Tell whether *file* is a feed that an earlier crawl has begun."""
        lengths = self._lengths
        return any(f is file and lengths.get(k, 0) for k, f in self._files.items())

    def make_safe(self) -> dict[str, str]:
        """Write all feeds to disk and return the notes to take.

        Raises:
            OSError: If that fails, as on a full disk.
        """
        notes = {}
        for key, file in list(self._files.items()):
            if file.closed:
                continue
            file.flush()
            os.fsync(file.fileno())
            notes[_NOTE + key] = str(file.tell())
        return notes


def enable(settings: BaseSettings, rank: str) -> None:
    """Have feeds in files kept by a ledger."""
    storages = settings.getdict("FEED_STORAGES")
    for scheme in ("", "file"):
        storages.setdefault(scheme, LedgerStorage)
    settings.set("FEED_STORAGES", storages, rank)
    exporters = settings.getdict("FEED_EXPORTERS")
    exporters.setdefault("csv", ContinuedCsv)
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
        return self._ledger.open(path, self.write_mode)


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
