"""``CLOSESPIDER_*`` of a crawl on several machines: counted over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from concurcrawl import registry
from concurcrawl.compat.closespider import PeriodicCloseSpider
from concurcrawl.nodes.storage import NodeStorage
from concurcrawl.workers.supervisor.app import SupervisorApp

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from concurcrawl.frontier.redis.frontier import RedisFrontier

_ITEMS, _PAGES = "closespider/itemcount", "closespider/pagecount"
_ERRORS = "closespider/errorcount"


class NodeCloseSpider(PeriodicCloseSpider):
    """Scrapy's extension, with counts that all nodes share.

    ``CLOSESPIDER_TIMEOUT`` counts from when the node that notices it was started.
    """

    _items_before = 0.0
    _items_seen = 0.0
    _pages_at_item = 0.0

    def error_count(self, failure: Failure, response: Response, spider: Spider) -> None:
        """Count an error."""
        self._count(_ERRORS)

    def page_count(self, response: Response, request: Any, spider: Spider) -> None:
        """Count a page."""
        self._count(_PAGES)

    def item_scraped(self, item: Any, spider: Spider) -> None:
        """Count an item."""
        self._count(_ITEMS)

    def item_scraped_no_item(self, item: Any, spider: Spider) -> None:
        """Count an item, where only their lack matters."""
        if not self.close_on["itemcount"] and not self.close_on["pagecount_no_item"]:
            self._count(_ITEMS)  # else it is counted already

    @override
    def look_for_items(self) -> None:
        self._frontier.counts([_ITEMS], self._on_items)

    @property
    def _storage(self) -> NodeStorage:
        storage = registry.app_of(self.crawler, SupervisorApp).storage
        assert isinstance(storage, NodeStorage)
        return storage

    @property
    def _frontier(self) -> RedisFrontier:
        return self._storage.frontier

    def _count(self, name: str) -> None:
        frontier = self._frontier
        frontier.note_stat("inc", name, 1)
        frontier.counts([_ITEMS, _PAGES, _ERRORS], self._on_counts)

    def _on_counts(self, sums: list[float]) -> None:
        items, pages, errors = sums
        if items > self._items_seen:
            self._items_seen, self._pages_at_item = items, pages
        for name, count in (
            ("itemcount", items),
            ("pagecount", pages),
            ("errorcount", errors),
            ("pagecount_no_item", pages - self._pages_at_item),
        ):
            if self.close_on[name] and count >= self.close_on[name]:
                self._end(f"closespider_{name}")
                return

    def _on_items(self, sums: list[float]) -> None:
        (items,) = sums
        if items == self._items_before:
            self._end("closespider_timeout_no_item")
        self._items_before = items

    def _end(self, reason: str) -> None:
        if self._frontier.ended is None:
            self._storage.finish(reason)
