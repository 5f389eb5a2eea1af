"""Responses, requests and signals as workers report them."""

from __future__ import annotations

import pickle
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydispatch import dispatcher  # type: ignore[import-untyped]
from scrapy import Request
from scrapy.http import HtmlResponse, Response, TextResponse
from scrapy.utils.test import get_crawler
from twisted.internet.ssl import Certificate

from concurcrawl.integrations.receivers import name_signal, receiver_name
from concurcrawl.tools.testsite.certificate import self_signed
from concurcrawl.workers.protocol.messages.results import RequestResult
from concurcrawl.workers.protocol.messages.signals import Event, OwnEvent, Subscribe
from concurcrawl.workers.protocol.pickle_codec import Codec
from concurcrawl.workers.protocol.response_meta import (
    RestoredRequest,
    content_of,
    meta_of,
    response_of,
    state_of,
)
from concurcrawl.workers.worker.reports import Reports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from concurcrawl.workers.worker.crawler import WorkerCrawler

URL = "http://a.example/"
BODY = "<title>Grüße</title>".encode("latin-1")
NAME = "response_received"

mine = object()


class Priced(HtmlResponse):
    """Has an attribute that Scrapy's have not."""

    __slots__ = ("price",)
    price: int


def travelled(response: Response, request: Request | None = None) -> Response:
    """Return *response* as receivers in the supervisor get it."""
    codec = Codec()
    meta = pickle.loads(pickle.dumps(meta_of(response, content_of(response, codec))))
    return response_of(meta, request, codec.decode)


def test_a_response_is_whole() -> None:
    request = Request(URL)
    response = travelled(
        HtmlResponse(
            URL,
            status=404,
            headers={"Server": ["a", "b"]},
            body=BODY,
            encoding="latin-1",
            flags=["cached"],
            certificate=b"DER",
            ip_address=ip_address("127.0.0.1"),
            protocol="h2",
        ),
        request,
    )
    assert type(response) is HtmlResponse
    assert response.css("title::text").get() == "Grüße"
    assert response.request is request
    assert response.certificate == b"DER"
    assert response.headers.getlist("Server") == [b"a", b"b"]
    assert (response.status, response.flags, response.protocol) == (
        404,
        ["cached"],
        "h2",
    )
    assert str(response.ip_address) == "127.0.0.1"


def test_a_certificate_of_twisteds_is_one_again() -> None:
    _, pem = self_signed(["a.example"])
    certificate = Certificate.loadPEM(pem)
    response = travelled(Response(URL, certificate=certificate))
    assert response.certificate == certificate


def test_a_class_of_the_projects_own_keeps_its_attributes() -> None:
    priced, request = Priced(URL, body=BODY, encoding="latin-1"), Request(URL)
    priced.price, priced.request = 7, request
    response = travelled(priced, Request(URL))
    assert isinstance(response, Priced)
    assert response.price == 7
    assert response.body == BODY
    assert priced.request is request


def test_a_class_that_cannot_be_pickled_arrives_as_one_of_its_bases() -> None:
    class Local(TextResponse):
        pass

    response = travelled(Local(URL, body=BODY, encoding="latin-1"))
    assert type(response) is TextResponse
    assert response.text == "<title>Grüße</title>"


def test_the_state_of_a_request_is_restored() -> None:
    codec = Codec()
    theirs = Request(URL, headers={"A": "1"}, meta={"new": [1], "old": 2})
    with socket.socket() as live:
        theirs.meta["live"] = theirs.meta["known"] = live
        state = state_of(theirs, codec)
    ours = Request(URL, meta={"known": "before", "old": 1, "dropped": 1})
    restored = RestoredRequest(ours, codec.decode)
    assert restored.update(state) == [("live", "socket")]
    assert ours.meta == {"known": "before", "new": [1], "old": 2}
    assert ours.headers.getlist("A") == [b"1"]
    ours.meta["receivers"] = "own"
    del theirs.meta["new"]
    restored.update(state_of(theirs.replace(meta={"old": 3}), codec))
    assert ours.meta["receivers"] == "own"
    assert "new" not in ours.meta


class Bench:
    """Reports that fill one result."""

    def __init__(self) -> None:
        self.crawler = get_crawler()
        self.result = RequestResult(1)
        self.leased = Request(URL, meta={"row": 1})
        self.reports = Reports(
            cast("WorkerCrawler", self.crawler),
            Codec(),
            lambda: self.result,
            lambda request: request is self.leased,
        )

    def receive(self, request: Request) -> Event:
        response = HtmlResponse(URL, body=BODY, request=request)
        self.reports.add(NAME, {"request": request, "response": response})
        (event,) = self.result.events
        assert isinstance(event, Event)
        return event


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.reports.start()
    yield bench
    dispatcher.connections.pop(id(bench.crawler), None)


def test_a_signal_without_receivers_is_not_reported(bench: Bench) -> None:
    bench.reports.add(NAME, {"request": bench.leased})
    bench.reports.add_own(mine, {"n": 1})
    assert bench.result.events == []


def test_scrapys_own_receivers_get_metadata_only(bench: Bench) -> None:
    names = frozenset({NAME})
    bench.reports.on_subscribe(Subscribe(signals=names, with_response=names))
    event = bench.receive(bench.leased)
    assert event.state is None
    assert bench.result.responses[0].content is None
    bench.reports.add_page(bench.result, bench.leased, Response(URL, body=BODY))
    assert bench.result.responses[1].content is None
    assert bench.result.page_state is None


def test_a_receiver_of_the_projects_own_gets_all_and_the_body_once(
    bench: Bench,
) -> None:
    names = frozenset({NAME, "item_scraped"})
    bench.reports.on_subscribe(
        Subscribe(names, names, with_content=names, with_request=names)
    )
    body = b"a" * 100_000
    response = HtmlResponse(URL, body=body, encoding="utf-8", request=bench.leased)
    bench.reports.add(NAME, {"request": bench.leased, "response": response})
    bench.reports.add_page(bench.result, bench.leased, response)
    assert [meta.content.body for meta in bench.result.responses if meta.content] == [
        body
    ] * 2
    assert bench.result.page_state is not None
    assert len(pickle.dumps(bench.result)) < 150_000


def test_a_request_that_a_callback_downloads_is_sent_without_live_values(
    bench: Bench,
) -> None:
    names = frozenset({NAME})
    bench.reports.on_subscribe(
        Subscribe(names, names, with_content=names, with_request=names)
    )
    with socket.socket() as live:
        event = bench.receive(Request(f"{URL}inner", meta={"live": live, "row": 2}))
    assert event.request is not None
    assert event.state is not None
    request = Codec().decode(event.request)
    assert request.url == f"{URL}inner"
    assert RestoredRequest(request, Codec().decode).update(event.state) == [
        ("live", "socket")
    ]
    assert request.meta["row"] == 2


def test_a_signal_of_the_projects_own_names_the_receivers_in_the_worker(
    bench: Bench,
) -> None:
    def on_mine() -> None: ...

    bench.crawler.signals.connect(on_mine, mine)
    name = name_signal(mine)
    assert name is not None
    bench.reports.on_subscribe(Subscribe(own=(name,)))
    bench.reports.add_own(mine, {"n": 1})
    (event,) = bench.result.events
    assert isinstance(event, OwnEvent)
    assert Codec().decode(event.about) == {"n": 1}
    assert event.receivers == (receiver_name(on_mine),)


def test_arguments_that_cannot_be_encoded_are_reported_once(bench: Bench) -> None:
    name = name_signal(mine)
    assert name is not None
    bench.reports.on_subscribe(Subscribe(own=(name,)))
    with socket.socket() as live:
        about: dict[str, Any] = {"n": 1, "live": live}
        bench.reports.add_own(mine, about)
        bench.reports.add_own(mine, about)
    (event,) = bench.result.events
    assert isinstance(event, OwnEvent)
    assert event.problem.startswith("live=<socket.socket")


def test_own_signals_are_not_reported_before_the_start() -> None:
    bench = Bench()
    name = name_signal(mine)
    assert name is not None
    bench.reports.on_subscribe(Subscribe(own=(name,)))
    bench.reports.add_own(mine, {})
    assert bench.result.events == []
