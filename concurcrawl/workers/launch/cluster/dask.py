"""Dask as the engine: its scheduler knows the machines, its workers run the agents.

An agent does not count as a task that keeps a thread busy: two crawls share a cluster
as two programs share a machine, and other tasks go on beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from distributed import (
    Client,
    LocalCluster,
    Security,
    Status,
    WorkerPlugin,
    get_worker,
    secede,
)
from typing_extensions import override

from concurcrawl.workers.launch.cluster import agent
from concurcrawl.workers.launch.cluster.dask_demand import Demand
from concurcrawl.workers.launch.cluster.engine import Engine, EngineLostError
from concurcrawl.workers.launch.cluster.order import Report

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from concurcrawl.workers.launch.cluster.order import Order

#: How long a Dask worker that is told to close waits for what crawlers hold.
_DRAIN_S = 60.0


class DaskEngine(Engine):
    """A Dask cluster, of which the address of the scheduler is known."""

    def __init__(self, address: str, timeout_s: float) -> None:
        """Make one.

        Args:
            address: Of the scheduler, ``tcp://`` or ``tls://``.
            timeout_s: How long connecting may take.
        """
        self.name = f"The Dask cluster at {address}"
        self._cluster: Any = address
        self._timeout_s = timeout_s
        self._client: Any = None
        self._demand: Demand | None = None
        quiet_dask()

    @override
    def listen_host(self) -> str:
        return own_address(self._cluster)

    @override
    def tls(self) -> ssl.SSLContext | None:
        if not str(self._cluster).startswith("tls://"):
            return None
        context: ssl.SSLContext = Security().get_listen_args("client")["ssl_context"]
        return context

    @override
    async def open(self) -> None:
        await self._disconnect()
        try:
            self._client = await Client(
                self._cluster,
                asynchronous=True,
                set_as_default=False,
                timeout=self._timeout_s,
                name="concurcrawl",
            )
        except (OSError, TypeError, ValueError) as error:  # no TLS where that is asked
            raise EngineLostError(_reason(error)) from error
        self._demand = Demand(self._client)

    @override
    async def places(self) -> Mapping[str, int]:
        if self._client.status != "running":
            raise EngineLostError("its scheduler has closed the connection")
        try:
            found: Mapping[str, int] = await asyncio.wait_for(
                self._client.nthreads(), self._timeout_s
            )
        except (OSError, AttributeError) as error:  # it has no connection for now
            raise EngineLostError(str(error)) from error
        return found

    @override
    async def want(self, missing: int) -> None:
        assert self._demand is not None
        try:
            await asyncio.wait_for(self._demand.set(missing), self._timeout_s)
        except Exception as error:  # of a client that has no connection, various ones
            raise EngineLostError(str(error)) from error

    @override
    async def run(self, place: str, order: Order) -> Report:
        future: Any = None
        try:
            future = self._client.submit(
                run_agent,
                order,
                key=f"concurcrawl-{order.key[:4].hex()}-{order.number}",
                workers=[place],
                pure=False,
                retries=0,
            )
            report: Report = await future
        except ImportError as error:
            problem = f"it has no concurcrawl ({error}): install it there"
            return Report(place, problem)
        except Exception as error:  # Dask passes on whatever was raised there
            raise EngineLostError(str(error)) from error
        finally:
            if future is not None:
                future.release()
        return report

    @override
    async def close(self) -> None:
        await self._disconnect()

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # whatever it was doing, it is over
                await asyncio.wait_for(client.close(), self._timeout_s)


class LocalDaskEngine(DaskEngine):
    """A cluster in this process, for trying: only the crawlers are processes."""

    is_local = True

    def __init__(self, workers: int, timeout_s: float) -> None:
        """Make one.

        Args:
            workers: How many places it has.
            timeout_s: How long connecting may take.
        """
        super().__init__("local", timeout_s)
        self._workers = workers

    @override
    def listen_host(self) -> str:
        return "127.0.0.1"

    @override
    async def open(self) -> None:
        if isinstance(self._cluster, str):
            self._cluster = await LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                processes=False,
                dashboard_address=None,
                asynchronous=True,
            )
        await super().open()

    @override
    async def want(self, missing: int) -> None:
        if missing:
            self._cluster.scale(self._workers)

    @override
    async def close(self) -> None:
        await super().close()
        if not isinstance(self._cluster, str):
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._cluster.close(), self._timeout_s)


def run_agent(order: Order) -> Report:
    """Be the task in a Dask worker: run the agent there."""
    worker: Any = get_worker()
    running = _running_agents(worker)
    with running.one_more():
        secede()
        return agent.run(
            order,
            worker.address,
            tls=_tls_of(worker) if order.has_tls else None,
            is_leaving=lambda: worker.status not in (Status.running, Status.paused),
        )


def _tls_of(worker: Any) -> ssl.SSLContext | None:
    context: ssl.SSLContext | None
    context = worker.security.get_connection_args("worker")["ssl_context"]
    return context


class _RunningAgents(WorkerPlugin):  # type: ignore[misc] # Dask has no types
    """Has a Dask worker that closes wait for the crawlers, which finish what they hold.

    Dask itself does not wait for what has left its threads.
    """

    name = "concurcrawl"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextlib.contextmanager
    def one_more(self) -> Any:
        """Count one crawler more, as long as this lasts."""
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1

    async def teardown(self, worker: Any) -> None:
        """Wait; Dask calls this when the worker closes."""
        deadline_s = time.monotonic() + _DRAIN_S
        while self._count and time.monotonic() < deadline_s:  # noqa: ASYNC110 - threads change it
            await asyncio.sleep(0.05)


_making = threading.Lock()


def _running_agents(worker: Any) -> _RunningAgents:
    with _making:
        found: _RunningAgents | None = worker.plugins.get(_RunningAgents.name)
        if found is None:
            found = worker.plugins[_RunningAgents.name] = _RunningAgents()
    return found


def quiet_dask() -> None:
    """Keep what Dask says to operators of clusters out of the crawl's log.

    What a crawl is told of its cluster is said in sentences of our own.
    """
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _reason(error: BaseException) -> str:
    """Return what was behind an error of Dask, which tells of its own objects."""
    reason = str(error)
    while error.__cause__ is not None:
        error = error.__cause__
        reason = getattr(error, "strerror", None) or str(error) or reason
    return reason


def own_address(address: str) -> str:
    """Return the address of this machine from which it reaches *address*."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 8786
    family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
        0
    ]
    with socket.socket(family, kind) as sock:
        sock.connect(target)  # of a datagram: nothing is sent
        found: str = sock.getsockname()[0]
    return found


def count_threads(address: str, timeout_s: float) -> int:
    """Return how many threads the cluster at *address* has; blocks.

    Raises:
        EngineLostError: If it cannot be reached.
    """

    async def ask() -> int:
        engine = DaskEngine(address, timeout_s)
        try:
            await engine.open()
            return sum((await engine.places()).values())
        finally:
            await engine.close()

    found: list[Any] = []

    def run() -> None:  # an event loop may run in the caller's thread
        try:
            found.append(asyncio.run(ask()))
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            found.append(error)

    # Ctrl-C ends the wait, and the process does not wait for it then.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    threads: int = found[0]
    return threads
