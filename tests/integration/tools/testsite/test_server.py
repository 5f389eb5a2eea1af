from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import brotli  # type: ignore[import-untyped]  # it brings no types
import pytest

from concurcrawl.tools.testsite.countries import countries
from concurcrawl.tools.testsite.process import SiteProcess
from concurcrawl.tools.testsite.server import main
from concurcrawl.tools.testsite.site import LIST_PATH
from tests.integration.tools.testsite.conftest import SITE, Client, connected

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "concurcrawl.tools.testsite.server"]


def test_every_page_is_served_as_it_was_made(client: Client) -> None:
    assert client.get(quote(LIST_PATH)).body == SITE.list_page()
    for country in countries()[::20]:
        answer = client.get(country.path)
        assert answer.status == 200
        assert answer.body == SITE.country_page(country)


def test_every_country_resolves(client: Client) -> None:
    for country in countries():
        assert client.head(country.path, Accept_Encoding="gzip").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/wiki/Georgia_(country)",
        "/wiki/Georgia_%28country%29",
        "/wiki/%47eorgia_%28country)",
        "/wiki/C%C3%B4te_d%27Ivoire",
        "/wiki/C%c3%b4te_d'Ivoire",
        "/wiki/Saint_Helena,_Ascension_and_Tristan_da_Cunha",
        "/wiki/Saint_Helena%2C_Ascension_and_Tristan_da_Cunha",
        "/wiki/Peru?action=view",
        "/wiki/List_of_countries_by_population_%28United_Nations%29",
    ],
)
def test_a_name_may_be_escaped_in_any_way(client: Client, path: str) -> None:
    assert client.get(path, Accept_Encoding="gzip").status == 200


@pytest.mark.parametrize("path", ["/", "/wiki/World", "/wiki/", "/wiki/peru", "/%ff"])
def test_anything_else_is_not_found(client: Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status == 404
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
    assert b"Not found" in answer.body


def test_robots_may_go_everywhere(client: Client) -> None:
    answer = client.get("/robots.txt")

    assert (answer.status, answer.body) == (200, b"User-agent: *\nDisallow:\n")


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("gzip;q=0.5, br", "br"),
        ("br", "br"),
        ("identity", None),
        ("deflate", None),
    ],
)
def test_the_encoding_is_the_one_that_was_asked_for(
    client: Client, accept: str, encoding: str | None
) -> None:
    answer = client.get("/wiki/Peru", Accept_Encoding=accept)

    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(answer.body)
    unpack = {"gzip": gzip.decompress, "br": brotli.decompress}.get(encoding or "")
    plain = unpack(answer.body) if unpack else answer.body
    assert plain.endswith(b"</html>\n")


def test_each_encoding_has_its_own_tag(client: Client) -> None:
    tags = {
        client.head("/wiki/Peru", Accept_Encoding=accept).headers["etag"]
        for accept in ("gzip", "br", "identity")
    }

    assert len(tags) == 3


def test_a_known_tag_is_not_sent_again(client: Client) -> None:
    first = client.get("/wiki/Peru", Accept_Encoding="gzip")
    again = client.get(
        "/wiki/Peru", Accept_Encoding="gzip", If_None_Match=first.headers["etag"]
    )

    assert (again.status, again.body) == (304, b"")


def test_head_has_the_headers_of_get_and_no_body(client: Client) -> None:
    head = client.head("/wiki/Peru", Accept_Encoding="gzip")
    get = client.get("/wiki/Peru", Accept_Encoding="gzip")

    assert head.body == b""
    for name in ("content-length", "content-encoding", "content-type", "etag"):
        assert head.headers[name] == get.headers[name]


def test_other_methods_are_refused(client: Client) -> None:
    client.send("/wiki/Peru", "POST")
    answer = client.receive()

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_connection_is_kept(client: Client) -> None:
    client.get("/wiki/Peru")
    first = client.http.sock
    client.get("/wiki/Chile")
    client.head("/wiki/Chile")
    client.get("/nothing")

    assert first is not None
    assert client.http.sock is first


def test_counts_tell_what_happened(testsite: SiteProcess, client: Client) -> None:
    sent = 0
    for path, agent in (
        ("/wiki/Peru", "one/1.0"),
        ("/wiki/Peru", "two/2.0"),
        (quote(LIST_PATH), "one/1.0"),
        ("/nothing", "one/1.0"),
    ):
        sent += len(client.get(path, User_Agent=agent).body)
    client.head("/wiki/Chile", User_Agent="two/2.0")

    counts = testsite.counts()

    assert (counts.requests, counts.pages, counts.paths) == (5, 3, 3)
    assert counts.agents == {"one/1.0": 3, "two/2.0": 2}
    assert counts.statuses == {"200": 4, "404": 1}
    assert counts.sent_bytes == sent
    assert (counts.peak_in_flight, counts.in_flight) == (1, 0)
    assert 1 <= counts.peak_per_second <= 5
    assert counts.cpu_s > 0


def test_a_reset_starts_from_zero(testsite: SiteProcess, client: Client) -> None:
    client.get("/wiki/Peru")
    before = testsite.counts().cpu_s
    testsite.reset()

    counts = testsite.counts()

    assert (counts.requests, counts.pages, counts.peak_in_flight) == (0, 0, 0)
    assert counts.cpu_s < before


def test_counts_are_plain_json_with_the_promised_keys(client: Client) -> None:
    answer = client.get("/_testsite/counts")

    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert sorted(json.loads(answer.body)) == [
        "agents", "cpu_s", "during_pause", "faults", "in_flight", "min_gap_s",
        "pages", "paths", "peak_in_flight", "peak_in_flight_by_host",
        "peak_per_second", "requests", "sent_bytes", "statuses",
    ]  # fmt: skip


def test_a_reset_takes_a_post(client: Client) -> None:
    assert client.get("/_testsite/reset").status == 405
    client.send("/_testsite/reset", "POST")
    assert client.receive().status == 204


def test_latency_holds_every_page_and_peaks_are_counted() -> None:
    latency_s, connections = 0.5, 8
    with SiteProcess(latency_s=latency_s, pages=1) as testsite, ExitStack() as stack:
        clients = [
            stack.enter_context(connected(testsite.url)) for _ in range(connections)
        ]
        started = time.monotonic()
        for client in clients:
            client.send("/wiki/China", Accept_Encoding="gzip")
        first = clients[0].receive()
        assert time.monotonic() - started >= latency_s
        assert first.status == 200
        for client in clients[1:]:
            client.receive()
        counts = testsite.counts()
        assert counts.peak_in_flight == connections
        assert counts.peak_per_second == connections
        assert counts.in_flight == 0

        started = time.monotonic()
        clients[0].get("/robots.txt")
        assert time.monotonic() - started >= latency_s


def test_bandwidth_caps_a_response() -> None:
    cap = 900_000
    with (
        SiteProcess(bandwidth=cap, pages=1) as testsite,
        connected(testsite.url) as client,
    ):
        started = time.monotonic()
        answer = client.get("/wiki/China", Accept_Encoding="gzip")
        took_s = time.monotonic() - started

        assert gzip.decompress(answer.body).endswith(b"</html>\n")
        assert took_s >= len(answer.body) / cap * 0.95
        assert client.head("/wiki/China", Accept_Encoding="gzip").body == b""


def test_a_request_is_in_flight_until_its_last_byte(testsite: SiteProcess) -> None:
    parts = urlsplit(testsite.url)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(30)
        slow.connect((parts.hostname, parts.port))
        # More than the system's buffers take, and nobody reads it.
        slow.sendall(b"GET /wiki/China HTTP/1.1\r\nHost: site\r\n\r\n" * 8)
        deadline = time.monotonic() + 30
        while testsite.counts().requests == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(10):  # it stays so
            time.sleep(0.02)
            assert testsite.counts().in_flight == 1
    while testsite.counts().in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    assert testsite.counts().in_flight == 0


def test_who_asks_after_the_last_byte_is_never_a_second_one(
    testsite: SiteProcess, client: Client
) -> None:
    # As workers do that share a limit of one: each on a connection of its own.
    with connected(testsite.url) as other:
        for _ in range(30):
            for one in (client, other):
                assert one.get("/wiki/China").status == 200

    assert testsite.counts().peak_in_flight == 1


@pytest.fixture(scope="module")
def small_tls_testsite(_own_cache: None) -> Iterator[SiteProcess]:
    with SiteProcess(tls=True, pages=3) as testsite:
        yield testsite


def test_tls_works_with_a_certificate_for_this_machine(
    small_tls_testsite: SiteProcess,
) -> None:
    small_tls_testsite.reset()
    with connected(small_tls_testsite.url) as client:
        assert small_tls_testsite.url.startswith("https://127.0.0.1:")
        for path in ("/wiki/China", "/wiki/India"):
            assert client.get(path, Accept_Encoding="gzip").status == 200
        assert small_tls_testsite.counts().pages == 2


def test_fewer_pages_make_a_smaller_site(small_tls_testsite: SiteProcess) -> None:
    with connected(small_tls_testsite.url) as client:
        assert client.get(quote(LIST_PATH)).body == SITE.list_page(3)
        assert client.get("/wiki/China", Accept_Encoding="gzip").status == 200
        assert client.get("/wiki/Peru").status == 404


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--latency=-1", "--latency=-1.0: must be 0 or more seconds\n"),
        ("--latency=nan", "--latency=nan: must be 0 or more seconds\n"),
        ("--latency=inf", "--latency=inf: must be 0 or more seconds\n"),
        ("--bandwidth=0", "--bandwidth=0.0: must be more than 0 bytes per second\n"),
        ("--port=-1", "--port=-1: must be from 0 to 65535\n"),
        ("--port=65536", "--port=65536: must be from 0 to 65535\n"),
        ("--pages=0", "--pages=0: must be from 1 to 233\n"),
        ("--pages=234", "--pages=234: must be from 1 to 233\n"),
        ("--fault-times=-1", "--fault-times=-1: must be 0 or more\n"),
        (
            "--retry-after=soon",
            (
                "--retry-after='soon': must be whole seconds from 0 to 86400, date,"
                " date:SECONDS or none\n"
            ),
        ),
        (
            "--host=192.0.2.1",
            "--host='192.0.2.1': must be an address of this machine\n",
        ),
        (
            "--host=127.0.0.1 --host=192.0.2.1",
            "--host='192.0.2.1': must be an address of this machine\n",
        ),
    ],
)
def test_a_wrong_option_ends_with_one_sentence(
    option: str, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # Before anything is served: here, and once below as a process of its own.
    assert main(option.split()) == 2
    assert tuple(capfd.readouterr()) == ("", sentence)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--fault=cut:2", "--fault='cut:2': must be KIND:SHARE, "),
        ("--port=many", "argument --port: invalid int value: 'many'"),
    ],
)
def test_a_wrong_option_ends_the_process_with_its_name_and_no_traceback(
    option: str, sentence: str
) -> None:
    done = subprocess.run(
        [*COMMAND, option], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_taken_port_ends_with_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, f"--port={port}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert (done.returncode, done.stdout) == (2, "")
    expected = "a port that can be had (address already in use)"
    assert done.stderr == f"--port={port}: must be {expected}\n"


@contextmanager
def listening(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a process that serves one page, and the URL that it has printed."""
    with subprocess.Popen(
        [*COMMAND, "--pages=1", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with listening() as (process, url):
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)

    assert (process.returncode, rest, errors) == (0, "", "")


def test_neither_kept_connections_nor_hung_requests_hold_it_up() -> None:
    # Its process is gone long before these requests are answered.
    with (
        listening("--latency=100") as (process, url),
        connected(url) as idle,
        connected(url) as hung,
    ):
        idle.get("/_testsite/counts")
        hung.send("/wiki/China")
        while json.loads(idle.get("/_testsite/counts").body)["in_flight"] != 1:
            time.sleep(0.01)
        process.terminate()
        rest, errors = process.communicate(timeout=30)

    assert (process.returncode, rest, errors) == (0, "", "")  # not by SIGKILL


def test_it_ends_with_its_standard_input() -> None:
    with listening("--until-stdin-closes") as (process, url):
        assert url
        process.communicate(timeout=30)

    assert process.returncode == 0
