"""Where the workers of a cluster connect back to the supervisor.

It has a thread and an event loop of its own: a pipeline that blocks the crawl for a
minute must not look to other machines like a supervisor that is gone.

Each worker has two connections. Over the control connection its agent fetches the
project's archive, and both ends hear that the other is there. The data connection is
the worker's; once both ends have proved that they have the crawl's key it is handed on
as a plain socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from concurcrawl.errors import ClusterError
from concurcrawl.workers.launch.base import WorkerConnection
from concurcrawl.workers.launch.cluster import handshake

if TYPE_CHECKING:
    import ssl
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable

logger = logging.getLogger(__name__)

#: How long both ends may take to prove that they have the key.
_HANDSHAKE_S = 10.0
#: Heartbeats in the time after which silence counts as death.
_BEATS = 4
#: Exchanges of time before a worker is used; the quickest is the best.
_EXCHANGES = 5
#: How long it is waited for whether a worker has died or its machine was lost.
_VERDICT_S = 2.0


class Control:
    """The control connection of one worker. All attributes are plain values.

    Attributes:
        host: The worker's machine.
        has_ended: Whether the agent has said that the worker's process has ended.
        is_open: Whether the agent is there.
        mono_s: Seconds to add to the monotonic clock there to have ours.
        wall_s: Likewise for the wall clock.
    """

    def __init__(self, number: int, host: str, writer: StreamWriter) -> None:
        self.number = number
        self.host = host
        self.has_ended = False
        self.is_open = True
        self.mono_s = self.wall_s = 0.0
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._sent: dict[int, tuple[float, float]] = {}
        self._pings = 0
        self._quickest_s = float("inf")
        self.silent_for = 0  # heartbeats without an answer

    def ping(self) -> None:
        """Ask whether the agent is there, and for its clocks."""
        self._pings += 1
        self._sent = {self._pings: (time.monotonic(), time.time())}
        self.silent_for += 1
        self.send({"ping": self._pings})

    def answered(self, message: dict[str, Any]) -> None:
        """Take in the answer to a ping."""
        self.silent_for = 0
        asked = self._sent.pop(message["pong"], None)
        if asked is not None:
            now_s, wall_s = time.monotonic(), time.time()
            took_s = now_s - asked[0]
            if took_s <= self._quickest_s:
                self._quickest_s = took_s
                # Half way, the clocks there showed this.
                self.mono_s = (asked[0] + now_s) / 2 - float(message["mono"])
                self.wall_s = (asked[1] + wall_s) / 2 - float(message["wall"])
            self._quickest_s *= 1.05  # clocks drift: an old answer counts less

    def send(self, message: dict[str, Any], more: bytes = b"") -> None:
        """Send *message*."""
        if not self._writer.is_closing():
            self._writer.write(handshake.packed(message) + more)

    def kill(self) -> None:
        """Have the agent kill the worker; from any thread."""
        with contextlib.suppress(RuntimeError):  # the listener has ended, and it too
            self._loop.call_soon_threadsafe(self.send, {"kill": True})


class RemoteConnection(WorkerConnection):
    """The connection to a worker on another machine."""

    def __init__(
        self, sock: socket.socket, control: Control, *, is_local: bool
    ) -> None:
        super().__init__(sock)
        self.control = control
        self.host = control.host
        self._is_local = is_local
        self._is_killed = False

    @property
    @override
    def is_local(self) -> bool:
        return self._is_local

    @property
    @override
    def was_cut_off(self) -> bool:
        return not (self.control.has_ended or self._is_killed)

    @property
    @override
    def clock_offset_s(self) -> float:
        return 0.0 if self.is_local else self.control.mono_s

    @property
    @override
    def wall_offset_s(self) -> float:
        return 0.0 if self.is_local else self.control.wall_s

    @override
    def when_certain(self, lost: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _VERDICT_S

        def look() -> None:
            control = self.control
            if control.has_ended or not control.is_open or loop.time() > deadline_s:
                lost()
            else:
                loop.call_later(0.02, look)

        look()

    @override
    def kill(self, pid: int | None) -> None:
        self._is_killed = True
        self.control.kill()


class ClusterListener:
    """Takes the connections of one crawl's workers.

    Attributes:
        address: Where it listens, as host and port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
        is_local: bool = False,
    ) -> None:
        """Listen.

        Args:
            host: Address of this machine that workers connect to.
            port: 0 for any that is free.
            timeout_s: Silence after which a worker counts as dead.
            tls: Of the server, if the cluster has TLS.
            is_local: Whether all workers are on this machine.

        Raises:
            ClusterError: If it cannot listen there.
        """
        self.key = handshake.new_key()
        self._socket = listening(host, port)
        self.address = (host, self._socket.getsockname()[1])
        self._timeout_s = timeout_s
        self._tls = tls
        self._is_local = is_local
        self._controls: dict[int, Control] = {}
        self._archive = b""
        self._on_worker: Callable[[RemoteConnection], None] = lambda _: None
        self._on_leaving: Callable[[RemoteConnection], None] = lambda _: None
        self._connections: dict[int, RemoteConnection] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(
            target=self._run, daemon=True, name="cluster-listener"
        )

    def start(
        self,
        archive: bytes,
        on_worker: Callable[[RemoteConnection], None],
        on_leaving: Callable[[RemoteConnection], None],
    ) -> None:
        """Begin.

        Args:
            archive: The project's.
            on_worker: Told, in the listener's thread, of each worker that has come.
            on_leaving: Told of each whose machine goes away.
        """
        self._archive = archive
        self._on_worker = on_worker
        self._on_leaving = on_leaving
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def close(self) -> None:
        """Close all connections; the agents end their workers then."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        with contextlib.suppress(RuntimeError):  # stopped before it had begun
            loop.run_until_complete(
                asyncio.start_server(self._meet, sock=self._socket, ssl=self._tls)
            )
            loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    async def _meet(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Take one connection: prove the key first, then do what it is for."""
        peer = writer.get_extra_info("peername")
        is_known = False
        try:
            async with asyncio.timeout(_HANDSHAKE_S):
                await handshake.accept(reader, writer, self.key)
                hello = await handshake.next_message(reader)
            is_known = True
            if hello["role"] == "control":
                await self._control(hello, reader, writer)
            else:
                await self._data(int(hello["number"]), reader, writer)
        except (OSError, EOFError, TimeoutError) as error:
            if is_known:
                return  # it has ended, as each does
            logger.debug("A connection from %s is refused: %s", peer, error)
        except (KeyError, TypeError, ValueError):
            logger.debug("A connection from %s is refused: no message of ours", peer)
        except asyncio.CancelledError:  # the crawl has ended; asyncio would log it
            pass
        finally:
            # At once: what waits to be sent to a wrong end is not worth a wait.
            writer.transport.abort()

    async def _control(
        self, hello: dict[str, Any], reader: StreamReader, writer: StreamWriter
    ) -> None:
        control = Control(int(hello["number"]), str(hello["host"]), writer)
        self._controls[control.number] = control
        beats = asyncio.ensure_future(self._beat(control, writer))
        try:
            for _ in range(_EXCHANGES):
                control.ping()
                while control.silent_for:  # the beats end what never answers
                    self._hear(control, await handshake.next_message(reader))
            while True:
                self._hear(control, await handshake.next_message(reader))
        finally:
            beats.cancel()
            control.is_open = False
            del self._controls[control.number]
            connection = self._connections.pop(control.number, None)
            if connection is not None and not control.has_ended:
                # Whatever it brings later is not read.
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    async def _beat(self, control: Control, writer: StreamWriter) -> None:
        while control.silent_for <= _BEATS:
            await asyncio.sleep(self._timeout_s / _BEATS)
            control.ping()
        logger.warning(
            "Nothing has come from %s for %g s: its worker counts as lost.",
            control.host,
            self._timeout_s,
        )
        writer.transport.abort()

    def _hear(self, control: Control, message: dict[str, Any]) -> None:
        if "pong" in message:
            control.answered(message)
        elif "need" in message:
            control.send({"archive": len(self._archive)}, self._archive)
        elif "ended" in message:
            control.has_ended = True
        elif "leaving" in message and control.number in self._connections:
            self._on_leaving(self._connections[control.number])

    async def _data(
        self, number: int, reader: StreamReader, writer: StreamWriter
    ) -> None:
        """Hand the connection on."""
        control = self._controls[number]
        if self._tls is None:
            theirs = writer.get_extra_info("socket")
            # Nothing comes before we have sent something: no byte is left in here.
            sock = socket.socket(fileno=os.dup(theirs.fileno()))
            sock.setblocking(True)
            self._hand_on(sock, control)
            return
        ours, sock = socket.socketpair()
        self._hand_on(sock, control)
        near_reader, near_writer = await asyncio.open_connection(sock=ours)
        try:
            await asyncio.wait(
                [
                    asyncio.ensure_future(_pump(reader, near_writer)),
                    asyncio.ensure_future(_pump(near_reader, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            for one in (writer, near_writer):
                with contextlib.suppress(OSError):
                    await one.drain()
        finally:
            near_writer.close()

    def _hand_on(self, sock: socket.socket, control: Control) -> None:
        connection = RemoteConnection(sock, control, is_local=self._is_local)
        self._connections[control.number] = connection
        self._on_worker(connection)


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Where the address is not one of this machine (workers come in through a forwarded
    port, say) it listens on all of this machine's.

    Raises:
        ClusterError: If it cannot.
    """
    try:
        try:
            return socket.create_server((host, port), family=_family(host))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
        return socket.create_server(("", port))
    except OSError as error:
        raise ClusterError(
            f"the crawl cannot listen for workers at {host}:{port} ({error}): set "
            "CONCURCRAWL_CLUSTER_LISTEN=host:port to a free address of this machine"
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
