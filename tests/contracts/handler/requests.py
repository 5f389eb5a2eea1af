"""What is sent to a server."""

from __future__ import annotations

import pytest

from tests.contracts.handler.processes import (
    Downloader,
    HandlerProcesses,
    body_of,
    names_of,
    seen_by_server,
)


class RequestContract(HandlerProcesses):
    """Headers, methods, bodies and URLs."""

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

    @pytest.mark.parametrize("name", ["X-A: 1\r\nX-B", "X-A: 1, X-B", "X A", ""])
    def test_what_is_no_name_of_a_header_is_refused(
        self, downloader: Downloader, plain: str, name: str
    ) -> None:
        result = downloader.get(f"{plain}/echo", headers={name: "2"})
        assert result["error"] in {"ValueError", "InvalidHeaderName"}  # Twisted's word

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

    def test_a_verbatim_url_cannot_start_a_header(
        self, downloader: Downloader, plain: str
    ) -> None:
        url = f"{plain}/echo?a HTTP/1.1\r\nX-B: 2"
        result = downloader.get(url, meta={"verbatim_url": True})
        assert result["error"] == "ValueError"
