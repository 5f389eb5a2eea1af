"""Feeds that can be continued: each item exactly once, however a crawl was ended.

A feed's file is a log. Now and then it is made safe on disk, and its length is noted
together with the items that are in it up to there. A crawl that resumes cuts the file
to the noted length and goes on from there with the items that were not noted.

This holds for formats in which an item is a line: JSON lines and CSV. Other feeds are
written again by a crawl that resumes, see :mod:`concurcrawl.durable.exports`.
"""

from __future__ import annotations

import io
import json
import os
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from scrapy.exporters import CsvItemExporter, JsonLinesItemExporter
from scrapy.extensions.feedexport import FileFeedStorage
from scrapy.utils.misc import load_object
from typing_extensions import override

from concurcrawl.compat.csv_export import HeaderCsvExporter
from concurcrawl.durable.atomic_files import make_name_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

#: Prefix of the notes with the length of a feed's file.
_NOTE = "feed:"

#: Prefix of the notes with the columns of a table, which its header need not show: it
#: may be in any encoding and dialect, or not be there.
_COLUMNS = "columns:"

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
        self._exporters = crawler.settings.getwithbase("FEED_EXPORTERS")
        self.written: set[int] = set()
        self._error: OSError | None = None
        self._files: dict[str, IO[bytes]] = {}
        self._final: dict[str, int] = {}
        self._whole: list[IO[bytes]] = []
        self._lengths: dict[str, int] = {}
        self._columns: dict[str, str] = {}

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
                columns = notes.get(f"{_COLUMNS}{path}")
                if columns is not None:
                    self._columns[str(path)] = columns

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

    def open_feed(self, path: Path, mode: str, *, has_lines: bool) -> IO[bytes]:
        """Open a feed; one without lines is not continued."""
        if has_lines:
            return self.open(path, mode)
        file = _FeedFile(io.FileIO(str(path), mode), self)
        self._whole = [one for one in self._whole if not one.closed]
        self._whole.append(file)
        return file

    def columns(self, file: Any) -> Any:
        """Return the columns of a table that an earlier life has begun.

        Returns:
            What :meth:`note_columns` was given, in a list; an empty one if *file* is no
            such table.
        """
        text = self._columns.get(self._key(file))
        return [] if text is None else [json.loads(text)]

    def note_columns(self, file: Any, columns: list[str] | None) -> None:
        """Note the columns of a table, before its length is noted again."""
        key = self._key(file)
        if key:
            self._columns[key] = json.dumps(columns)

    def _key(self, file: Any) -> str:
        return next((key for key, one in self._files.items() if one is file), "")

    def make_safe(self) -> dict[str, str]:
        """Write all feeds to disk and return the notes to take.

        Raises:
            OSError: If that fails, as on a full disk, or if an item could not be
                written before.
        """
        if self._error is not None:
            raise self._error
        notes = {}
        for whole in self._whole:
            if not whole.closed:
                whole.flush()  # a full disk is to be seen before its end
        for key, file in list(self._files.items()):
            if file.closed:
                length = self._final.get(key)
                if length is None:
                    continue
            else:
                file.flush()
                os.fsync(file.fileno())
                length = file.tell()
            notes[_NOTE + key] = str(length)
            if key in self._columns:
                notes[_COLUMNS + key] = self._columns[key]
        return notes

    def exporter(self, feed_format: str) -> type | None:
        """Return the class that writes *feed_format*; None if there is none."""
        known = self._exporters.get(feed_format)
        return None if known is None else load_object(known)

    def closing(self, file: IO[bytes]) -> None:
        """Note how long a file is that is about to be closed.

        Raises:
            OSError: If it cannot be made safe.
        """
        key = self._key(file)
        if key and self._error is None:  # else nothing is noted any more
            file.flush()
            os.fsync(file.fileno())
            self._final[key] = file.tell()

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

    @override
    def write(self, data: Any) -> int:
        try:
            written = super().write(data)
        except OSError as error:
            self._ledger.fail(error)  # exporters' errors are only logged
            raise
        self._ledger.wrote()
        return written

    @override
    def close(self) -> None:
        if not self.closed:
            try:
                self._ledger.closing(self)
            except OSError as error:
                self._ledger.fail(error)
                super().close()
                raise
        super().close()


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
        self._has_lines = ledger is not None and has_lines(
            feed_options or {},
            ledger.exporter(str((feed_options or {}).get("format", ""))),
        )

    @classmethod
    def from_crawler(
        cls, crawler: Crawler, uri: str, *, feed_options: dict[str, Any] | None = None
    ) -> Self:
        """Make one with the ledger of *crawler*."""
        return cls(uri, feed_options=feed_options, ledger=_ledgers.get(crawler))

    @override
    def open(self, spider: Spider) -> IO[bytes]:
        if self._ledger is None:
            return super().open(spider)
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return self._ledger.open_feed(path, self.write_mode, has_lines=self._has_lines)


class ContinuedCsv(HeaderCsvExporter):
    """CSV with one header, and with the columns that it began with."""

    _ledger: Ledger | None = None
    _target: Any = None

    @classmethod
    def from_crawler(
        cls, crawler: Crawler, file: Any, *args: Any, **kwargs: Any
    ) -> Self:
        """Make one; continue the file if *crawler* has resumed."""
        ledger = _ledgers.get(crawler)
        known = [] if ledger is None else ledger.columns(file)
        is_own = not kwargs.get("fields_to_export")
        if known and is_own:
            (kwargs["fields_to_export"],) = known
        exporter = cls(file, *args, **kwargs)
        exporter.note_in(ledger, file)
        if known:
            exporter.leave_out_header(has_chosen=is_own)
        return exporter

    def note_in(self, ledger: Ledger | None, file: Any) -> None:
        """Note the columns of *file* in *ledger*, once they are known."""
        self._ledger, self._target = ledger, file

    @override
    def write_header(self, item: Any) -> None:
        super().write_header(item)
        if self._ledger is not None:
            fields = self.fields_to_export
            self._ledger.note_columns(self._target, list(fields) if fields else None)


def has_lines(options: Mapping[str, Any], exporter: type | None) -> bool:
    """Return whether an item of a feed is a line, which is written at once.

    An exporter of the project's own may write anything, and at any time.
    """
    is_plain = not (
        # Scrapy looks whether it is there; what is in it may be nothing.
        "postprocessing" in options or options.get("batch_item_count")
    )
    is_scrapys = exporter in (JsonLinesItemExporter, CsvItemExporter)
    is_ours = exporter is not None and issubclass(exporter, ContinuedCsv)
    return is_plain and (is_scrapys or is_ours)
