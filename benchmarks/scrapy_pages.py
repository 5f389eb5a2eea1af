"""The spider: what plain Scrapy and our five modes run, the very same file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from scrapy import Request, Spider

from benchmarks.common import facts, links, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from scrapy.http import Response


class PagesSpider(Spider):
    """Get all pages.

    Args:
        list_url: The list page.
        out: Folder of the pages.
        work: ``save`` or ``parse``.
        share: ``0/2`` takes the first of every two links, for a crawl split by hand.
        waiting: So many requests that nobody needs wait behind the others.
        batch: So many of them are asked for by one page.
    """

    name = "pages"

    def __init__(
        self,
        list_url: str = "",
        out: str = "",
        work: str = "save",
        share: str = "0/1",
        waiting: str = "0",
        batch: str = "1000",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.list_url = list_url
        self.out = Path(out)
        self.work = work
        first, step = share.split("/")
        self.share = slice(int(first), None, int(step))
        self.waiting = int(waiting)
        self.batch = int(batch)

    async def start(self) -> AsyncIterator[Any]:
        """Ask for the list page, once those are there that are to wait."""
        yield self._next_batch(0)

    def parse(self, response: Response) -> Iterator[Any]:
        """Ask for the pages."""
        for url in links(response.body, response.url)[self.share]:
            yield Request(url, self.parse_page)

    def parse_page(self, response: Response) -> Iterator[Any]:
        """Do the work on one page."""
        url = response.request.url if response.request else response.url
        if self.work == "save":
            (self.out / name_of(url)).write_bytes(response.body)
        else:
            yield facts(url, response.body)

    def parse_batch(self, response: Response) -> Iterator[Request]:
        """Have a batch of requests wait behind all others."""
        first = int(response.url.rpartition("/")[2])
        after = min(first + self.batch, self.waiting)
        for number in range(first, after):
            yield self._idle(number, self.parse_idle, -10)
        yield self._next_batch(after)

    def _next_batch(self, first: int) -> Request:
        """Return what comes when *first* of the requests that are to wait are there."""
        if first < self.waiting:
            return self._idle(first, self.parse_batch, 0)
        return Request(self.list_url, self.parse, dont_filter=True)

    def _idle(
        self, number: int, callback: Callable[[Response], Any], priority: int
    ) -> Request:
        url = urljoin(self.list_url, f"/idle/{number:07}")
        return Request(url, callback, priority=priority, dont_filter=True)

    def parse_idle(self, response: Response) -> None:
        """Do nothing: it got away before the others were there."""
