"""The item pipelines of the supervisor."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from itertools import chain, islice, repeat, starmap
from typing import TYPE_CHECKING, Any

from concurcrawl.compat import scraper
from concurcrawl.durable.feeds import item_at_hand
from concurcrawl.errors import UnreadableError
from concurcrawl.workers.moved_pipelines import FailedItem
from concurcrawl.workers.protocol.pickle_codec import read_back
from concurcrawl.workers.protocol.response_meta import response_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from concurcrawl.workers.protocol.messages.signals import ResponseMeta
    from concurcrawl.workers.protocol.pickle_codec import Codec

logger = logging.getLogger(__name__)

#: So many items of one page have tasks at a time.
_TASKS = 500


@dataclass(slots=True)
class Items:
    """The items of a result.

    Attributes:
        items: The items, decoded.
        count: How many they are.
        pages: The response that each came of.
        kept: How the delivery keeps each, if it does.
    """

    items: Iterable[Any]
    count: int
    pages: Iterable[Response | None]
    kept: Iterable[bytes] = ()


class Pipelines:
    """Sends items through the pipelines, several at a time, as Scrapy does.

    Attributes:
        codec: Encodes and decodes items.
        items_at_work: Items that are in the pipelines.
    """

    def __init__(self, crawler: Crawler, codec: Codec) -> None:
        self._crawler = crawler
        self.codec = codec
        self._max_items = crawler.settings.getint("CONCURRENT_ITEMS")
        self.items_at_work = 0

    @property
    def is_full(self) -> bool:
        """Whether as many items as may are in the pipelines."""
        return self.items_at_work >= self._max_items

    async def process(self, items: Items, numbers: Sequence[int] = ()) -> None:
        """Send *items* through the pipelines.

        Args:
            items: The items.
            numbers: Their numbers in the delivery; none if it keeps nothing.
        """
        capacity = asyncio.Semaphore(self._max_items)

        async def process(
            item: Any, number: int | None, response: Response | None
        ) -> None:
            async with capacity:
                item_at_hand.set(number)
                if isinstance(item, FailedItem):
                    scraper.fails_with.set(item.error)
                    item = item.item
                await self._crawler.engine.scraper.start_itemproc_async(
                    item, response=response
                )

        each = chain(numbers, repeat(None))
        numbered = zip(items.items, each, items.pages, strict=False)
        self.items_at_work += items.count
        try:
            # Each in a task of its own, for the sake of its context.
            while some := [*islice(numbered, _TASKS)]:
                await asyncio.gather(*starmap(process, some))
        finally:
            self.items_at_work -= items.count

    async def process_kept(
        self, payload: bytes, meta: ResponseMeta | None, number: int
    ) -> None:
        """Process an item that came of no request that is leased now.

        Args:
            payload: The item, encoded.
            meta: Of the response that it came of, if there was one.
            number: Its number in the delivery.
        """
        response = None if meta is None else response_of(meta, None, self.codec.decode)
        try:
            item = read_back("an item", payload, self.codec)
        except UnreadableError as error:
            origin = response or "start()"
            logger.error("%s: %s", origin, error)  # noqa: TRY400 - its sentence says it all
            self._crawler.stats.inc_value("concurcrawl/not_shippable")
            return
        await self.process(Items([item], 1, [response]), [number])
