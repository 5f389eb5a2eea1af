"""What a worker brings after it was given up is refused, and its request done again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from concurcrawl.errors import LeaseReturnedError
from concurcrawl.frontier.base import Lease
from concurcrawl.workers.protocol.framing import frame
from concurcrawl.workers.protocol.messages.lifecycle import ImportPath, Ready
from concurcrawl.workers.protocol.messages.results import Product, RequestResult
from concurcrawl.workers.supervisor.pool import WorkerPool
from concurcrawl.workers.supervisor.starter import WorkerStarter
from concurcrawl.workers.supervisor.tolerance import Tolerance
from tests.support.fakes import settled
from tests.unit.workers.launch.cluster.test_listener import (
    DEADLINE_S,
    Listening,
    answer_pings,
    is_closed,
    listening,
)
from tests.unit.workers.supervisor.test_members import ElasticFakeLauncher
from tests.unit.workers.supervisor.test_pool import FakeEvents

if TYPE_CHECKING:
    import socket

    from concurcrawl.workers.launch.base import WorkerConnection
    from concurcrawl.workers.supervisor.worker_handle import Ended, WorkerHandle

ITEM = Product(is_item=True, payload=b"an item")


class ListeningLauncher(ElasticFakeLauncher):
    """Has the workers that come to a listener."""

    def __init__(self, here: Listening) -> None:
        super().__init__()
        self._here = here

    @override
    def start(self) -> WorkerConnection:
        return self._here.workers.get(timeout=DEADLINE_S)


def a_pool(here: Listening) -> WorkerPool:
    starter = WorkerStarter(ListeningLauncher(here), b"", ImportPath())
    starter.shares, starter.total = (1,), 1
    return WorkerPool(starter, (), 0, Tolerance(deaths=3, restarts=3), FakeEvents())


async def comes(pool: WorkerPool, data: socket.socket, pid: int) -> WorkerHandle:
    """Add the worker at the far end of *data*; return it once it is ready."""
    pool._members.arrived()
    worker = pool.workers[-1]
    data.sendall(frame(Ready(pid)))
    async with asyncio.timeout(DEADLINE_S):
        while worker.pid is None:  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0.01)
    return worker


async def lease(pool: WorkerPool) -> Ended:
    async with asyncio.timeout(DEADLINE_S):
        return await pool.dispatch(Lease(1, "a.example", b"", 0.0))


def answer_while_open(control: socket.socket) -> None:
    with contextlib.suppress(OSError):
        answer_pings(control, 1000)


def result(*products: Product) -> bytes:
    return frame(RequestResult(1, products=[*products]))


async def lose_and_do_again(here: Listening) -> list[Any]:
    """Return the items of a lease whose first worker is silent, then comes back."""
    pool = a_pool(here)
    with here.joined("control"), here.joined("data") as data:  # says no more
        first = await comes(pool, data, 1)
        with pytest.raises(LeaseReturnedError):
            await lease(pool)
        assert (pool.workers, first.is_gone) == ([], True)
        with contextlib.suppress(OSError):  # the network is back
            data.sendall(result(ITEM, ITEM))
        with here.joined("data") as again:
            assert is_closed(again), "its number has come to an end"
        with here.joined("control", number=8) as control:
            beats = threading.Thread(target=answer_while_open, args=(control,))
            beats.start()
            with here.joined("data", number=8) as second:
                worker = await comes(pool, second, 2)
                second.sendall(result(ITEM))
                found = await lease(pool)
                assert found[0] is worker
                pool.stop()
                second.close()
                while pool.workers:  # noqa: ASYNC110 - it has no event for it
                    await asyncio.sleep(0.01)
            control.shutdown(SHUT_RDWR)
            beats.join()
    pool._silence.stop()
    await settled()
    assert first.results.count == 0
    return [*found[2]]


def test_a_lost_worker_that_comes_back_is_refused_and_each_item_is_there_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with listening(timeout_s=0.8) as here:
        assert asyncio.run(lose_and_do_again(here)) == [ITEM]
    assert "worker-1@there (process 1) was lost with 1 request(s)" in caplog.text
