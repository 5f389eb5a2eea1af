"""A worker's connection while its engine does not run yet."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import Any

import pytest

from concurcrawl.workers.protocol.framing import Frames, frame
from concurcrawl.workers.protocol.messages.leases import Dispatch, Returned
from concurcrawl.workers.worker.connection import Connection, MessageDispatcher

LOOPS = ["asyncio", "uvloop"]


async def open_with_a_message() -> None:
    """Open a connection whose other end has sent a lease; the handler returns it."""
    near, far = socket.socketpair()
    with closing(near), closing(far):
        far.sendall(frame(Dispatch(7, 0.0, b"")))
        connection = Connection(near)
        seen: list[int] = []

        def on_dispatch(message: Dispatch) -> None:
            seen.append(message.lease_id)
            connection.send(Returned((message.lease_id,)))

        handlers: Any = {Dispatch: on_dispatch}
        lost = asyncio.Event()
        await connection.open(
            MessageDispatcher(connection, handlers, lambda: None, lost.set)
        )
        for _ in range(10):
            await asyncio.sleep(0)
        assert seen == []
        connection.start_reading()
        far.setblocking(False)
        loop = asyncio.get_running_loop()
        data = await asyncio.wait_for(loop.sock_recv(far, 1 << 16), 30)
        assert list(Frames().feed(data)) == [Returned((7,))]
        far.close()  # with it the transport closes, which else warns when it is freed
        await asyncio.wait_for(lost.wait(), 30)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_arrives_early_is_handled_once_the_engine_runs(loop: str) -> None:
    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        uvloop.run(open_with_a_message())
    else:
        asyncio.run(open_with_a_message())
