"""A spider that asks for what it is told and yields what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scrapy.http import Response
    from twisted.python.failure import Failure


class Asks(Spider):
    name = "asks"

    def __init__(self, urls: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.urls = urls.split()

    async def start(self) -> AsyncIterator[Request]:
        for url in self.urls:
            yield Request(
                url,
                self.came,
                errback=self.failed,
                cookies={"given": "by the spider"},
                headers={"Cookie": "written=by-hand"},
                cb_kwargs={"then": True},
            )

    def came(self, response: Response, then: bool = False) -> Iterator[Any]:
        meta = response.meta.get("dont_merge_cookies")
        yield {
            "path": response.url.split("/", 3)[3],
            "text": response.text,
            "own": meta,
        }
        if then:  # a second page, with the cookies of the first
            yield response.follow("/second", self.came)

    def failed(self, failure: Failure) -> Iterator[Any]:
        request: Request = failure.request  # type: ignore[attr-defined]
        yield {
            "path": request.url.split("/", 3)[3],
            "error": type(failure.value).__name__,
        }
