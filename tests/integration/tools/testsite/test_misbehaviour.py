"""Faults, pauses, hosts and the log, on real servers as a client sees them."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from concurcrawl.errors import SiteError
from concurcrawl.limits import retry_after
from concurcrawl.tools.testsite.bodies import Bodies
from concurcrawl.tools.testsite.countries import countries
from concurcrawl.tools.testsite.faults import KINDS, Faults
from concurcrawl.tools.testsite.log import RequestLog, from_json_lines
from concurcrawl.tools.testsite.process import SiteProcess
from concurcrawl.tools.testsite.service import Service
from tests.integration.tools.testsite.conftest import (
    SITE,
    Client,
    connected,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PAGES = 40
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
ROBOTS = "User-agent: *\nCrawl-delay: 0.5\n"
SHARES = tuple((kind, 0.1) for kind in KINDS)


@pytest.fixture(scope="module")
def shared_bad_testsite(_own_cache: None) -> Iterator[SiteProcess]:
    with SiteProcess(
        pages=PAGES,
        hosts=HOSTS,
        fault=",".join(f"{kind}:{share}" for kind, share in SHARES),
        fault_times=1,
        retry_after=30,
        robots=ROBOTS,
        log=True,
    ) as testsite:
        yield testsite


@pytest.fixture
def bad_testsite(shared_bad_testsite: SiteProcess) -> SiteProcess:
    """A test site with all faults; nothing was asked of it yet."""
    shared_bad_testsite.reset()
    return shared_bad_testsite


@pytest.fixture
def bad(bad_testsite: SiteProcess) -> Iterator[Client]:
    with connected(bad_testsite.url) as client:
        yield client


def page_that_is(kind: str | None) -> str:
    """Return the first page that meets this fault when it is first asked for."""
    faults = Faults(SHARES, times=1)
    return next(
        c.path
        for c in countries()[:PAGES]
        if faults.next("", f"/wiki/{c.article}") == kind
    )


def assert_well_now(testsite: SiteProcess, path: str) -> None:
    country = next(c for c in countries() if c.path == path)
    with connected(testsite.url) as client:
        answer = client.get(path)
    assert (answer.status, answer.body) == (200, SITE.country_page(country))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_has_its_status_and_asks_for_a_pause(
    bad_testsite: SiteProcess, bad: Client, status: int
) -> None:
    path = page_that_is(str(status))

    answer = bad.get(path)

    assert answer.status == status
    assert answer.headers.get("retry-after") == (None if status == 500 else "30")
    counts = bad_testsite.counts()
    assert counts.faults == {str(status): 1}
    assert counts.statuses == {str(status): 1}
    assert counts.pages == 0
    assert bad.get(path, Accept_Encoding="gzip").status == 200  # on the connection kept
    assert_well_now(bad_testsite, path)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut", ConnectionResetError),
        ("short", http.client.IncompleteRead),
        ("garbage", http.client.BadStatusLine),
    ],
)
def test_a_broken_answer_is_an_error_at_the_client(
    bad_testsite: SiteProcess, bad: Client, kind: str, error: type[Exception]
) -> None:
    path = page_that_is(kind)

    with pytest.raises(error):
        bad.get(path)

    counts = bad_testsite.counts()
    assert counts.faults == {kind: 1}
    assert counts.statuses == ({} if kind == "garbage" else {"200": 1})
    assert (counts.pages, counts.sent_bytes, counts.in_flight) == (0, 0, 0)
    assert_well_now(bad_testsite, path)


@pytest.mark.parametrize("kind", ["cut", "short"])
def test_some_of_a_broken_body_comes(bad: Client, kind: str) -> None:
    bad.send(page_that_is(kind))
    response = bad.http.getresponse()
    size, got = int(response.headers["Content-Length"]), 0
    try:
        while part := response.read1(4096):
            got += len(part)
    except ConnectionResetError:
        assert kind == "cut"

    if kind == "cut":  # a reset discards what is on its way
        assert 0 < got <= size // 2
    else:
        assert got == size - 1000


def test_a_stall_sends_headers_and_ends_with_the_client(
    bad_testsite: SiteProcess, bad: Client
) -> None:
    path = page_that_is("stall")
    bad.send(path)
    bad.http.sock.settimeout(0.3)
    response = bad.http.getresponse()
    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 100_000
    with pytest.raises(TimeoutError):
        response.read(1)
    assert bad_testsite.counts().in_flight == 1

    response.close()
    bad.http.close()

    wait_until(lambda: bad_testsite.counts().in_flight == 0, 5)  # it would take 60 s
    assert bad_testsite.counts().faults == {"stall": 1}
    assert_well_now(bad_testsite, path)


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[int]:
    """Serve in this process, for what takes a process too long; yield the port."""
    http = web.Server(service.handle, handler_cancellation=True)
    server = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0)
    for socket_ in server.sockets:
        # Those that are accepted inherit it.
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_a_stall_ends_by_itself() -> None:
    async def read_all() -> bytes:
        faults = Faults((("stall", 1.0),))
        service = Service(Bodies.in_user_cache(0, 1), faults=faults, stall_s=0.2)
        async with served(service) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /wiki/China HTTP/1.1\r\nHost: a\r\n\r\n")
            try:
                return await asyncio.wait_for(reader.read(), 30)
            finally:
                writer.close()

    head, _, body = asyncio.run(read_all()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


def test_a_little_that_is_not_sent_yet_keeps_a_request_in_flight() -> None:
    log = RequestLog()

    def done() -> bool:
        return from_json_lines(log.to_json_lines())[0].done is not None

    async def ask() -> tuple[bool, bool]:
        robots = "#" * 50_000  # less than asyncio holds back by itself
        service = Service(Bodies.in_user_cache(0, 1), robots=robots, log=log)
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            async with served(service) as port:
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(
                    client, b"GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n"
                )
                await asyncio.sleep(0.1)
                before, got = done(), 0
                while got < len(robots):
                    got += len(await loop.sock_recv(client, 4096))
                await asyncio.sleep(0.1)
                return before, done()

    assert asyncio.run(asyncio.wait_for(ask(), 30)) == (False, True)


def test_a_slow_answer_is_whole(bad_testsite: SiteProcess, bad: Client) -> None:
    path = page_that_is("slow")
    bad.send(path)
    response = bad.http.getresponse()
    started = time.monotonic()
    body = response.read()

    assert time.monotonic() - started >= 0.8
    assert body.endswith(b"</html>\n")
    counts = bad_testsite.counts()
    assert (counts.faults, counts.pages) == ({"slow": 1}, 1)
    assert counts.sent_bytes == len(body)
    assert_well_now(bad_testsite, path)


def test_a_bad_gzip_body_is_no_gzip(bad_testsite: SiteProcess, bad: Client) -> None:
    path = page_that_is("badzip")
    answer = bad.get(path, Accept_Encoding="gzip")

    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
    with pytest.raises(Exception, match="invalid block type"):
        gzip.decompress(answer.body)
    assert bad_testsite.counts().pages == 0
    assert_well_now(bad_testsite, path)


def test_only_a_get_meets_faults(bad_testsite: SiteProcess, bad: Client) -> None:
    path = page_that_is("429")
    for _ in range(3):
        assert bad.head(path).status == 200
    assert bad_testsite.counts().faults == {}
    assert bad.get(path).status == 429


def test_an_answer_that_would_be_not_modified_is_spoilt_too(
    bad_testsite: SiteProcess, bad: Client
) -> None:
    path = page_that_is("short")
    tag = bad.head(path).headers["etag"]

    with pytest.raises(http.client.IncompleteRead):
        bad.get(path, If_None_Match=tag)


def test_faults_are_the_ones_foretold_in_any_order(bad_testsite: SiteProcess) -> None:
    articles = [f"/wiki/{c.article}" for c in countries()[:PAGES]]
    faults = Faults(SHARES, times=1)
    foretold = {article: faults.next("", article) for article in articles}
    by_article = {f"/wiki/{c.article}": c.path for c in countries()[:PAGES]}
    quick = [a for a in articles if foretold[a] in {"429", "500", "503", None}]
    assert len(quick) > 10
    for order in (quick, quick[::-1]):
        bad_testsite.reset()
        with connected(bad_testsite.url) as client:
            for article in order:
                status = client.get(by_article[article], Accept_Encoding="gzip").status
                assert str(status) == (foretold[article] or "200")


def test_who_comes_during_a_pause_is_counted_by_host(
    bad_testsite: SiteProcess, bad: Client
) -> None:
    assert bad.get(page_that_is("503")).headers["retry-after"] == "30"
    time.sleep(0.1)  # more than the grace
    for path in (page_that_is(None), page_that_is("500")):
        bad.get(path, Accept_Encoding="gzip")
    with connected(bad_testsite.url.replace(HOSTS[0], "127.0.0.2")) as other:
        other.get(page_that_is(None), Accept_Encoding="gzip")

    assert bad_testsite.counts().during_pause == {"127.0.0.1": 2, "127.0.0.2": 0}


def test_a_pause_may_be_a_date() -> None:
    with (
        SiteProcess(
            fault="429:1", fault_times=1, retry_after="date:20", pages=3
        ) as testsite,
        connected(testsite.url) as client,
    ):
        now_s = time.time()
        answer = client.get("/wiki/China")
        time.sleep(0.1)  # more than the grace
        assert client.get("/wiki/China", Accept_Encoding="gzip").status == 200
        paused = testsite.counts().during_pause

    assert answer.status == 429
    assert answer.headers["retry-after"].endswith(" GMT")
    wait_s = retry_after.parse(answer.headers["retry-after"].encode(), now_s)
    assert wait_s is not None
    assert 20 <= wait_s <= 23
    assert paused == {"127.0.0.1": 1}


def test_robots_may_be_refused_and_need_not_ask_for_a_pause() -> None:
    with (
        SiteProcess(
            fault="429:1",
            fault_times=1,
            retry_after="none",
            pages=3,
            robots=r"User-agent: *\nDisallow: /wiki/",
        ) as testsite,
        connected(testsite.url) as client,
    ):
        refused = client.get("/robots.txt")
        time.sleep(0.1)
        answer = client.get("/robots.txt")
        paused = testsite.counts().during_pause

    assert (refused.status, answer.status) == (429, 200)
    assert "retry-after" not in refused.headers
    assert paused == {"127.0.0.1": 0}
    assert answer.body == b"User-agent: *\nDisallow: /wiki/\n"


def test_hosts_share_a_port_and_are_counted_apart(bad_testsite: SiteProcess) -> None:
    path = page_that_is("stall")
    with (
        connected(bad_testsite.url) as first,
        connected(bad_testsite.url.replace(HOSTS[0], "127.0.0.2")) as second,
        connected(bad_testsite.url.replace(HOSTS[0], "127.0.0.3")) as third,
    ):
        first.send(path)
        second.send(path)
        wait_until(lambda: bad_testsite.counts().in_flight == 2)
        third.head(path)
        third.head(path)

    counts = bad_testsite.counts()
    assert counts.peak_in_flight == 3
    assert counts.peak_in_flight_by_host == dict.fromkeys(HOSTS, 1)
    assert list(counts.min_gap_s) == ["127.0.0.3"]
    assert counts.faults == {"stall": 2}  # each host's first


def test_the_shortest_gap_is_measured(bad_testsite: SiteProcess, bad: Client) -> None:
    path = page_that_is(None)
    for gap_s in (0.0, 0.3, 0.15):
        time.sleep(gap_s)
        bad.head(path)

    assert 0.14 < bad_testsite.counts().min_gap_s["127.0.0.1"] < 0.29


def test_the_log_tells_each_request(bad_testsite: SiteProcess, bad: Client) -> None:
    before = time.monotonic()
    bad.head("/wiki/China?action=view", User_Agent="Bot/1.0")
    with pytest.raises(http.client.BadStatusLine):
        bad.get(page_that_is("garbage"), User_Agent="Bot/2.0")

    first, second = bad_testsite.log()
    after = time.monotonic()

    assert (first.path, first.group) == ("/wiki/China?action=view", "127.0.0.1")
    assert (first.agent, first.status, first.fault) == ("Bot/1.0", 200, None)
    assert (second.agent, second.status, second.fault) == ("Bot/2.0", None, "garbage")
    assert (first.in_flight_at_arrival, second.in_flight_at_arrival) == (1, 1)
    assert first.done is not None
    assert second.done is not None
    assert before < first.t < first.done < second.t < second.done < after


def test_no_log_is_kept_unless_asked_for(testsite: SiteProcess) -> None:
    with pytest.raises(SiteError, match="404"):
        testsite.log()


def test_robots_says_what_it_was_told(bad: Client) -> None:
    assert bad.head("/robots.txt").headers["content-length"] == str(len(ROBOTS))
