"""Middlewares are called as Scrapy calls them, whatever they are and answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, Spider
from scrapy.core.downloader.middleware import DownloaderMiddlewareManager
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from concurcrawl.compat.middlewares import QuickMiddlewares

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "http://localhost/"


class Recorder:
    """Answers what it is told to, at once or later, and notes that it was asked."""

    def __init__(self, name: str, asked: list[str], **answers: Any) -> None:
        self.name = name
        self._asked = asked
        for method, answer in answers.items():
            setattr(self, method, self._answering(method, answer))

    def _answering(self, method: str, answer: Any) -> Callable[..., Any]:
        def at_once(**about: Any) -> Any:
            self._asked.append(f"{self.name}.{method}")
            found = answer(about) if callable(answer) else answer
            if isinstance(found, Exception):
                raise found
            return found

        async def later(**about: Any) -> Any:
            await asyncio.sleep(0)
            return at_once(**about)

        made: Callable[..., Any] = later if self.name.startswith("async") else at_once
        made.__qualname__ = f"{self.name}.{method}"
        return made


def passed(about: dict[str, Any]) -> object:
    return about["response"]


ANSWERS: dict[str, dict[str, Any]] = {
    "nothing": {"process_request": None, "process_response": passed},
    "a response": {"process_request": Response(URL, status=203)},
    "a request": {"process_request": Request(URL + "other")},
    "a wrong thing for a request": {"process_request": "text"},
    "an empty wrong thing for a request": {"process_request": ""},
    "an exception for a request": {"process_request": IgnoreRequest("no")},
    "another response": {"process_response": Response(URL, status=204)},
    "a request for a response": {"process_response": Request(URL + "other")},
    "nothing for a response": {"process_response": None},
    "a wrong thing for a response": {"process_response": 1},
    "an exception for a response": {"process_response": ValueError("no")},
    "a response for an exception": {
        "process_request": ValueError("no"),
        "process_exception": Response(URL, status=205),
    },
    "a wrong thing for an exception": {
        "process_request": ValueError("no"),
        "process_exception": "text",
    },
}


@pytest.mark.parametrize("name", ["plain", "async"])
@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_what_middlewares_answer_means_what_it_means_to_scrapy(
    name: str, answers: dict[str, Any]
) -> None:
    async def outcome(manager_cls: type[DownloaderMiddlewareManager]) -> object:
        asked: list[str] = []
        around = {"process_request": None, "process_response": passed}
        manager = manager_cls(
            Recorder("first", asked, **around),
            Recorder(name, asked, **answers),
            Recorder("last", asked, **around),
            crawler=crawler,
        )
        try:
            found = await manager.download_async(download, Request(URL))
        except Exception as error:  # noqa: BLE001 - whatever it is
            return type(error), asked
        return type(found), found.url, getattr(found, "status", None), asked

    async def download(request: Request) -> Response:
        return Response(request.url, status=202)

    crawler = get_crawler(Spider)
    expected = asyncio.run(outcome(DownloaderMiddlewareManager))
    assert asyncio.run(outcome(QuickMiddlewares)) == expected


def test_a_middleware_of_old_still_gets_the_spider() -> None:
    class Old:
        def process_request(self, request: Request, spider: Spider) -> Response:
            return Response(URL + spider.name)

    async def download(request: Request) -> Response:
        raise AssertionError(request)

    crawler = get_crawler(Spider)
    crawler.spider = Spider("oldtimer")
    with pytest.warns(match="requires a spider argument"):
        manager = QuickMiddlewares(Old(), crawler=crawler)
    found = asyncio.run(manager.download_async(download, Request(URL)))
    assert found.url == URL + "oldtimer"
