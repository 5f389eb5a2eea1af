from __future__ import annotations

import http.client
import os
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tldextract.cache import get_cache_dir

from concurcrawl.tools.testsite.process import SiteProcess
from concurcrawl.tools.testsite.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWER_S = 30.0
SITE = Site()  # one for all: each makes a stock of sentences first


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


class Client:
    """One kept-alive connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self.http: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl._create_unverified_context()  # the certificate is unknown
            self.http = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=ANSWER_S, context=context
            )
        else:
            self.http = http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=ANSWER_S
            )

    def send(self, path: str, method: str = "GET", **headers: str) -> None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.http.request(method, path, headers=named)

    def receive(self) -> Answer:
        response = self.http.getresponse()
        headers = {name.lower(): text for name, text in response.getheaders()}
        return Answer(response.status, headers, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        self.send(path, **headers)
        return self.receive()

    def head(self, path: str, **headers: str) -> Answer:
        self.send(path, "HEAD", **headers)
        return self.receive()


def wait_until(is_so: Callable[[], bool], deadline_s: float = ANSWER_S) -> None:
    """Return as soon as it is so.

    Raises:
        TimeoutError: If it is not before the deadline.
    """
    end = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


@contextmanager
def connected(url: str) -> Iterator[Client]:
    client = Client(url)
    try:
        yield client
    finally:
        client.http.close()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache; they share one, so it is made once."""
    with pytest.MonkeyPatch.context() as patch:
        # Crawls of other tests find the public suffixes where they were.
        patch.setitem(os.environ, "TLDEXTRACT_CACHE", get_cache_dir())
        patch.setitem(
            os.environ, "XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache"))
        )
        yield


@pytest.fixture(scope="session")
def shared_testsite(_own_cache: None) -> Iterator[SiteProcess]:
    with SiteProcess() as testsite:
        yield testsite


@pytest.fixture
def testsite(shared_testsite: SiteProcess) -> SiteProcess:
    """A plain test site that has counted nothing yet."""
    shared_testsite.reset()
    return shared_testsite


@pytest.fixture
def client(testsite: SiteProcess) -> Iterator[Client]:
    with connected(testsite.url) as client:
        yield client
