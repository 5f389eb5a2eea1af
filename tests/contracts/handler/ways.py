"""How a server is reached."""

from __future__ import annotations

import sys

import pytest

from tests.contracts.handler.processes import (
    CERTIFICATE_NAME,
    Downloader,
    HandlerProcesses,
    body_of,
    names_of,
    seen_by_server,
)


class WayContract(HandlerProcesses):
    """Local addresses, proxies and TLS."""

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

    def test_the_scheme_of_a_proxy_may_be_in_capitals(
        self, downloader: Downloader, proxy: str
    ) -> None:
        headers = {"Proxy-Authorization": "Basic dXNlcjpwYXNz"}
        meta = {"proxy": proxy.replace("http", "HTTP")}
        result = downloader.get("http://a.example/", headers=headers, meta=meta)
        lines = seen_by_server(result)["lines"]
        assert lines[0] == "GET http://a.example/ HTTP/1.1"

    @pytest.mark.parametrize(
        "settings",
        [
            {"DOWNLOAD_VERIFY_CERTIFICATES": True},
            {
                "DOWNLOADER_CLIENTCONTEXTFACTORY": "scrapy.core.downloader."
                "contextfactory.BrowserLikeContextFactory"
            },
        ],
    )
    def test_certificates_are_checked_if_asked(
        self, downloader: Downloader, web: dict[str, str], settings: dict[str, object]
    ) -> None:
        result = downloader.get(web["https"] + "/text", settings)
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
