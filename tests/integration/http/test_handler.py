from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, ClassVar

import pycurl
import pytest
from scrapy import Request
from scrapy.core.downloader.contextfactory import BrowserLikeContextFactory
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    ScrapyDeprecationWarning,
    UnsupportedURLSchemeError,
)
from scrapy.settings import Settings

from concurcrawl.http import curl_options
from concurcrawl.http.handles import choose, until
from concurcrawl.http.lenient_parser import ResponseReader
from tests.contracts.handler.contract import HandlerContract
from tests.contracts.handler.processes import (
    DEADLINE_S,
    Downloader,
    HandlerProcesses,
    body_of,
    names_of,
    seen_by_server,
    started,
)
from tests.support.servers.web import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THREADED = "concurcrawl.http.handler.ThreadedDownloadHandler"
LOOP = "concurcrawl.http.loop_handler.LoopDownloadHandler"


class TestThreadedDownloadHandler(HandlerContract):
    handler = THREADED


class TestThreadedDownloadHandlerWithoutReactor(HandlerContract):
    handler = THREADED
    loop = "none"


class TestLoopDownloadHandler(HandlerContract):
    handler = LOOP


class TestLoopDownloadHandlerWithoutReactor(HandlerContract):
    handler = LOOP
    loop = "none"


class TestScrapysOwnHandler(HandlerContract):
    """The contract is Scrapy's, not ours."""

    handler = "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"


class CurlOnly(HandlerProcesses):
    """What Scrapy's own handlers do not promise."""

    def test_connections_are_kept_and_counted(
        self, downloader: Downloader, site: str
    ) -> None:
        stats = downloader.do(requests=[{"url": f"{site}/text"}] * 5)["stats"]
        assert stats == {
            "concurcrawl/handler/requests": 5,
            "concurcrawl/handler/connections": 1,
        }

    at_a_time: ClassVar[int]

    def test_so_many_downloads_run_at_a_time(
        self, downloader: Downloader, plain: str
    ) -> None:
        done = downloader.do(
            requests=[{"url": f"{plain}/slow?s=0.1"}] * 7,
            settings={"CONCURCRAWL_THREADS": 3, "CONCURRENT_REQUESTS": 2},
            together=True,
        )
        assert [result["status"] for result in done["results"]] == [200] * 7
        self.wait_until(plain, peak=self.at_a_time)

    def test_closing_waits_for_no_hung_download(
        self, downloader: Downloader, site: str, plain: str
    ) -> None:
        hung = [{"url": f"{site}/hang", "meta": {"download_timeout": 600}}] * 3
        done = downloader.do(requests=hung, together=True, close_s=0.3)
        errors = [result["error"] for result in done["results"]]
        assert errors == ["DownloadCancelledError"] * 3
        self.wait_until(plain, hanging=0)

    def test_a_waiting_receiver_does_not_keep_a_cancelled_download(
        self, downloader: Downloader, plain: str
    ) -> None:
        done = downloader.do(
            requests=[{"url": f"{plain}/drip", "meta": {"download_timeout": 600}}],
            together=True,
            cancel_s=0.3,
            stop="never",
            fail=True,
        )
        assert done["results"][0]["error"] == "CancelledError"

    @pytest.fixture(scope="class")
    @classmethod
    def socks(cls) -> Iterator[str]:
        with started("tests.support.servers.socks") as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip()
            finally:
                process.kill()

    def test_a_socks_proxy_gets_its_credentials(
        self, downloader: Downloader, site: str, socks: str
    ) -> None:
        headers = {"Proxy-Authorization": "Basic dXNlcjpwYXNz"}
        url, meta = f"{site}/echo", {"proxy": socks}
        result = downloader.get(url, headers=headers, meta=meta)
        assert names_of(seen_by_server(result)["lines"]) == ["Host"]

    @pytest.mark.parametrize("token", [None, "dXNlcjp3cm9uZw=="])
    def test_a_socks_proxy_that_refuses_is_told(
        self, downloader: Downloader, plain: str, socks: str, token: str | None
    ) -> None:
        headers = {"Proxy-Authorization": f"Basic {token}"} if token else {}
        result = downloader.get(plain, headers=headers, meta={"proxy": socks})
        assert result["error"] == "DownloadConnectionRefusedError"

    def test_a_post_is_not_repeated_to_read_bad_headers(
        self, downloader: Downloader, plain: str
    ) -> None:
        url = f"{plain}/bad-header"
        done = downloader.do(requests=[{"url": url, "method": "POST"}] * 2)
        first, second = done["results"]
        assert first["error"] == "DownloadFailedError"
        assert body_of(second) == b"Works"


class TestThreadedOnly(CurlOnly):
    handler = THREADED
    at_a_time = 3


class TestThreadedOnlyWithoutReactor(TestThreadedOnly):
    loop = "none"


class TestLoopOnly(CurlOnly):
    handler = LOOP
    at_a_time = 2


class TestLoopOnlyWithoutReactor(TestLoopOnly):
    loop = "none"


SPIDER = """
import scrapy

class Hung(scrapy.Spider):
    name = "hung"
    custom_settings = {
        "DOWNLOAD_HANDLERS": {"http": HANDLER},
        "REMOTE_CONTROL_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
    }

    async def start(self):
        yield scrapy.Request(self.url, meta={"download_timeout": 600})
"""


class TestInACrawl(HandlerProcesses):
    handler = THREADED

    @pytest.mark.skipif(
        sys.platform == "win32", reason="Windows sends no signal to one process"
    )
    @pytest.mark.parametrize("handler", [THREADED, LOOP])
    @pytest.mark.parametrize("reactor", ["True", "False"])
    def test_ctrl_c_twice_ends_a_crawl_that_hangs(
        self, plain: str, tmp_path: Path, reactor: str, handler: str
    ) -> None:
        source = SPIDER.replace("HANDLER", repr(handler))
        (tmp_path / "hung.py").write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "scrapy", "runspider", "hung.py"]
        command += [
            "-a",
            f"url={plain}/hang",
            "-s",
            f"TWISTED_REACTOR_ENABLED={reactor}",
        ]
        here = os.getcwd()  # noqa: PTH109 - where the package is
        environment = {**os.environ, "PYTHONPATH": here}
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            try:
                self.wait_until(plain, hanging=1)
                process.send_signal(signal.SIGINT)
                for line in process.stderr:
                    if "SIGINT" in line:  # or the second would be taken for the first
                        process.send_signal(signal.SIGINT)
                        break
                process.communicate(timeout=DEADLINE_S)
            finally:
                process.kill()
        self.wait_until(plain, hanging=0)


# Pure parts


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("http://a.example", "http://a.example/", "/"),
        ("http://a.example?q", "http://a.example/", "/?q"),
        ("https://a.example:443/x#y", "https://a.example/", "/x"),
        ("http://a.example:8080/x?y#z", "http://a.example:8080/", "/x?y"),
        ("http://[::1]:80/", "http://[::1]/", "/"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/", "/ü"),
        ("http://u:p@a.example/", "http://u:p@a.example/", "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, origin: str, path: str) -> None:
    target = curl_options.target_of(url)
    assert (target.origin, target.path) == (origin, path)


@pytest.mark.parametrize("url", ["ftp://a/", "http:///x", "http://a:port/", "x"])
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(UnsupportedURLSchemeError):
        curl_options.target_of(url)


def test_a_proxy_without_a_port_has_that_of_its_scheme() -> None:
    target = curl_options.target_of("http://a.example/")
    for proxy, port in [("http://p", 80), ("https://p", 443), ("http://p:8", 8)]:
        options = dict(
            curl_options.connection_options(target, curl_options.Route(proxy))
        )
        assert options[pycurl.PROXYPORT] == port


@pytest.mark.parametrize("value", [b"Digest x", b"Basic !", b"Basic dXNlcg=="])
def test_credentials_that_no_socks_proxy_understands_are_refused(value: bytes) -> None:
    route = curl_options.Route("socks5://p", value)
    with pytest.raises(ValueError, match="needs Basic credentials"):
        curl_options.connection_options(
            curl_options.target_of("http://a.example/"), route
        )


@pytest.mark.parametrize(
    "factory",
    [
        BrowserLikeContextFactory,
        "scrapy.core.downloader.contextfactory.BrowserLikeContextFactory",
    ],
)
def test_a_context_factory_that_verifies_is_heeded(factory: object) -> None:
    settings = Settings({"DOWNLOADER_CLIENTCONTEXTFACTORY": factory})
    with pytest.warns(ScrapyDeprecationWarning) as warned:
        options = dict(curl_options.tls_options(settings))
    assert options[pycurl.SSL_VERIFYPEER] == 1
    assert [str(warning.message).partition(".")[0] for warning in warned] == [
        "The 'DOWNLOADER_CLIENTCONTEXTFACTORY' setting is deprecated",
        "BrowserLikeContextFactory is deprecated",
    ]


def test_another_context_factory_is_not_dropped_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings({"DOWNLOADER_CLIENTCONTEXTFACTORY": "builtins.object"})
    with pytest.warns(ScrapyDeprecationWarning):
        options = dict(curl_options.tls_options(settings))
    assert options[pycurl.SSL_VERIFYPEER] == 0
    assert "libcurl has no use for Twisted's context factories" in caplog.text
    caplog.clear()
    with pytest.warns(ScrapyDeprecationWarning):
        curl_options.tls_options(settings)
    assert not caplog.text  # once is enough


def test_a_context_factory_that_another_handler_uses_is_not_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings({"DOWNLOADER_CLIENTCONTEXTFACTORY": "builtins.dict"})
    with pytest.warns(ScrapyDeprecationWarning):
        curl_options.tls_options(settings, is_for_https=False)
    assert not caplog.text


def test_a_method_cannot_smuggle_in_a_request() -> None:
    request = Request("http://a.example/")
    request.method = "GET / HTTP/1.1\r\n\r\nGET"
    with pytest.raises(ValueError, match="Invalid method"):
        curl_options.message_options(
            request, curl_options.target_of(request.url), curl_options.Route()
        )


def test_a_request_without_libcurl_is_the_same_request() -> None:
    request = Request(
        "http://a.example/x", method="POST", headers={"A": "", "B": "1"}, body="body"
    )
    sent = curl_options.request_bytes(
        request, curl_options.target_of(request.url), curl_options.Route()
    )
    assert sent == (
        b"POST /x HTTP/1.1\r\nHost: a.example\r\nA:\r\nB: 1\r\n"
        b"Content-Length: 4\r\n\r\nbody"
    )


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (pycurl.E_OPERATION_TIMEDOUT, DownloadTimeoutError),
        (pycurl.E_COULDNT_RESOLVE_HOST, CannotResolveHostError),
        (pycurl.E_COULDNT_CONNECT, DownloadConnectionRefusedError),
        (pycurl.E_RECV_ERROR, DownloadFailedError),
        (pycurl.E_SSL_CONNECT_ERROR, DownloadFailedError),
        (97, DownloadConnectionRefusedError),  # a SOCKS proxy that says no
    ],
)
def test_errors_are_scrapys(code: int, kind: type[Exception]) -> None:
    assert type(curl_options.error_from(code, "words", "http://a.example/", 1)) is kind


def test_the_time_counts_also_while_more_comes_without_a_pause() -> None:
    now_s = time.monotonic()
    with selectors.DefaultSelector() as selector:
        assert until(selector, now_s + DEADLINE_S, lambda: b"more") == b"more"
        with pytest.raises(pycurl.error, match="timed out"):
            until(selector, now_s, lambda: b"more")


def test_a_handle_is_never_used_for_another_route() -> None:
    direct, bound = curl_options.Route(), curl_options.Route(bind=("127.0.0.2", 0))
    assert choose([(direct, ["a"])], bound, "a") is None
    assert choose([], direct, "a") is None


def test_the_handle_used_last_for_a_host_is_used_again() -> None:
    route = curl_options.Route()
    idle = [(route, ["a"]), (route, ["a", "b"]), (route, ["c"])]
    assert choose(idle, route, "a") == 1
    assert choose(idle, route, "d") == 2


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/text", b"Works"),
        ("/bad-header", b"Works"),
        ("/chunked", b"one two"),
        ("/trailers", b"one"),
        ("/empty", b""),
        ("/page.html", b""),
    ],
)
def test_a_response_is_read_in_whatever_pieces_it_comes(
    path: str, body: bytes, size: int
) -> None:
    lines: list[bytes] = []
    chunks: list[bytes] = []
    reader = ResponseReader(lines.append, chunks.append, has_body=True)
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    raw = hint + SCRIPTS[path]
    for start in range(0, len(raw), size):
        assert not reader.is_ended
        reader.feed(raw[start : start + size])
    assert reader.is_ended
    assert b"".join(chunks) == body
    head = hint + SCRIPTS[path].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert b"".join(lines) == head


@pytest.mark.parametrize("path", ["/short", "/short-chunks", "/until-close"])
def test_a_response_without_its_end_is_not_ended(path: str) -> None:
    reader = ResponseReader(lambda _: None, lambda _: None, has_body=True)
    reader.feed(SCRIPTS[path])
    assert not reader.is_ended
    assert reader.is_complete is (path == "/until-close")


@pytest.mark.parametrize(
    "path",
    [
        "/nonsense",
        "/broken-chunks",
        "/broken-chunks-and-header",
        "/no-length",
        "/less-than-no-length",
        "/two-lengths",
    ],
)
def test_what_is_no_response_is_refused(path: str) -> None:
    reader = ResponseReader(lambda _: None, lambda _: None, has_body=True)
    with pytest.raises(ValueError, match=r".+"):
        reader.feed(SCRIPTS[path] + b"\r\n")
