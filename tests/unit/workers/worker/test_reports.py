"""What workers report of responses and requests, and what is made of it."""

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
    head = pickle.loads(pickle.dumps(meta_of(response, content_of(response, codec))))
    return response_of(head, request, codec.decode)


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


def test_a_class_that_cannot_travel_arrives_as_one_of_its_bases() -> None:
    class Local(TextResponse):
        pass

    response = travelled(Local(URL, body=BODY, encoding="latin-1"))
    assert type(response) is TextResponse
    assert response.text == "<title>Grüße</title>"


def test_what_a_worker_makes_of_a_request_is_restored() -> None:
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


class Desk:
    """What reports are made on."""

    def __init__(self) -> None:
        self.crawler = get_crawler()
        self.outcome = RequestResult(1)
        self.leased = Request(URL, meta={"row": 1})
        self.reports = Reports(
            cast("WorkerCrawler", self.crawler),
            Codec(),
            lambda: self.outcome,
            lambda request: request is self.leased,
        )
        self.reports.is_open = True

    def receive(self, request: Request) -> Event:
        response = HtmlResponse(URL, body=BODY, request=request)
        self.reports.add(NAME, {"request": request, "response": response})
        (event,) = self.outcome.events
        assert isinstance(event, Event)
        return event


@pytest.fixture
def channel() -> Iterator[Desk]:
    channel = Desk()
    yield channel
    dispatcher.connections.pop(id(channel.crawler), None)


def test_of_what_nothing_hears_nothing_is_reported(channel: Desk) -> None:
    channel.reports.add(NAME, {"request": channel.leased})
    channel.reports.add_own(mine, {"n": 1})
    assert channel.outcome.events == []


def test_for_scrapys_own_receivers_there_is_the_head(channel: Desk) -> None:
    names = frozenset({NAME})
    channel.reports.listen(Subscribe(signals=names, with_response=names))
    event = channel.receive(channel.leased)
    assert event.state is None
    assert channel.outcome.responses[0].content is None
    channel.reports.add_page(channel.outcome, channel.leased, Response(URL, body=BODY))
    assert channel.outcome.responses[1].content is None
    assert channel.outcome.page_state is None


def test_for_a_receiver_of_the_projects_own_there_is_all_and_the_body_once(
    channel: Desk,
) -> None:
    names = frozenset({NAME, "item_scraped"})
    channel.reports.listen(
        Subscribe(names, names, with_content=names, with_request=names)
    )
    body = b"a" * 100_000
    response = HtmlResponse(URL, body=body, encoding="utf-8", request=channel.leased)
    channel.reports.add(NAME, {"request": channel.leased, "response": response})
    channel.reports.add_page(channel.outcome, channel.leased, response)
    assert [
        head.content.body for head in channel.outcome.responses if head.content
    ] == [body] * 2
    assert channel.outcome.page_state is not None
    assert len(pickle.dumps(channel.outcome)) < 150_000


def test_a_request_that_a_callback_downloads_travels_without_what_cannot(
    channel: Desk,
) -> None:
    names = frozenset({NAME})
    channel.reports.listen(
        Subscribe(names, names, with_content=names, with_request=names)
    )
    with socket.socket() as live:
        event = channel.receive(Request(f"{URL}inner", meta={"live": live, "row": 2}))
    assert event.request is not None
    assert event.state is not None
    request = Codec().decode(event.request)
    assert request.url == f"{URL}inner"
    assert RestoredRequest(request, Codec().decode).update(event.state) == [
        ("live", "socket")
    ]
    assert request.meta["row"] == 2


def test_a_signal_of_the_projects_own_says_who_has_heard_it(channel: Desk) -> None:
    def on_mine() -> None: ...

    channel.crawler.signals.connect(on_mine, mine)
    name = name_signal(mine)
    assert name is not None
    channel.reports.listen(Subscribe(own=(name,)))
    channel.reports.add_own(mine, {"n": 1})
    (event,) = channel.outcome.events
    assert isinstance(event, OwnEvent)
    assert Codec().decode(event.about) == {"n": 1}
    assert event.receivers == (receiver_name(on_mine),)


def test_what_a_signal_cannot_carry_is_reported_once(channel: Desk) -> None:
    name = name_signal(mine)
    assert name is not None
    channel.reports.listen(Subscribe(own=(name,)))
    with socket.socket() as live:
        about: dict[str, Any] = {"n": 1, "live": live}
        channel.reports.add_own(mine, about)
        channel.reports.add_own(mine, about)
    (event,) = channel.outcome.events
    assert isinstance(event, OwnEvent)
    assert event.problem.startswith("live=<socket.socket")


def test_what_is_sent_while_the_spider_opens_the_supervisor_has_sent(
    channel: Desk,
) -> None:
    name = name_signal(mine)
    assert name is not None
    channel.reports.listen(Subscribe(own=(name,)))
    channel.reports.is_open = False
    channel.reports.add_own(mine, {})
    assert channel.outcome.events == []
