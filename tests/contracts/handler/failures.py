"""What becomes of a download that fails."""

from __future__ import annotations

import pytest

from tests.contracts.handler.processes import (
    Downloader,
    HandlerProcesses,
    body_of,
)

CUT_SHORT = [
    "/short",
    "/short-chunks",
    "/broken-chunks",
    "/broken-chunks-and-header",
]
NO_RESPONSE = [
    "/nothing",
    "/reset",
    "/nonsense",
    "/only-status",
    "/cut-in-headers",
    "/other-protocol",
    "/no-length",
    "/less-than-no-length",
    "/two-lengths",
]


class FailureContract(HandlerProcesses):
    """Losses, failures and cancellation."""

    @pytest.mark.parametrize("path", CUT_SHORT)
    def test_a_body_cut_short_is_an_error(
        self, downloader: Downloader, plain: str, path: str
    ) -> None:
        done = downloader.do(requests=[{"url": plain + path}] * 2)
        errors = [result["error"] for result in done["results"]]
        assert errors == ["ResponseDataLossError"] * 2
        assert done["log"].count("Got data loss") == 1

    @pytest.mark.parametrize("path", CUT_SHORT)
    @pytest.mark.parametrize("where", ["setting", "meta"])
    def test_a_body_cut_short_may_be_welcome(
        self, downloader: Downloader, plain: str, path: str, where: str
    ) -> None:
        settings = {"DOWNLOAD_FAIL_ON_DATALOSS": False} if where == "setting" else {}
        meta = {"download_fail_on_dataloss": False} if where == "meta" else {}
        result = downloader.get(plain + path, settings, meta=meta)
        assert body_of(result) == b"partial"
        assert result["flags"] == ["dataloss"]

    @pytest.mark.parametrize("path", NO_RESPONSE)
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

    def test_a_host_that_cannot_be_looked_up_is_told(
        self, downloader: Downloader
    ) -> None:
        # Twisted's resolver says nothing of such a name, asyncio's does.
        url = f"http://{'a' * 64}.invalid/"
        error = downloader.get(url, meta={"download_timeout": 0.3})["error"]
        assert error in {"CannotResolveHostError", "DownloadTimeoutError"}

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
