"""What comes back of a request."""

from __future__ import annotations

import gzip

import pytest

from tests.contracts.handler.processes import (
    CERTIFICATE_NAME,
    Downloader,
    HandlerProcesses,
    body_of,
    names_of,
    seen_by_server,
)
from tests.support.servers.web import PAGE


class ResponseContract(HandlerProcesses):
    """Status, headers, bodies, and what is told of them."""

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

    @pytest.mark.parametrize("path", ["/until-close", "/bad-header", "/short"])
    def test_the_certificate_is_there_on_each_new_connection(
        self, downloader: Downloader, web: dict[str, str], path: str
    ) -> None:
        meta = {"download_fail_on_dataloss": False}
        request = {"url": web["https"] + path, "meta": meta}
        done = downloader.do(requests=[request] * 3)
        names = [result["certificate"] for result in done["results"]]
        assert names == [CERTIFICATE_NAME] * 3

    @pytest.mark.parametrize(
        ("path", "method", "length"),
        [
            ("/text", "GET", "5"),
            ("/text", "HEAD", "5"),
            ("/chunked", "GET", None),
            ("/chunked", "HEAD", "0"),
            ("/until-close", "GET", None),
            ("/until-close", "HEAD", "0"),
            ("/empty", "GET", "0"),
            ("/status?n=304", "GET", "0"),
            ("/small-claim", "GET", None),
        ],
    )
    def test_the_length_of_the_body_is_the_first_header(
        self,
        downloader: Downloader,
        site: str,
        path: str,
        method: str,
        length: str | None,
    ) -> None:
        headers = downloader.get(site + path, method=method)["headers"]
        if length is None:
            assert "Content-Length" not in dict(headers)
        else:
            assert headers[0] == ["Content-Length", length]

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
        assert headers["X-Folded"] == "one\ttwo"
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
