"""libcurl on an asyncio loop, against a server of a few lines in the same loop."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import pycurl
import pytest
from scrapy.utils.misc import load_object
from typing_extensions import override

from concurcrawl.http.multi import AsyncMulti

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, None]], None]

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DEADLINE_S = 30
LONG_BYTES = 1 << 24


class Server:
    """Answers each request, or none.

    Attributes:
        connections: Those that were opened.
        open: Those that are open.
        asked: Set by the first request.
    """

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.connections = 0
        self.open = 0
        self.asked = asyncio.Event()
        self.url = ""


class Served(asyncio.Protocol):
    """One connection to a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.server.connections += 1
        self.server.open += 1

    @override
    def data_received(self, data: bytes) -> None:
        self.server.asked.set()
        if self.server.answers:
            self.transport.write(ANSWER)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.server.open -= 1


@asynccontextmanager
async def serving(*, answers: bool = True) -> AsyncIterator[tuple[Server, AsyncMulti]]:
    server = Server(answers=answers)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Served(server), "127.0.0.1")
    server.url = "http://{}:{}/".format(*listening.sockets[0].getsockname())
    multi = AsyncMulti(4)
    try:
        yield server, multi
    finally:
        multi.close()
        listening.close()


async def get(multi: AsyncMulti, url: str, timeout_s: float = DEADLINE_S) -> bytes:
    found = bytearray()
    with multi.handle() as handle:
        handle.prepare([(pycurl.URL, url)], lambda _: None, found.extend)
        await multi.perform(handle, timeout_s)
    return bytes(found)


def answer_at_length(listening: socket.socket) -> None:
    """Answer one request with more than libcurl reads in one turn of the loop."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(1 << 16)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG_BYTES
        connection.sendall(head + bytes(LONG_BYTES))


@pytest.fixture(params=["asyncio.SelectorEventLoop", "uvloop.Loop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(crawl: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=load_object(request.param)) as runner:
            runner.run(asyncio.wait_for(crawl, DEADLINE_S))

    return run


async def until_closed(server: Server) -> None:
    while server.open:  # noqa: ASYNC110 - the server tells of nothing
        await asyncio.sleep(0.01)


def test_transfers_share_connections(run: Run) -> None:
    async def crawl() -> None:
        async with serving() as (server, multi):
            for _ in range(3):
                assert await get(multi, server.url) == b"ok"
            assert server.connections == 1
            both = await asyncio.gather(*[get(multi, server.url) for _ in range(2)])
            assert both == [b"ok", b"ok"]
            assert server.connections == 2  # each serves one transfer at a time

    run(crawl())


def test_a_transfer_that_takes_too_long_ends_and_its_connection_too(run: Run) -> None:
    async def crawl() -> None:
        async with serving(answers=False) as (server, multi):
            with pytest.raises(pycurl.error) as caught:
                await get(multi, server.url, 0.2)
            assert caught.value.args[0] == pycurl.E_OPERATION_TIMEDOUT
            await until_closed(server)

    run(crawl())


def test_a_cancelled_transfer_closes_its_connection(run: Run) -> None:
    async def crawl() -> None:
        async with serving(answers=False) as (server, multi):
            task = asyncio.ensure_future(get(multi, server.url))
            await server.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_closed(server)

    run(crawl())


def test_closing_aborts_what_is_running(run: Run) -> None:
    async def crawl() -> None:
        async with serving(answers=False) as (server, multi):
            task = asyncio.ensure_future(get(multi, server.url))
            await server.asked.wait()
            multi.close()
            with pytest.raises(pycurl.error) as caught:
                await task
            assert caught.value.args[0] == pycurl.E_ABORTED_BY_CALLBACK
            await until_closed(server)

    run(crawl())


def test_a_transfer_goes_on_after_the_loop_was_blocked(run: Run) -> None:
    async def crawl() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = Thread(target=answer_at_length, args=(listening,))
            thread.start()
            multi = AsyncMulti(1)
            url = "http://{}:{}/".format(*listening.getsockname())
            task = asyncio.ensure_future(get(multi, url, 1))
            await asyncio.sleep(0)  # it begins
            time.sleep(2)  # noqa: ASYNC251 - a callback that blocks
            assert len(await task) == LONG_BYTES
            multi.close()
            thread.join()

    run(crawl())


def test_the_time_of_one_transfer_does_not_end_the_next(run: Run) -> None:
    async def crawl() -> None:
        async with serving() as (server, multi):
            with multi.handle() as handle:
                handle.prepare([(pycurl.URL, server.url)], lambda _: None, len)
                first = asyncio.ensure_future(multi.perform(handle, 0.2))
                await server.asked.wait()
                time.sleep(0.5)  # noqa: ASYNC251 - its time is over, and extended
                await first
                server.answers = False
                second = asyncio.ensure_future(multi.perform(handle, DEADLINE_S))
                done, _ = await asyncio.wait([second], timeout=1)
                assert not done
                second.cancel()

    run(crawl())


def test_a_refused_connection_is_an_error(run: Run) -> None:
    async def crawl() -> None:
        async with serving() as (server, multi):
            with pytest.raises(pycurl.error) as caught:
                await get(multi, "http://127.0.0.1:1/")
            assert caught.value.args[0] == pycurl.E_COULDNT_CONNECT
            assert await get(multi, server.url) == b"ok"

    run(crawl())
