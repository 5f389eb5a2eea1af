"""HTTP/2, where libcurl downloads and its setting allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contracts.handler.processes import (
    CERTIFICATE_NAME,
    Downloader,
    HandlerProcesses,
    body_of,
    seen_by_server,
    started,
)
from tests.integration.http.test_handler import LOOP, THREADED

if TYPE_CHECKING:
    from collections.abc import Iterator

HTTP2 = {"CONCURCRAWL_HTTP2": True}


class TestHttp2(HandlerProcesses):
    handler = THREADED

    @pytest.fixture(scope="class")
    @classmethod
    def modern(cls) -> Iterator[str]:
        with started("tests.support.servers.http2") as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip()
            finally:
                process.kill()

    def test_a_site_that_offers_it_is_spoken_to_in_http2(
        self, downloader: Downloader, modern: str
    ) -> None:
        headers = {"X-A": "1", "Connection": "keep-alive"}
        done = downloader.do(
            requests=[{"url": f"{modern}/x?y", "headers": headers}] * 2, settings=HTTP2
        )
        first, second = done["results"]
        assert first["protocol"] == "HTTP/2"
        assert first["flags"] == []
        assert first["headers"] == [["Content-Type", "application/json"]]
        assert first["certificate"] == second["certificate"] == CERTIFICATE_NAME
        assert seen_by_server(first)["headers"] == [
            [":method", "GET"],
            [":scheme", "https"],
            [":authority", modern.partition("://")[2]],
            [":path", "/x?y"],
            ["x-a", "1"],
        ]
        assert done["stats"]["concurcrawl/handler/connections"] == 1

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_bodies_are_sent(
        self, downloader: Downloader, modern: str, method: str
    ) -> None:
        body = "x" * 200_000  # more than a server takes unasked
        result = downloader.get(modern, HTTP2, method=method, body=body)
        assert seen_by_server(result)["body_bytes"] == 200_000

    def test_without_the_setting_it_is_spoken_to_in_http_1_1(
        self, downloader: Downloader, modern: str
    ) -> None:
        assert downloader.get(modern)["protocol"] == "HTTP/1.1"

    def test_other_sites_are_spoken_to_in_http_1_1(
        self, downloader: Downloader, site: str
    ) -> None:
        result = downloader.get(f"{site}/echo", HTTP2)
        assert result["protocol"] == "HTTP/1.1"
        lines = seen_by_server(result)["lines"]
        assert [line.partition(":")[0] for line in lines[1:]] == ["Host"]

    @pytest.mark.parametrize("path", ["/short", "/short-and-reset"])
    def test_a_body_cut_short_is_an_error_or_marked(
        self, downloader: Downloader, modern: str, path: str
    ) -> None:
        assert downloader.get(modern + path, HTTP2)["error"] == "ResponseDataLossError"
        meta = {"download_fail_on_dataloss": False}
        result = downloader.get(modern + path, HTTP2, meta=meta)
        assert body_of(result) == b"partial"
        assert result["flags"] == ["dataloss"]

    def test_no_response_is_a_failed_download(
        self, downloader: Downloader, modern: str
    ) -> None:
        assert downloader.get(f"{modern}/reset", HTTP2)["error"] == (
            "DownloadFailedError"
        )


class TestHttp2InTheLoop(TestHttp2):
    handler = LOOP
