"""One transfer, whose client is none of libcurl's."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.settings import Settings

from concurcrawl.http import curl_options
from concurcrawl.http.plan import TransferLimits, TransferPlan
from concurcrawl.http.transfer import Transfer, TransferContext

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "http://a.example/big"
CHUNK = b"\0" * 16_384
CHUNKS = 1_000


class FakeClients:
    """Both a pool and its only client, which has a big body to give."""

    connects = 0
    connect_s = 0.0
    is_spent = False
    ip_address = "127.0.0.1"

    def __init__(self) -> None:
        self.misread: set[str] = set()

    def acquire(self, *_: object) -> FakeClients:
        return self

    def release(self, client: FakeClients) -> None: ...

    def perform(
        self,
        origin: str,
        options: object,
        on_header: Callable[[bytes], object],
        on_chunk: Callable[[bytes], object],
    ) -> None:
        on_header(b"HTTP/1.1 200 OK\r\n")
        on_header(b"Content-Length: %d\r\n" % (len(CHUNK) * CHUNKS))
        on_header(b"\r\n")
        for _ in range(CHUNKS):
            on_chunk(bytes(bytearray(CHUNK)))  # each is bytes of its own


class InThisThread:
    async def run(self, blocking: Callable[[], Any]) -> Any:
        return blocking()


def test_a_big_body_is_in_memory_once() -> None:
    request = Request(URL)
    plan = TransferPlan(
        request=request,
        target=curl_options.target_of(URL),
        route=curl_options.route_of(request, None),
        options=[],
        limits=TransferLimits.from_settings(Settings()),
        timeout_s=60,
        left_s=60,
        signals=frozenset(),
        wraps_certificate=False,
        logs_tls=False,
        inflates=False,
    )
    clients: Any = FakeClients()
    threads: Any = InThisThread()
    context = TransferContext(clients, threads, lambda *_, **__: None)
    transfer = Transfer(plan, context)
    tracemalloc.start()
    try:
        response = asyncio.run(transfer.respond())
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = len(CHUNK) * CHUNKS
    assert response.body == CHUNK * CHUNKS
    assert left < 1.1 * size
    assert most < 1.5 * size
