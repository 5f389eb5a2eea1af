"""The spider: what plain Scrapy and our five modes run, the very same file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize
from urllib.parse import urljoin

from scrapy import Request, Spider
from scrapy.pipelines.files import FilesPipeline

from benchmarks.common import facts, links, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from scrapy.http import Response


#: Requests that are to wait are asked for by so many on a page.
BATCH = 1000

#: Items of a page, where there are many.
ITEMS = 200


class PageFilesPipeline(FilesPipeline):
    """Saves files under the names of pages."""

    def file_path(self, request: Request, *_: Any, **__: Any) -> str:
        """Return the name of the file of *request*."""
        return name_of(request.url)


class Clean:
    """Tidies an item and gives it a key, as a pipeline that validates does."""

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the item with all texts in one form, and its key."""
        tidy = {
            name: " ".join(normalize("NFKC", value).split())
            if isinstance(value, str)
            else value
            for name, value in item.items()
        }
        known = json.dumps(tidy, sort_keys=True).encode()
        return {**tidy, "key": hashlib.blake2b(known).hexdigest()}


class PagesSpider(Spider):
    """Get all pages.

    Args:
        list_url: The list page.
        out: Folder of the pages.
        work: ``save``, ``item`` (the same, and an item tells of each), ``items`` (200
            of each page), ``cleaned`` (so many, by a pipeline), ``files`` (a pipeline
            saves the pages) or ``parse``.
        share: ``0/2`` takes the first of every two links, for a crawl split by hand.
        waiting: So many requests that are not needed wait behind the others.
        hosts: So many addresses from 127.1.0.0 on take turns; 0 for the list page's.
    """

    name = "pages"

    def __init__(
        self,
        list_url: str = "",
        out: str = "",
        work: str = "save",
        share: str = "0/1",
        waiting: str = "0",
        hosts: str = "0",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.list_url = list_url
        self.out = Path(out)
        self.work = work
        first, step = share.split("/")
        self.share = slice(int(first), None, int(step))
        self.waiting = int(waiting)
        self.hosts = int(hosts)

    async def start(self) -> AsyncIterator[Any]:
        """Ask for the list page, once those are there that are to wait."""
        for first in range(0, self.waiting, BATCH):
            # Not from here: what starts a crawl is asked for as there is room.
            yield self._idle(first, self.parse_batch, 10)
        yield Request(self.list_url, self.parse, dont_filter=True)

    def parse(self, response: Response) -> Iterator[Any]:
        """Ask for the pages."""
        urls = links(response.body, response.url)[self.share]
        if self.work == "files":
            yield from (self._with_file(response.url, url) for url in urls)
            return
        for number, url in enumerate(urls):
            yield Request(self._at_host(url, number), self.parse_page)

    def _at_host(self, url: str, number: int) -> str:
        if not self.hosts:
            return url
        high, low = divmod(number % self.hosts, 256)
        return url.replace("//127.0.0.1:", f"//127.1.{high}.{low}:", 1)

    def _with_file(self, list_url: str, url: str) -> Request:
        """Return the request for the page that names the file at *url*."""
        name = name_of(url)
        return Request(f"{list_url}?{name}", self.parse_item, cb_kwargs={"url": url})

    def parse_item(self, response: Response, url: str) -> dict[str, Any]:
        """Return an item with one file."""
        return {"file_urls": [url]}

    def parse_page(self, response: Response) -> Iterator[Any]:
        """Do the work on one page."""
        url = response.request.url if response.request else response.url
        if self.work == "parse":
            yield facts(url, response.body)
            return
        if self.work in ("items", "cleaned"):
            yield from things(url, response.body)
            return
        (self.out / name_of(url)).write_bytes(response.body)
        if self.work == "item":
            yield {"file": name_of(url)}

    def parse_batch(self, response: Response) -> Iterator[Request]:
        """Have a batch of requests wait behind all others."""
        first = int(response.url.rpartition("/")[2])
        for number in range(first, min(first + BATCH, self.waiting)):
            yield self._idle(number, self.parse_idle, -10)

    def _idle(
        self, number: int, callback: Callable[[Response], Any], priority: int
    ) -> Request:
        url = urljoin(self.list_url, f"/idle/{number:07}")
        return Request(url, callback, priority=priority, dont_filter=True)

    def parse_idle(self, response: Response) -> None:
        """Do nothing: it got away before the others were there."""


def things(url: str, body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the items of a page that lists many."""
    digest = hashlib.sha256(body).hexdigest()
    for number in range(ITEMS):
        yield {
            "file": name_of(url),
            "sha256": digest,
            "number": number,
            "title": f"Thing {number}",
            "price": number * 1.5,
            "tags": ["one", "other"],
        }
