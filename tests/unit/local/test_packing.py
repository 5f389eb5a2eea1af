"""Which requests are kept as bytes, and that they come back as they were."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, ref

import pytest
from scrapy import FormRequest, Request, Spider
from scrapy.http import Headers, JsonRequest
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.request import fingerprint

from concurcrawl.local.packing import Packer

URL = "http://a.example/"


class PagesSpider(Spider):
    name = "pages"

    def failed(self, failure: Any) -> None: ...


class TaggedRequest(Request):
    """Has an attribute of its own, and arguments of its own."""

    def __init__(self, tag: str) -> None:
        super().__init__(URL + tag)
        self.tag = {"of": [tag]}


class Impatient(Request):
    def __del__(self) -> None: ...


SPIDER = PagesSpider()


def packed(*requests: Request) -> list[bytes | None]:
    """Return what is packed of requests that the caller still may have."""
    waiting = dict(enumerate(requests))
    del requests
    packer = Packer(SPIDER)
    return [packer.pack(waiting, name) for name in waiting]


def round_trip(waiting: list[Request]) -> tuple[dict[str, Any], Request]:
    """Return the attributes of a request, and what comes back of it."""
    requests = {0: waiting.pop()}
    packer = Packer(SPIDER)
    done = packer.pack(requests, 0)
    assert done is not None
    return attributes(requests[0]), packer.unpack(done)


def attributes(request: Request) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.attributes}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Request(URL),
        lambda: Request(
            URL + "ü?a=b",
            SPIDER.parse,
            "POST",
            {"X-One": ["1", "2"], "Accept": b"*"},
            "böd",
            {"session": "1"},
            {"depth": 3, "item": {"tags": ["a", ("b", None)], "price": 1.5}},
            "latin-1",
            -7,
            True,
            SPIDER.failed,
            ["cached"],
            {"page": 2, "rest": b"\0"},
        ),
        lambda: Request(URL, NO_CALLBACK),
        lambda: Request(URL, cookies=[{"name": "a", "value": "b"}]),
        lambda: FormRequest(URL, formdata={"q": "1"}),
    ],
)
def test_a_request_comes_back_with_all_its_attributes(make: Any) -> None:
    before, after = round_trip([make()])
    assert attributes(after) == before
    assert type(after) is type(make())
    assert isinstance(after.headers, Headers)
    assert after.headers.encoding == make().headers.encoding
    assert after.headers.getlist("X-One") == make().headers.getlist("X-One")
    assert fingerprint(after) == fingerprint(make())
    assert after.replace(url=URL).meta == before["meta"]


def test_subclasses_come_back_as_they_were() -> None:
    _, tagged = round_trip([TaggedRequest("x")])
    assert isinstance(tagged, TaggedRequest)
    assert tagged.tag == {"of": ["x"]}
    _, with_json = round_trip([JsonRequest(URL, data={"a": [1]})])
    assert isinstance(with_json, JsonRequest)
    assert with_json.dumps_kwargs == JsonRequest(URL).dumps_kwargs
    assert with_json.body == b'{"a": [1]}'


@pytest.mark.parametrize(
    "make",
    [
        lambda: Request(URL, print),
        lambda: Request(URL, Spider("other").parse),
        lambda: Request(URL, errback=print),
        lambda: Request(URL, meta={"live": object()}),
        lambda: Request(URL, meta={"deep": [{"live": {1}}]}),
        lambda: Request(URL, cb_kwargs={"key": {SPIDER: 1}}),
        lambda: Request(URL, meta={"number": True, "text": type("Text", (str,), {})()}),
        lambda: Impatient(URL),
    ],
)
def test_what_a_copy_could_be_told_from_stays_an_object(make: Any) -> None:
    assert packed(make()) == [None]


def test_a_request_that_something_refers_to_stays_an_object() -> None:
    known = Request(URL)
    watched, timed = Request(URL), Request(URL)
    watch, times = ref(watched), WeakKeyDictionary({timed: 1.0})
    waiting = {1: watched, 2: timed}
    del watched, timed
    packer = Packer(SPIDER)
    assert packed(known) == [None]
    assert [packer.pack(waiting, name) for name in waiting] == [None, None]
    assert watch() is waiting[1]
    assert times[waiting[2]] == 1.0
    waiting[3] = Request(URL)
    fingerprint(waiting[3])  # is remembered by a weak reference, too
    assert packer.pack(waiting, 3) is not None


def test_values_that_requests_share_stay_shared() -> None:
    shared: list[int] = []
    of_both = {"seen": shared}
    requests = [
        Request(URL, meta=of_both),
        Request(URL, cb_kwargs={"deep": {"list": shared}}),
        Request(URL, meta={"a": [1]}),
    ]
    inside = requests[2].meta
    waiting = dict(enumerate(requests))
    requests.clear()
    packer = Packer(SPIDER)
    assert [packer.pack(waiting, name) for name in waiting] == [None] * 3
    inside["b"] = 2
    del inside
    assert packer.pack(waiting, 2) is not None
