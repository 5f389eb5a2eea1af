"""What every download handler for http and https must do. Name one to test it.

It is Scrapy's own contract, in our words: ``tests/test_handler.py`` runs it against
Scrapy's default handler too.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.request import urlopen

import pytest

from tests.servers.web import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Far more than anything here takes; only so that a hang fails instead of hanging.
DEADLINE_S = 20
CERTIFICATE_NAME = "CN=throw-away"


class Downloader:
    """A process that downloads; see ``tests/servers/downloader.py``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, **job: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the downloader ended with code {self._process.wait(DEADLINE_S)}"
        told: dict[str, Any] = json.loads(line)
        return told

    def get(
        self, url: str, settings: dict[str, Any] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Make one request; the log of the job is added to the result."""
        done = self.do(requests=[{"url": url, **arguments}], settings=settings or {})
        return {**done["results"][0], "log": done["log"]}


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start a Python module that talks in lines."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def body_of(result: dict[str, Any]) -> bytes:
    assert result["error"] is None, result
    return base64.b64decode(result["body"])


def seen_by_server(result: dict[str, Any]) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(body_of(result))
    return seen


def names_of(lines: list[str]) -> list[str]:
    return [line.partition(":")[0].title() for line in lines[1:]]


class HandlerProcesses:
    """Servers and a downloader. Say ``handler`` (import path) and ``loop``."""

    handler: ClassVar[str]
    #: ``asyncio`` for Scrapy with a reactor, ``none`` for Scrapy without.
    loop: ClassVar[str] = "asyncio"

    @pytest.fixture(scope="class")
    @classmethod
    def web(cls) -> Iterator[dict[str, str]]:
        with started("tests.servers.web") as process:
            assert process.stdout is not None
            try:
                yield {
                    "http": process.stdout.readline().strip(),
                    "https": process.stdout.readline().strip(),
                }
            finally:
                process.kill()

    @pytest.fixture(params=["http", "https"])
    def site(self, request: pytest.FixtureRequest, web: dict[str, str]) -> str:
        return web[request.param]

    @pytest.fixture(scope="class")
    @classmethod
    def plain(cls, web: dict[str, str]) -> str:
        return web["http"]

    @pytest.fixture(scope="class")
    @classmethod
    def proxy(cls) -> Iterator[str]:
        with started("tests.servers.proxy") as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip()
            finally:
                process.kill()

    @pytest.fixture(scope="class")
    @classmethod
    def downloader(cls) -> Iterator[Downloader]:
        with started("tests.servers.downloader", cls.handler, cls.loop) as process:
            try:
                yield Downloader(process)
            finally:
                process.kill()

    @pytest.fixture
    def refused(self) -> Iterator[str]:
        """A URL that nobody listens at, and nobody else can take."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{held.getsockname()[1]}/"

    def wait_until(self, server: str, **counts: int) -> None:
        """Wait until the server counted this, which it does a moment later."""
        until_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < until_s:
            with urlopen(f"{server}/counts") as answer:
                seen = json.load(answer)
            if seen | counts == seen:
                return
        raise AssertionError(f"{counts} never came, but {seen}")


class HandlerContract(HandlerProcesses):
    """What is tested."""

    # What comes back

    def test_a_response_is_what_the_server_sent(
        self, downloader: Downloader, site: str
    ) -> None:
        result = downloader.get(f"{site}/text#part")
        assert body_of(result) == b"Works"
        assert result["url"] == f"{site}/text"
        assert result["status"] == 200
        assert result["flags"] == []
        assert result["protocol"] == "HTTP/1.1"
        assert result["ip_address"] == "127.0.0.1"
        assert result["latency_s"] > 0
        assert sorted(result["headers"]) == [
            ["Content-Length", "5"],
            ["Content-Type", "text/plain"],
        ]

    def test_the_certificate_is_there_also_on_a_kept_connection(
        self, downloader: Downloader, web: dict[str, str]
    ) -> None:
        done = downloader.do(requests=[{"url": web["https"] + "/text"}] * 2)
        names = [result["certificate"] for result in done["results"]]
        assert names == [CERTIFICATE_NAME] * 2

    def test_there_is_no_certificate_without_tls(
        self, downloader: Downloader, plain: str
    ) -> None:
        assert downloader.get(f"{plain}/text")["certificate"] is None

    @pytest.mark.parametrize("status", [204, 301, 404, 407, 429, 500, 503])
    def test_no_status_is_an_error(
        self, downloader: Downloader, plain: str, status: int
    ) -> None:
        assert downloader.get(f"{plain}/status?n={status}")["status"] == status

    def test_redirects_are_left_to_scrapy(
        self, downloader: Downloader, plain: str
    ) -> None:
        result = downloader.get(f"{plain}/redirect")
        assert result["status"] == 302
        assert ["Location", "/text"] in result["headers"]

    def test_bodies_are_not_decoded(self, downloader: Downloader, site: str) -> None:
        result = downloader.get(f"{site}/gzip", headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(body_of(result)) == PAGE
        assert ["Content-Encoding", "gzip"] in result["headers"]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/chunked", b"one two"),
            ("/trailers", b"one"),
            ("/empty", b""),
            ("/big?n=1000000", b"x" * 1_000_000),
            ("/big-chunks?n=1048576", b"x" * 1_048_576),
        ],
    )
    def test_a_body_is_whole_however_it_is_framed(
        self, downloader: Downloader, site: str, path: str, body: bytes
    ) -> None:
        result = downloader.get(site + path)
        assert body_of(result) == body
        assert result["flags"] == []
        assert "X-T" not in dict(result["headers"])

    def test_a_body_without_a_length_is_marked(
        self, downloader: Downloader, plain: str
    ) -> None:
        result = downloader.get(f"{plain}/until-close")
        assert body_of(result) == b"Works"
        assert result["flags"] == ["partial"]

    def test_an_older_protocol_is_told(
        self, downloader: Downloader, plain: str
    ) -> None:
        assert downloader.get(f"{plain}/old")["protocol"] == "HTTP/1.0"

    def test_a_header_may_come_twice(self, downloader: Downloader, plain: str) -> None:
        headers = downloader.get(f"{plain}/cookies")["headers"]
        assert [value for name, value in headers if name == "Set-Cookie"] == [
            "a=1",
            "b=2",
        ]

    def test_cookies_are_left_to_scrapy(
        self, downloader: Downloader, plain: str
    ) -> None:
        done = downloader.do(
            requests=[{"url": f"{plain}/cookies"}, {"url": f"{plain}/echo"}]
        )
        lines = seen_by_server(done["results"][1])["lines"]
        assert "Cookie" not in names_of(lines)

    def test_header_lines_that_are_none_are_skipped(
        self, downloader: Downloader, site: str
    ) -> None:
        result = downloader.get(f"{site}/bad-header")
        assert body_of(result) == b"Works"
        headers = dict(result["headers"])
        assert headers["X-Before"] == "1"
        assert headers["X-Folded"].split() == ["one", "two"]
        assert headers["X-After"] == "2"

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/text", "TextResponse"),
            ("/page", "HtmlResponse"),
            ("/page.html", "HtmlResponse"),
            ("/echo", "JsonResponse"),
        ],
    )
    def test_the_kind_of_response_follows_header_name_and_body(
        self, downloader: Downloader, plain: str, path: str, kind: str
    ) -> None:
        assert downloader.get(plain + path)["kind"] == kind

    # What is sent

    def test_no_header_is_added(self, downloader: Downloader, site: str) -> None:
        lines = seen_by_server(downloader.get(f"{site}/echo"))["lines"]
        assert lines[0] == "GET /echo HTTP/1.1"
        assert names_of(lines) == ["Host"]
        assert lines[1].lower() == "host: " + site.partition("://")[2]

    def test_headers_are_sent_in_order_with_duplicates_and_empty_ones(
        self, downloader: Downloader, plain: str
    ) -> None:
        headers = {
            "User-Agent": "us",
            "X-B": ["2", "1"],
            "Accept": "text/html",
            "X-Empty": "",
            "X-None": None,
            "X-A": "é",
        }
        result = downloader.get(f"{plain}/echo", headers=headers)
        lines = seen_by_server(result)["lines"][1:]
        sent = [line.rstrip() for line in lines if not line.lower().startswith("host")]
        assert sent == [
            "User-Agent: us",
            "X-B: 2",
            "X-B: 1",
            "Accept: text/html",
            "X-Empty:",
            "X-A: \xc3\xa9",
        ]

    def test_a_host_header_of_ones_own_is_kept(
        self, downloader: Downloader, plain: str
    ) -> None:
        result = downloader.get(f"{plain}/echo", headers={"Host": "other.example"})
        hosts = [
            line
            for line in seen_by_server(result)["lines"]
            if line.lower().startswith("host:")
        ]
        assert hosts == ["Host: other.example"]

    def test_a_header_cannot_start_another(
        self, downloader: Downloader, plain: str
    ) -> None:
        result = downloader.get(f"{plain}/echo", headers={"X-A": "1\r\nX-B: 2"})
        assert "X-B" not in names_of(seen_by_server(result)["lines"])

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "X-Y"])
    def test_every_method_may_have_a_body(
        self, downloader: Downloader, plain: str, method: str
    ) -> None:
        body = "\x00é" * 1000
        result = downloader.get(f"{plain}/echo", method=method, body=body)
        seen = seen_by_server(result)
        assert seen["lines"][0] == f"{method} /echo HTTP/1.1"
        assert seen["body"].encode("latin-1").decode() == body
        assert sorted(names_of(seen["lines"])) == ["Content-Length", "Host"]

    @pytest.mark.parametrize(
        ("method", "lengths"),
        [("POST", ["Content-Length: 0"]), ("PUT", ["Content-Length: 0"]), ("GET", [])],
    )
    def test_a_missing_body_is_announced_where_one_is_expected(
        self, downloader: Downloader, plain: str, method: str, lengths: list[str]
    ) -> None:
        lines = seen_by_server(downloader.get(f"{plain}/echo", method=method))["lines"]
        found = [line.title() for line in lines if line.lower().startswith("content-")]
        assert found == lengths

    @pytest.mark.parametrize("body", ["", "asked"])
    def test_head_has_no_body(
        self, downloader: Downloader, site: str, body: str
    ) -> None:
        done = downloader.do(
            requests=[
                {"url": f"{site}/text", "method": "HEAD", "body": body},
                {"url": f"{site}/text"},
            ]
        )
        assert [body_of(result) for result in done["results"]] == [b"", b"Works"]

    @pytest.mark.parametrize(
        "path",
        ["/a/../b/./c", "/a//b", "/?q=%7e%7E", "/a;p?x=1&x=2", "/%2F%00", "/?a=b?c"],
    )
    def test_urls_are_sent_as_they_are(
        self, downloader: Downloader, plain: str, path: str
    ) -> None:
        lines = seen_by_server(downloader.get(plain + path))["lines"]
        assert lines[0] == f"GET {path} HTTP/1.1"

    def test_verbatim_urls_are_not_even_quoted(
        self, downloader: Downloader, plain: str
    ) -> None:
        result = downloader.get(f"{plain}/x?data[0]=a", meta={"verbatim_url": True})
        assert seen_by_server(result)["lines"][0] == "GET /x?data[0]=a HTTP/1.1"

    # Limits

    @pytest.mark.parametrize(
        "path",
        ["/hang", "/hang-in-headers", "/hang-in-body", "/drip"],
    )
    def test_the_timeout_is_for_all_of_it(
        self, downloader: Downloader, site: str, path: str
    ) -> None:
        result = downloader.get(site + path, meta={"download_timeout": 0.3})
        assert result["error"] == "DownloadTimeoutError"
        assert "took longer than 0.3 seconds" in result["message"]

    @pytest.mark.parametrize(
        ("path", "verb"),
        [("/big?n=4096", "Expected to receive"), ("/big-chunks?n=40960", "Received")],
    )
    @pytest.mark.parametrize("where", ["setting", "meta"])
    def test_too_large_a_body_is_cancelled(
        self, downloader: Downloader, site: str, path: str, verb: str, where: str
    ) -> None:
        settings = {"DOWNLOAD_MAXSIZE": 2000} if where == "setting" else {}
        meta = {"download_maxsize": 2000} if where == "meta" else {}
        result = downloader.get(site + path, settings, meta=meta)
        assert result["error"] == "DownloadCancelledError"
        assert re.search(
            rf"{verb} \d+ bytes which is larger than download max size \(2000\)",
            result["log"],
        )

    def test_a_body_of_the_limit_is_welcome(
        self, downloader: Downloader, plain: str
    ) -> None:
        settings = {"DOWNLOAD_MAXSIZE": 5, "DOWNLOAD_WARNSIZE": 5}
        result = downloader.get(f"{plain}/text", settings)
        assert body_of(result) == b"Works"
        assert "larger than" not in result["log"]

    @pytest.mark.parametrize(
        ("path", "verb"),
        [("/big?n=40960", "Expected to receive"), ("/big-chunks?n=40960", "Received")],
    )
    def test_a_large_body_is_warned_of_once(
        self, downloader: Downloader, plain: str, path: str, verb: str
    ) -> None:
        result = downloader.get(plain + path, {"DOWNLOAD_WARNSIZE": 2000})
        assert len(body_of(result)) == 40960
        assert result["log"].count("download warn size (2000)") == 1
        assert f"{verb} " in result["log"]

    # Losses and failures

    @pytest.mark.parametrize("path", ["/short", "/short-chunks", "/broken-chunks"])
    def test_a_body_cut_short_is_an_error(
        self, downloader: Downloader, plain: str, path: str
    ) -> None:
        done = downloader.do(requests=[{"url": plain + path}] * 2)
        errors = [result["error"] for result in done["results"]]
        assert errors == ["ResponseDataLossError"] * 2
        assert done["log"].count("Got data loss") == 1

    @pytest.mark.parametrize("path", ["/short", "/short-chunks", "/broken-chunks"])
    @pytest.mark.parametrize("where", ["setting", "meta"])
    def test_a_body_cut_short_may_be_welcome(
        self, downloader: Downloader, plain: str, path: str, where: str
    ) -> None:
        settings = {"DOWNLOAD_FAIL_ON_DATALOSS": False} if where == "setting" else {}
        meta = {"download_fail_on_dataloss": False} if where == "meta" else {}
        result = downloader.get(plain + path, settings, meta=meta)
        assert body_of(result) == b"partial"
        assert result["flags"] == ["dataloss"]

    @pytest.mark.parametrize("path", ["/nothing", "/reset", "/nonsense"])
    def test_no_response_is_a_failed_download(
        self, downloader: Downloader, plain: str, path: str
    ) -> None:
        assert downloader.get(plain + path)["error"] == "DownloadFailedError"

    def test_a_refused_connection_is_told(
        self, downloader: Downloader, refused: str
    ) -> None:
        error = downloader.get(refused)["error"]
        assert error == "DownloadConnectionRefusedError"

    def test_an_unknown_host_is_told(self, downloader: Downloader) -> None:
        error = downloader.get("http://no-such-host.invalid/")["error"]
        assert error == "CannotResolveHostError"

    def test_another_scheme_is_refused(self, downloader: Downloader) -> None:
        error = downloader.get("gopher://127.0.0.1/")["error"]
        assert error == "UnsupportedURLSchemeError"

    def test_a_cancelled_download_lets_go_of_its_connection(
        self, downloader: Downloader, site: str, plain: str
    ) -> None:
        hung = [{"url": f"{site}/hang", "meta": {"download_timeout": 600}}] * 2
        done = downloader.do(requests=hung, together=True, cancel_s=0.3)
        assert all(result["error"] for result in done["results"])
        self.wait_until(plain, hanging=0)

    # Signals

    @pytest.mark.parametrize("fail", [True, False])
    def test_a_receiver_of_headers_may_stop_a_download(
        self, downloader: Downloader, site: str, fail: bool
    ) -> None:
        url = f"{site}/big?n=4000000"
        done = downloader.do(requests=[{"url": url}], stop="headers", fail=fail)
        result = done["results"][0]
        assert result["error"] == ("StopDownload" if fail else None)
        assert result["body"] == ""
        assert result["status"] == 200
        assert result["flags"] == ["download_stopped"]
        assert done["heard"] == ["headers"]

    @pytest.mark.parametrize("fail", [True, False])
    def test_a_receiver_of_bytes_may_stop_a_download(
        self, downloader: Downloader, site: str, fail: bool
    ) -> None:
        url = f"{site}/big?n=4000000"
        done = downloader.do(requests=[{"url": url}], stop="bytes", fail=fail)
        result = done["results"][0]
        assert result["error"] == ("StopDownload" if fail else None)
        assert 0 < len(base64.b64decode(result["body"])) < 4_000_000
        assert result["flags"] == ["download_stopped"]
        assert done["heard"] == ["headers", "bytes"]

    def test_receivers_that_only_listen_change_nothing(
        self, downloader: Downloader, site: str
    ) -> None:
        url = f"{site}/big?n=400000"
        done = downloader.do(requests=[{"url": url}], stop="never", fail=True)
        assert body_of(done["results"][0]) == b"x" * 400_000
        assert set(done["heard"]) == {"headers", "bytes"}

    # Ways

    @pytest.mark.skipif(
        sys.platform == "darwin", reason="127.0.0.2 is no local address there"
    )
    @pytest.mark.parametrize("where", ["setting", "meta", "meta with port"])
    def test_the_local_address_can_be_chosen(
        self, downloader: Downloader, site: str, where: str
    ) -> None:
        bind = ["127.0.0.2", 0] if where == "meta with port" else "127.0.0.2"
        settings = {"DOWNLOAD_BIND_ADDRESS": bind} if where == "setting" else {}
        meta = {} if where == "setting" else {"bindaddress": bind}
        done = downloader.do(
            settings=settings,
            requests=[
                {"url": f"{site}/echo"},
                {"url": f"{site}/echo", "meta": meta},
                {"url": f"{site}/echo"},
            ],
        )
        clients = [seen_by_server(result)["client"][0] for result in done["results"]]
        other = "127.0.0.2" if where == "setting" else "127.0.0.1"
        assert clients == [other, "127.0.0.2", other]

    def test_only_the_proxy_gets_its_credentials(
        self, downloader: Downloader, web: dict[str, str], proxy: str
    ) -> None:
        headers = {"Proxy-Authorization": "Basic dXNlcjpwYXNz", "X-A": "1"}
        meta = {"proxy": proxy}
        done = downloader.do(
            requests=[
                {"url": url, "headers": headers, "meta": meta}
                for url in ("http://a.example", web["https"] + "/echo")
            ]
        )
        through, tunnelled = done["results"]
        lines = seen_by_server(through)["lines"]
        assert lines[0] == "GET http://a.example HTTP/1.1"
        assert sorted(names_of(lines)) == ["Host", "Proxy-Authorization", "X-A"]
        assert ["X-Proxy", "a.example"] in through["headers"]
        lines = seen_by_server(tunnelled)["lines"]
        assert lines[0] == "GET /echo HTTP/1.1"
        assert sorted(names_of(lines)) == ["Host", "X-A"]
        assert "X-Proxy" not in dict(tunnelled["headers"])
        assert tunnelled["certificate"] == CERTIFICATE_NAME

    def test_a_proxy_that_refuses_is_told(
        self, downloader: Downloader, web: dict[str, str], proxy: str
    ) -> None:
        meta = {"proxy": proxy.partition("://")[2]}
        done = downloader.do(
            requests=[
                {"url": url, "meta": meta}
                for url in ("http://a.example/", web["https"] + "/echo")
            ]
        )
        through, tunnelled = done["results"]
        assert through["status"] == 407
        assert tunnelled["error"] is not None
        assert "407" in tunnelled["message"]

    # TLS

    def test_certificates_are_checked_if_asked(
        self, downloader: Downloader, web: dict[str, str]
    ) -> None:
        result = downloader.get(
            web["https"] + "/text", {"DOWNLOAD_VERIFY_CERTIFICATES": True}
        )
        assert result["error"] == "DownloadFailedError"

    @pytest.mark.parametrize(
        ("least", "most"),
        [
            (None, "TLSv1.2"),
            ("TLSv1.3", None),
            ("TLSv1.2", "TLSv1.3"),
        ],
    )
    def test_tls_versions_can_be_limited(
        self,
        downloader: Downloader,
        web: dict[str, str],
        least: str | None,
        most: str | None,
    ) -> None:
        settings = {
            "DOWNLOAD_TLS_MIN_VERSION": least,
            "DOWNLOAD_TLS_MAX_VERSION": most,
        }
        result = downloader.get(web["https"] + "/text", settings)
        assert body_of(result) == b"Works"

    @pytest.mark.parametrize("end", ["MIN", "MAX"])
    def test_an_unknown_tls_version_is_refused_at_once(
        self, downloader: Downloader, end: str
    ) -> None:
        name = f"DOWNLOAD_TLS_{end}_VERSION"
        done = downloader.do(requests=[], settings={name: "SSLv9"})
        assert done["refused"] == f"Unknown {name} value: SSLv9"
