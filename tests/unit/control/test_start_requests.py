from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scrapy import FormRequest, Request, Spider

from concurcrawl.control.start_key import described
from concurcrawl.control.start_requests import start_request
from concurcrawl.errors import ControlError

URL = "http://a.example/1"


class Plain(Spider):
    name = "plain"

    def parse_other(self, response: Any) -> None:
        pass


class Making(Plain):
    async def start_request_for(self, url: str) -> Any:
        if url.endswith("none"):
            return None
        if url.endswith("raise"):
            raise ValueError("odd")
        return Request(url, self.parse_other, meta={"by": "spider", "kept": 1})


def made(spider: Spider, wanted: Any) -> Request:
    return asyncio.run(start_request(spider, wanted))


def test_a_url_is_requested_for_parse_as_a_start_request() -> None:
    request = made(Plain(), f" {URL} ")
    assert (request.url, request.callback, request.dont_filter) == (URL, None, False)
    assert request.meta == {"is_start_request": True}


def test_the_spiders_own_method_makes_the_request() -> None:
    spider = Making()
    request = made(spider, {"url": URL, "meta": {"by": "us"}, "priority": 7})
    assert request.callback == spider.parse_other
    assert request.meta == {"by": "us", "kept": 1, "is_start_request": True}
    assert request.priority == 7


def test_a_description_may_name_a_method_and_a_form() -> None:
    spider = Plain()
    request = made(
        spider, {"url": URL, "callback": "parse_other", "formdata": {"q": "x y"}}
    )
    assert isinstance(request, FormRequest)
    assert (request.method, request.body) == ("POST", b"q=x+y")
    assert request.callback == spider.parse_other


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("ftp://a.example/", "'ftp://a.example/' is no http or https URL"),
        ("http://[half/", "'http://[half/' is no http or https URL"),
        ("http:///path", "'http:///path' is no http or https URL"),
        (7, "7 is neither a URL nor an object with url"),
        ({"meta": {}}, "{'meta': {}} is neither a URL nor an object with url"),
        ({"url": URL, "priority": True}, "priority of a request must be a whole"),
        ({"url": URL, "errback": "parse"}, "a request has no 'errback'; it may have"),
        ({"url": URL, "callback": "name"}, "the spider has no method 'name'"),
        ({"url": URL, "callback": "__init__"}, "the spider has no method '__init__'"),
        (f"{URL}/none", "start_request_for('http://a.example/1/none') returned None"),
        (f"{URL}/raise", "raised ValueError: odd"),
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(wanted: Any, why: str) -> None:
    with pytest.raises(ControlError) as caught:
        made(Making(), wanted)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (b"http://a/", {"url": "http://a/"}),
        (b'{"url": "http://a/"}', {"url": "http://a/"}),
        (
            b'{"url": "http://a/", "meta": {"n": 1}, "method": "post", "q": 2}',
            {"url": "http://a/", "n": 1, "method": "POST", "formdata": {"q": "2"}},
        ),
        ({"url": "http://a/", "meta": '{"n": 1}'}, {"url": "http://a/", "n": 1}),
        ({"data": '{"url": "http://a/"}'}, {"url": "http://a/"}),
        ({"data": "http://a/"}, {"url": "http://a/"}),
    ],
)
def test_an_entry_of_scrapy_redis_is_understood(
    entry: Any, expected: dict[str, Any]
) -> None:
    found = described(entry)
    assert found.pop("meta") == {"allow_offsite": True} | (
        {"n": expected.pop("n")} if "n" in expected else {}
    )
    assert found == expected


@pytest.mark.parametrize(
    "entry",
    [b'{"url"', b'{"meta": {}}', b'{"url": "http://a/", "meta": 3}', {"a": "b"}],
)
def test_an_entry_that_is_no_request_is_refused(entry: Any) -> None:
    with pytest.raises(ControlError):
        described(entry)
