"""How many of the requests that wait are objects, and which comes back."""

from __future__ import annotations

import random

import pytest
from scrapy import Request, Spider
from scrapy.utils.trackref import live_refs

from concurcrawl.local import waiting
from concurcrawl.local.packing import Packer
from concurcrawl.local.waiting import WaitingRequests

URL = "http://a.example/"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> WaitingRequests:
    monkeypatch.setattr(waiting, "_MOST_OBJECTS", 20)
    monkeypatch.setattr(waiting, "_PACKED_TOGETHER", 5)
    return WaitingRequests(Packer(Spider("pages")))


def test_each_comes_back_under_its_number_in_any_order(
    requests: WaitingRequests,
) -> None:
    kept = {}
    for number in range(200):
        request = Request(f"{URL}{number}", meta={"number": number})
        if number % 3 == 0:
            kept[number] = request  # as an extension may have it, too
        requests.add(number, request)
    numbers = [*range(200)]
    random.Random(7).shuffle(numbers)
    for number in numbers:
        request = requests.pop(number)
        assert request.url == f"{URL}{number}"
        assert request.meta["number"] == number
        assert number not in kept or kept[number] is request
    requests.close()


def test_few_of_many_stay_objects(requests: WaitingRequests) -> None:
    before = len(live_refs[Request])
    for number in range(500):
        requests.add(number, Request(f"{URL}{number}"))
    assert len(live_refs[Request]) - before <= 25
    requests.close()


def test_where_few_wait_each_is_the_very_object(requests: WaitingRequests) -> None:
    before = [Request(f"{URL}{number}") for number in range(20)]
    for number, request in enumerate(before):
        requests.add(number, request)
    after = [requests.pop(number) for number in range(20)]
    assert all(one is other for one, other in zip(before, after, strict=True))
    requests.close()
