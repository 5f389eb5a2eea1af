"""What ends a download before its end."""

from __future__ import annotations

import base64
import re

import pytest

from tests.contracts.handler.processes import (
    Downloader,
    HandlerProcesses,
    body_of,
)


class LimitContract(HandlerProcesses):
    """Timeouts, sizes, and receivers that have enough."""

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

    def test_a_length_that_does_not_count_hides_no_large_body(
        self, downloader: Downloader, site: str
    ) -> None:
        result = downloader.get(f"{site}/small-claim", {"DOWNLOAD_MAXSIZE": 2000})
        assert result["error"] == "DownloadCancelledError"

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
        assert "from signal handler connect.<locals>.hear" in done["log"]

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
