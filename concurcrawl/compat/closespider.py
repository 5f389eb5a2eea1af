"""Scrapy's extension that closes a spider by what it has done."""

from __future__ import annotations

from abc import abstractmethod

from scrapy.extensions.closespider import CloseSpider
from typing_extensions import override

from concurcrawl.compat.parts import touches


@touches("scrapy.extensions.closespider", "CloseSpider._count_items_produced")
class PeriodicCloseSpider(CloseSpider):
    """The extension, whose subclass looks for new items.

    Touches: overrides ``CloseSpider._count_items_produced()`` (Scrapy 2.19.0), which is
    called every ``CLOSESPIDER_TIMEOUT_NO_ITEM`` seconds. If it moves, a node closes the
    crawl although others have items. Wished for: a public name.
    """

    @abstractmethod
    def look_for_items(self) -> None:
        """Close the spider if there was no item since the last call."""

    @override
    def _count_items_produced(self) -> None:
        self.look_for_items()
