"""Requests of a project's own classes as they travel to another machine."""

from __future__ import annotations

from typing import Any

import pytest
from scrapy import Request, Spider
from scrapy.http import JsonRequest, XmlRpcRequest

from concurcrawl.errors import NotJsonError
from concurcrawl.nodes.json_codec import JsonCodec


class WaitRequest(Request):
    def __init__(self, *args: Any, wait: Any = 0, **kwargs: Any) -> None:
        self.wait = wait
        super().__init__(*args, **kwargs)


class SlottedRequest(Request):
    """It has no ``__dict__``, and its ``__init__`` takes more than a URL."""

    __slots__ = ("__secret", "script")

    def __init__(self, script: str, *args: Any, **kwargs: Any) -> None:
        self.script = script
        self.__secret = (script, 1)
        super().__init__(*args, **kwargs)

    def secret(self) -> tuple[str, int]:
        return self.__secret


class DeclaredRequest(JsonRequest):
    attributes = (*JsonRequest.attributes, "tries")

    def __init__(
        self, *args: Any, tries: set[int] | None = None, **kwargs: Any
    ) -> None:
        self.tries = tries
        super().__init__(*args, **kwargs)


class RemoteRequest(XmlRpcRequest):
    pass


class OneSpider(Spider):
    name = "one"


def travelled(request: Request) -> Any:
    portable = JsonCodec(OneSpider())
    return portable.read_request(portable.write_request(request))


def test_attributes_of_a_project_travel() -> None:
    found = travelled(WaitRequest("http://a.example/", wait=3, meta={"a": 1}))
    assert type(found) is WaitRequest
    assert (found.wait, found.meta) == (3, {"a": 1})


def test_attributes_in_slots_travel_whatever_init_takes() -> None:
    found = travelled(SlottedRequest("go", "http://a.example/", priority=2))
    assert (found.script, found.secret(), found.priority) == ("go", ("go", 1), 2)


def test_attributes_that_are_declared_travel() -> None:
    request = DeclaredRequest("http://a.example/", data={"a": 1}, tries={1, 2})
    found = travelled(request)
    assert (found.tries, found.method, found.body) == ({1, 2}, "POST", b'{"a": 1}')
    assert found.replace(url="http://b.example/").tries == {1, 2}


def test_a_subclass_of_a_special_request_is_made_as_that_is() -> None:
    request = RemoteRequest("http://a.example/", methodname="ask", params=(1,))
    found = travelled(request)
    assert type(found) is RemoteRequest
    assert (found.method, found.body) == (request.method, request.body)


def test_an_attribute_that_cannot_travel_is_named() -> None:
    with pytest.raises(NotJsonError, match="its attribute wait: it holds a builtins"):
        travelled(WaitRequest("http://a.example/", wait=object()))
