"""Servers and a downloader as processes, and what comes of a download."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Far more than anything here takes; only so that a hang fails instead of hanging.
DEADLINE_S = 60
CERTIFICATE_NAME = "CN=throw-away"


class Downloader:
    """A process that downloads; see ``tests/support/servers/downloader.py``."""

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
        with started("tests.support.servers.web") as process:
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
        with started("tests.support.servers.proxy") as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().strip()
            finally:
                process.kill()

    @pytest.fixture(scope="class")
    @classmethod
    def downloader(cls) -> Iterator[Downloader]:
        with started(
            "tests.support.servers.downloader", cls.handler, cls.loop
        ) as process:
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
