"""Which worker has what requests share."""

from __future__ import annotations

from typing import Any

import pytest
from scrapy import Request

from concurcrawl.workers.supervisor.sticky import StickyWorkers, sticky_key


@pytest.mark.parametrize(
    ("meta", "key"),
    [
        ({}, None),
        ({"context": None}, None),
        ({"context": "a"}, ("context", "a")),
        ({"login": 1, "context": "a"}, ("context", "a")),
        ({"login": [1]}, ("login", "[1]")),
    ],
)
def test_the_first_key_that_a_request_has_counts(
    meta: dict[str, Any], key: tuple[str, Any] | None
) -> None:
    request = Request("http://a.example/", meta=meta)
    assert sticky_key(request, ("context", "login")) == key


def test_the_first_worker_stays_the_one(caplog: pytest.LogCaptureFixture) -> None:
    sticky: StickyWorkers[str] = StickyWorkers()
    sticky.bind(("context", "a"), "one")
    sticky.bind(("context", "a"), "two")
    sticky.bind(None, "two")
    assert sticky.find(("context", "a")) == "one"
    assert sticky.find(("context", "b")) is None
    assert sticky.find(None) is None
    assert not caplog.messages


def test_what_is_gone_with_a_worker_is_named(caplog: pytest.LogCaptureFixture) -> None:
    sticky: StickyWorkers[str] = StickyWorkers()
    for name in "abcde":
        sticky.bind(("context", name), "one")
    sticky.bind(("context", "z"), "two")
    sticky.release("one", "worker-1")
    sticky.release("one", "worker-1")
    assert sticky.find(("context", "a")) is None
    assert sticky.find(("context", "z")) == "two"
    (said,) = caplog.messages
    assert said == (
        "With worker-1 is gone what requests with context='a', context='b', "
        "context='c' and 2 more shared there (a login, say). Those that follow go to "
        "another worker, which begins anew."
    )


def test_a_long_wait_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    sticky: StickyWorkers[str] = StickyWorkers()
    for _ in range(2):
        sticky.warn_of_wait(("context", "a"), "worker-1")
    (said,) = caplog.messages
    assert said.startswith("Requests with context='a' wait for worker-1")
