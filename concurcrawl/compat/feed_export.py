"""Scrapy's feed exporter, and the files that it writes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from scrapy.extensions.feedexport import (
    FeedExporter,
    FeedSlot,
    ItemFilter,
    apply_uri_params,
)
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.misc import load_object

from concurcrawl.compat import components
from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: Items that are exported again before others have a turn.
_TURN = 50


class Watcher(Protocol):
    """Told what a feed exporter does; decides where it goes on.

    Attributes:
        wants_items: Whether it is to be told of each item, which costs 4 us each.
    """

    wants_items: bool

    def begin(self, feed: str, batch: int, uri: str) -> tuple[int, str]:
        """Return number and address of the file that *feed* begins."""

    def opened(self, slot: FeedSlot) -> None:
        """Note that a file was begun, to which nothing was written yet."""

    def exported(self, item: Any, slots: list[FeedSlot], again: int | None) -> None:
        """Note that *item* went into the files of *slots*.

        Args:
            item: The item.
            slots: At least one.
            again: Its number, if it came of :meth:`kept`.
        """

    def failed(self, error: OSError) -> None:
        """Note that an item could not be written."""

    def kept(self, feed: str) -> Iterator[tuple[int, Any]]:
        """Yield number and item of what *feed* must have again."""

    def stored(self, slot: FeedSlot) -> None:
        """Note that a file is complete and where it belongs."""

    def closing(self) -> None:
        """Note that no item comes any more."""

    def closed(self, reason: str) -> None:
        """Note that all feeds are closed."""


_watchers: WeakKeyDictionary[Crawler, Watcher] = WeakKeyDictionary()


def watch(crawler: Crawler, watcher: Watcher) -> None:
    """Notify *watcher* of what the feed exporters of *crawler* do."""
    _watchers[crawler] = watcher


@touches(
    "scrapy.extensions.feedexport",
    *("FeedExporter._start_new_batch", "FeedExporter._close_slot"),
    *("FeedSlot.itemcount", "FeedSlot.filter", "FeedSlot.uri_template"),
    *("FeedSlot.storage", "FeedSlot.file", "FeedSlot.batch_id", "FeedSlot.uri"),
)
class WatchedFeedExporter(FeedExporter):
    """A feed exporter that tells its crawl's watcher, if there is one, what it does.

    Touches: overrides ``FeedExporter._start_new_batch()``, which makes the slot of each
    file, and ``._close_slot()``, which finishes a file and awaits ``storage.store()``;
    reads ``.slots`` and attributes of ``FeedSlot`` (Scrapy 2.19.0). If one moves, a
    resumed crawl gives a feed a new address, or feeds count as never stored and their
    items stay in the ``JOBDIR``. Wished for: a signal for either method, and a way to
    begin a feed at a given batch.
    """

    _is_closing = False
    _again: int | None = None
    _watcher: Watcher | None = None

    async def open_spider(self, spider: Spider) -> None:  # type: ignore[override]  # a signal's receiver may be either
        """Open the feeds and fill them with the items that an earlier life has left."""
        self._watcher = watcher = _watchers.get(self.crawler)
        opened: Any = super().open_spider(spider)
        if opened is not None:
            await opened
        if watcher is not None:
            for feed in [slot.uri_template for slot in self.slots]:
                await self._export_again(feed, watcher, spider)

    async def _export_again(self, feed: str, watcher: Watcher, spider: Spider) -> None:
        for count, (number, item) in enumerate(watcher.kept(feed), 1):
            self._again = number
            self._export_to(feed, item, spider)
            self._again = None
            if count % _TURN == 0:
                await asyncio.sleep(0)
                if self._is_closing:  # told to stop; the rest is exported next time
                    return

    def _export_to(self, feed: str, item: Any, spider: Spider) -> None:
        """Export an item to one feed, whose filter has accepted it before."""
        slots = self.slots
        (place,) = [n for n, slot in enumerate(slots) if slot.uri_template == feed]
        slot = slots[place]
        slot.filter, own = _Accepting(slot.filter), slot.filter
        self.slots = [slot]
        try:
            self.item_scraped(item, spider)
        except Exception:  # an exporter runs any code; Scrapy logs its errors, too
            logger.exception("An item could not be exported again to %s", feed)
        finally:
            slot.filter = own
            self.slots = [*slots[:place], *self.slots, *slots[place + 1 :]]

    def item_scraped(self, item: Any, spider: Spider) -> None:
        """Export an item."""
        watcher = self._watcher
        if watcher is None or not watcher.wants_items:
            super().item_scraped(item, spider)
            return
        counts = [(slot, slot.itemcount) for slot in self.slots]
        try:
            super().item_scraped(item, spider)
        except OSError as error:
            watcher.failed(error)
            raise
        finally:
            takers = [slot for slot, count in counts if slot.itemcount > count]
            if takers:
                watcher.exported(item, takers, self._again)

    def _start_new_batch(
        self,
        batch_id: int,
        uri: str,
        feed_options: dict[str, Any],
        spider: Spider,
        uri_template: str,
    ) -> FeedSlot:
        watcher = _watchers.get(self.crawler)
        if watcher is not None:
            batch_id, uri = watcher.begin(uri_template, batch_id, uri)
        slot = super()._start_new_batch(
            batch_id=batch_id,
            uri=uri,
            feed_options=feed_options,
            spider=spider,
            uri_template=uri_template,
        )
        if watcher is not None:
            watcher.opened(slot)
        return slot

    async def _close_slot(self, slot: FeedSlot, spider: Spider) -> None:
        watcher = _watchers.get(self.crawler)
        store = slot.storage.store

        async def store_and_report(file: Any) -> None:
            await ensure_awaitable(store(file))
            if watcher is not None:
                watcher.stored(slot)

        if watcher is not None:
            # Its errors are caught in there. Statistics name the class of the storage,
            # so it must stay what it is.
            slot.storage.store = store_and_report  # type: ignore[method-assign,assignment]
        await super()._close_slot(slot, spider)

    async def close_spider(self, spider: Spider, reason: str = "") -> None:
        """Finish the feeds."""
        self._is_closing = True
        watcher = _watchers.get(self.crawler)
        if watcher is not None:
            watcher.closing()
        await super().close_spider(spider)
        if watcher is not None:
            watcher.closed(reason)


class _Accepting(ItemFilter):
    """Accepts every item; the feed's own filter hears of it, for what it counts."""

    def __init__(self, own: ItemFilter) -> None:
        super().__init__(None)
        self._own = own

    def accepts(self, item: Any) -> bool:
        self._own.accepts(item)
        return True


@touches("scrapy.extensions.feedexport", "FeedExporter._get_uri_params")
@touches("scrapy.extensions.feedexport", "apply_uri_params")
def first_address(spider: Spider | None, template: str, uri_params: Any) -> str:
    """Return the address of a feed's first file.

    Touches: ``FeedExporter._get_uri_params()`` and ``apply_uri_params()`` (Scrapy
    2.19.0). If one moves, two crawls that write one feed are not kept apart. Wished
    for: a function of the feed's options.
    """
    asker = FeedExporter.__new__(FeedExporter)  # it asks nothing of itself
    try:
        params = asker._get_uri_params(spider, uri_params)  # type: ignore[arg-type]
        return apply_uri_params(template, params)
    except (AttributeError, KeyError, TypeError, ValueError):
        return template  # Scrapy will report the error


def enable(settings: BaseSettings, rank: str) -> None:
    """Put watched feed exporters in the place of Scrapy's and of the project's own."""
    changes: dict[Any, Any] = {}
    for key, place in settings.getwithbase("EXTENSIONS").items():
        cls = _loaded(key) if place is not None else None
        if cls is not None and not issubclass(cls, WatchedFeedExporter):
            changes |= {key: None, _watched(cls): place}
    components.add(settings, "EXTENSIONS", changes, rank)
    if settings.getdict("FEEDS") and not changes:
        logger.warning(
            "FEEDS: no extension derives from Scrapy's FeedExporter, so what writes "
            "them is not known, nor whether a crawl that resumes does so once"
        )


def _watched(cls: type[FeedExporter]) -> type[FeedExporter]:
    if cls is FeedExporter:
        return WatchedFeedExporter
    return type(
        cls.__name__, (WatchedFeedExporter, cls), {"__module__": cls.__module__}
    )


def _loaded(key: Any) -> type[FeedExporter] | None:
    # Scrapy itself reports one that cannot be imported.
    with suppress(ImportError, NameError, ValueError):
        cls = load_object(key)
        if isinstance(cls, type) and issubclass(cls, FeedExporter):
            return cls
    return None
