"""What an output of start() is known again by."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import scrapy
from scrapy import Request

from concurcrawl.durable.identity import digest
from tests.support.crawls import DEADLINE_S, environment

URL = "http://a.example/"


class _Item(scrapy.Item):
    name = scrapy.Field()
    other = scrapy.Field()


@dataclass
class _Row:
    name: str


class _Spider(scrapy.Spider):
    name = "spider"

    def parse_more(self, response: Any) -> None: ...

    def parse_other(self, response: Any) -> None: ...


SPIDER = _Spider()


def asked(**kwargs: Any) -> Request:
    return Request(URL, **kwargs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (asked(), asked()),
        (asked(), asked(priority=5, flags=["x"], dont_filter=True)),
        (asked(cb_kwargs={"a": 1, "b": 2}), asked(cb_kwargs={"b": 2, "a": 1})),
        (asked(meta={"a": {"x", "y"}}), asked(meta={"a": {"y", "x"}})),
        (asked(callback=SPIDER.parse_more), asked(callback=_Spider().parse_more)),
        (asked(headers={"A": "1"}), asked(headers={"a": ["1"]})),
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}),
        (_Item(name="x", other=1), _Item(other=1, name="x")),
        (_Row("x"), _Row("x")),
        (asked(callback=lambda _: 1), asked(callback=lambda _: 1)),
    ],
)
def test_the_same_has_the_same_digest(one: Any, other: Any) -> None:
    assert digest(one, b"key") == digest(other, b"key")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (asked(cb_kwargs={"a": 1}), asked(cb_kwargs={"a": "1"})),
        (asked(cb_kwargs={"a": 1}), asked(cb_kwargs={"a": True})),
        (asked(cb_kwargs={"a": ["b", "c"]}), asked(cb_kwargs={"a": ["bc"]})),
        (asked(meta={"page": 1}), asked(meta={"page": 2})),
        (asked(headers={"A": "1"}), asked(headers={"A": "2"})),
        (asked(cookies={"a": "1"}), asked(cookies={"a": "2"})),
        (asked(method="POST", body=b"1"), asked(method="POST", body=b"2")),
        (asked(callback=SPIDER.parse_more), asked(callback=SPIDER.parse_other)),
        (asked(callback=SPIDER.parse_more), asked(errback=SPIDER.parse_more)),
        (
            asked(callback=partial(SPIDER.parse_more, 1)),
            asked(callback=partial(SPIDER.parse_more, 2)),
        ),
        (asked(callback=lambda _: 1), asked(callback=lambda _: 2)),
        (asked(), scrapy.FormRequest(URL)),
        ({"name": "x"}, _Item(name="x")),
        (_Row("x"), _Row("y")),
    ],
)
def test_what_would_be_handled_otherwise_has_another(one: Any, other: Any) -> None:
    assert digest(one, b"key") != digest(other, b"key")


def test_a_fingerprint_tells_requests_apart() -> None:
    assert digest(asked(), b"one") != digest(asked(), b"other")


def test_what_cannot_be_compared_is_never_the_same() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for thing in (endless, (one for one in "ab")):
        request = asked(meta={"a": thing})
        assert digest(request) != digest(request)


def test_it_is_the_same_in_another_process() -> None:
    code = (
        "from concurcrawl.durable.identity import digest; from scrapy import Request\n"
        f"request = Request({URL!r}, meta={{'a': {{'x', 'y', 'z'}}}})\n"
        "print(digest(request, b'key').hex())"
    )
    command = [sys.executable, "-c", code]
    found = {
        subprocess.run(
            command,
            env={**environment(), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_S,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
