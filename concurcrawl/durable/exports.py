"""Feeds that are written anew by a crawl that resumes, from items that were kept.

Lines can be cut off a file and appended to it (:mod:`concurcrawl.durable.feeds`).
Nothing else can: JSON and XML have an end, what is compressed or uploaded is whole or
worthless, and of a class of the project's own nothing is known. For these an item is
kept, as it left the pipelines, until the file that it is in is complete: a full batch,
or a feed at the end of the crawl. Until then each life of the crawl writes the file
again.

A file's address is noted before it is opened, so that a later life, at another time
and from another folder, replaces that file and leaves no other.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.extensions.feedexport import (
    FileFeedStorage,
    FTPFeedStorage,
    GCSFeedStorage,
    S3FeedStorage,
    StdoutFeedStorage,
)
from typing_extensions import override

from concurcrawl.compat import feed_export
from concurcrawl.compat.closing import fail_crawl
from concurcrawl.durable.atomic_files import make_name_safe
from concurcrawl.durable.feeds import LedgerStorage, has_lines, item_at_hand
from concurcrawl.errors import NotShippableError
from concurcrawl.frontier.exports import Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrapy.crawler import Crawler
    from scrapy.extensions.feedexport import FeedSlot

    from concurcrawl.durable.feeds import Ledger
    from concurcrawl.durable.items import ItemCodec
    from concurcrawl.frontier.sqlite import SqliteFrontier

logger = logging.getLogger(__name__)

#: Bytes of items that wait for a commit before it is made at once.
_MANY = 4 << 20

_SCRAPYS = (FileFeedStorage, FTPFeedStorage, GCSFeedStorage, S3FeedStorage)


class Kind(Enum):
    """How a feed comes to have each item once."""

    LINES = auto()  #: a file that is cut and continued
    STREAM = auto()  #: lines that cannot be taken back
    WHOLE = auto()  #: written again, in the place of what was there
    ADDED = auto()  #: added to what is there whenever it is stored


@dataclass(slots=True)
class _File:
    """A file of a feed that is not complete yet.

    Attributes:
        uri: Its address.
        before: What an earlier life found in its place, and must be left: the length
            of a file, or the length and the number of what is standard output. None:
            there was nothing.
        first: Number of its first item; 0: it has none.
        last: Number of its last item.
        is_stored: Whether it is where it belongs.
        is_complete: Whether no item can come into it any more, though that may not be
            committed yet.
    """

    uri: str
    before: list[int] | None = None
    first: int = 0
    last: int = 0
    is_stored: bool = False
    is_complete: bool = False


@dataclass(slots=True)
class _Feed:
    """A feed, by the address in the settings.

    Attributes:
        name: That.
        files: Those that are not complete, by the number of their batch.
        left: Numbers of those that an earlier life has left, the next one last.
        kind: How it is kept; known once it is open.
    """

    name: str
    files: dict[int, _File] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    kind: Kind = Kind.WHOLE

    @classmethod
    def from_text(cls, name: str, text: str) -> _Feed:
        files = {int(n): _File(*pair) for n, pair in json.loads(text).items()}
        return cls(name, files, sorted(files, reverse=True))

    def text(self) -> str:
        return json.dumps({n: (f.uri, f.before) for n, f in self.files.items()})

    def forget_complete(self) -> bool:
        """Forget the files that are complete; return whether there were any."""
        complete = [n for n, file in self.files.items() if file.is_complete]
        for number in complete:
            del self.files[number]
        return bool(complete)

    @property
    def keeps(self) -> bool:
        return self.kind in (Kind.WHOLE, Kind.ADDED)


class Exports(feed_export.Watcher):
    """The feeds of a crawl with a ``JOBDIR``, and the items they must have again.

    Attributes:
        has_failed: Whether a commit has failed: no other is made then.
        wants_items: Whether a feed is open that keeps items.

    Invariant: an item that has left the pipelines is, for each feed that keeps items,
    in the frontier or in a complete file, and never in both.
    """

    def __init__(
        self,
        crawler: Crawler,
        frontier: SqliteFrontier,
        ledger: Ledger,
        *,
        codec: ItemCodec,
        commit: Callable[[], object],
        is_over: Callable[[], bool],
    ) -> None:
        """Keep the items of *crawler*'s feeds in *frontier*.

        Args:
            crawler: The crawl, whose feeds are not open yet.
            frontier: Where items are kept.
            ledger: Knows the feeds that are continued.
            codec: Encodes items as they are kept.
            commit: Called when a commit should not wait any longer.
            is_over: Returns whether nothing is left to crawl.
        """
        self._crawler = crawler
        self._frontier = frontier
        self._ledger = ledger
        self._codec = codec
        self._commit = commit
        self._is_over = is_over
        self._feeds = {
            name: _Feed.from_text(name, text)
            for name, text in frontier.exports.states().items()
        }
        self._number = frontier.exports.last()
        self._changes = Changes()
        self._bytes = 0
        self._files: dict[int, _File] = {}  # by the identity of their slots
        self._streams: list[Any] = []
        self._said: set[str] = set()
        self._is_closing = False
        self.has_failed = False
        self.wants_items = False
        feed_export.watch(crawler, self)

    # For the delivery -----------------------------------------------------------

    def changes(self) -> Changes:
        """Return what is new since the last time, to be committed.

        Raises:
            OSError: If a stream is gone that has not taken everything.
        """
        for stream in self._streams:
            stream.flush()
        changes, self._changes, self._bytes = self._changes, Changes(), 0
        for feed in self._feeds.values():
            if feed.forget_complete():
                changes.states[feed.name] = feed.text()
        changes.rows = [
            row
            for row in changes.rows
            if not any(f == row[1] and a <= row[0] <= z for f, a, z in changes.done)
        ]
        return changes

    # What the feed exporter tells ------------------------------------------------

    @override
    def begin(self, feed: str, batch: int, uri: str) -> tuple[int, str]:
        known = self._feeds.setdefault(feed, _Feed(feed))
        if known.left:
            batch = known.left[-1]
            return batch, known.files[batch].uri
        return batch, uri

    @override
    def opened(self, slot: FeedSlot) -> None:
        feed = self._feeds[slot.uri_template]
        feed.kind = _kind(slot)
        # A line tells the ledger itself.
        self.wants_items = self.wants_items or feed.kind is not Kind.LINES
        self._say(slot, feed)
        if feed.left:
            file = feed.files[feed.left.pop()]
            if feed.kind is Kind.WHOLE:
                _restore(slot.storage, file.before)
        else:
            file = _File(_address(slot), _found(slot.storage))
            feed.files[slot.batch_id] = file
            # Known before the file is: a run that finds the file knows whose it is.
            self._frontier.deliver([], {}, Changes(states={feed.name: feed.text()}))
        self._files[id(slot)] = file
        if feed.kind is Kind.STREAM:
            self._streams.append(slot.storage.open(slot.spider))

    @override
    def exported(self, item: Any, slots: list[FeedSlot], again: int | None) -> None:
        number = item_at_hand.get()
        if number is not None:
            self._ledger.written.add(number)
        keeping = [s for s in slots if self._feeds[s.uri_template].keeps]
        payload = self._payload(item) if keeping and again is None else b""
        for slot in keeping:
            self._keep(slot, payload, again)
        if self._bytes > _MANY:
            self._commit()

    @override
    def failed(self, error: OSError) -> None:
        self._ledger.fail(error)

    @override
    def kept(self, feed: str) -> Iterator[tuple[int, Any]]:
        if not self._feeds[feed].keeps:
            return
        for number, payload in self._frontier.exports.rows(feed):
            yield number, self._codec.decode(payload)

    @override
    def stored(self, slot: FeedSlot) -> None:
        feed, file = self._feeds[slot.uri_template], self._files.pop(id(slot))
        _make_safe(slot.storage)
        file.is_stored = True
        file.is_complete = self._is_full(slot)
        if file.first and (file.is_complete or feed.kind is Kind.ADDED):
            self._changes.done.append((feed.name, file.first, file.last))

    @override
    def closing(self) -> None:
        self._is_closing = True

    @override
    def closed(self, reason: str) -> None:
        if self.has_failed:
            return  # items are in the frontier still, and so are not here
        missing = [
            file.uri
            for feed in self._feeds.values()
            for file in feed.files.values()
            if feed.keeps and file.first and not (file.is_stored or file.is_complete)
        ]
        is_over = reason == "finished" and self._is_over()
        if is_over and not missing:
            self._changes.clears = True
        elif is_over:
            logger.error(
                "Not stored: %s. The items stay in the JOBDIR: run the same command "
                "again to store them",
                ", ".join(missing),
            )
            fail_crawl(self._crawler)
        self._commit()

    # ---------------------------------------------------------------------------------

    def _is_full(self, slot: FeedSlot) -> bool:
        count = slot.feed_options["batch_item_count"]
        return bool(count) and slot.itemcount >= count

    def _payload(self, item: Any) -> bytes | None:
        try:
            return self._codec.encode(item)
        except NotShippableError as error:
            name = type(item).__name__
            if name not in self._said:
                self._said.add(name)
                logger.error(  # noqa: TRY400 - its sentence says it all
                    "%s cannot be kept, so a crawl that resumes lacks it in feeds that "
                    "are written anew: %s",
                    name,
                    error.reason,
                )
            return None

    def _keep(self, slot: FeedSlot, payload: bytes | None, again: int | None) -> None:
        file = self._files.get(id(slot))
        if payload is None or file is None:  # stored already, if nothing is awaited
            return
        if again is None:
            self._number += 1
            self._changes.rows.append((self._number, slot.uri_template, payload))
            self._bytes += len(payload)
        number = again or self._number
        file.first = file.first or number
        file.last = number

    def _say(self, slot: FeedSlot, feed: _Feed) -> None:
        """Say once what cannot be promised of a feed."""
        if feed.name in self._said:
            return
        self._said.add(feed.name)
        text = _caution(slot, feed.kind)
        if text:
            logger.warning("Feed %s: %s", slot.uri, text)


def _kind(slot: FeedSlot) -> Kind:
    storage, options = slot.storage, slot.feed_options
    lines = has_lines(options, slot.exporters[slot.format])
    if isinstance(storage, StdoutFeedStorage):
        return Kind.STREAM if lines and _number(storage) is None else Kind.WHOLE
    if isinstance(storage, LedgerStorage):
        return Kind.LINES if lines else Kind.WHOLE
    if isinstance(storage, (FileFeedStorage, S3FeedStorage, GCSFeedStorage)):
        return Kind.WHOLE
    adds = options.get("overwrite", True) is False
    return Kind.ADDED if adds else Kind.WHOLE


def _caution(slot: FeedSlot, kind: Kind) -> str:
    if kind is Kind.STREAM:
        return (
            "lines on a pipe cannot be taken back: after a kill those of the last "
            "second come again"
        )
    if isinstance(slot.storage, StdoutFeedStorage) and _number(slot.storage) is None:
        return "on a pipe a crawl that resumes writes all items again, in one document"
    if kind is Kind.ADDED:
        return (
            "what is added to a store cannot be taken back: killed between an upload "
            "and the note of it, a crawl adds these items once more"
        )
    if not isinstance(slot.storage, (*_SCRAPYS, StdoutFeedStorage)):
        return (
            f"a crawl that resumes has {type(slot.storage).__name__} store all items "
            'again, so it must replace what it stored; if it adds, say "overwrite": '
            "False in FEEDS"
        )
    return ""


def _address(slot: FeedSlot) -> str:
    """Return the address of a file, also from another working folder."""
    path = _path(slot.storage)
    if path is None or "://" in slot.uri:
        return slot.uri
    return str(path)


def _path(storage: object) -> Path | None:
    if isinstance(storage, FileFeedStorage):
        return Path(storage.path).absolute()
    return None


def _found(storage: object) -> list[int] | None:
    """Return what is there before the first write and must stay."""
    if isinstance(storage, StdoutFeedStorage):
        number = _number(storage)
        return None if number is None else [_out(storage).tell(), number]
    path = _path(storage)
    if path is None or not path.exists():
        return None
    assert isinstance(storage, FileFeedStorage)
    return [path.stat().st_size if "a" in storage.write_mode else 0]


def _restore(storage: object, before: list[int] | None) -> None:
    """Take away what an earlier life has written, which is written again.

    Raises:
        OSError: If that fails.
    """
    if isinstance(storage, StdoutFeedStorage):
        if before and before[1] == _number(storage):
            out = _out(storage)
            out.flush()
            if os.fstat(out.fileno()).st_size >= before[0]:  # not truncated by a shell
                out.truncate(before[0])
                out.seek(0, os.SEEK_END)
        return
    path = _path(storage)
    if path is None or not path.is_file():
        return
    if before is None:
        path.unlink()
    elif path.stat().st_size > before[0]:
        os.truncate(path, before[0])


def _out(storage: StdoutFeedStorage) -> Any:
    return storage.open(None)  # type: ignore[arg-type]  # it asks nothing of a spider


def _number(storage: StdoutFeedStorage) -> int | None:
    """Return the number of the file that standard output is; None: it is no file."""
    with suppress(OSError, ValueError):  # it has no descriptor: closed, or in memory
        status = os.fstat(_out(storage).fileno())
        if stat.S_ISREG(status.st_mode):
            return status.st_ino
    return None


def _make_safe(storage: object) -> None:
    """Have the disk know a file that is complete.

    Raises:
        OSError: If that fails.
    """
    if isinstance(storage, StdoutFeedStorage):
        _out(storage).flush()
        return
    path = _path(storage)
    if path is not None and path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
        make_name_safe(path)
