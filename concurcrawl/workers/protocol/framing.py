"""Frames messages on a socket: a length, then a pickle of known types."""

from __future__ import annotations

import asyncio
import contextlib
import io
import pickle
import selectors
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from scrapy.http import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from concurcrawl.workers.protocol.messages.directions import ToSupervisor, ToWorker

_LENGTH = struct.Struct("!Q")


def frame(message: ToWorker | ToSupervisor) -> bytes:
    """Return *message* as bytes for a socket: length, then pickle."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def connect(
    sock: socket.socket, protocol: Callable[[], asyncio.Protocol]
) -> asyncio.Transport:
    """Hand *sock* to the running event loop; return its transport."""
    loop = asyncio.get_running_loop()
    if sock.family == getattr(socket, "AF_UNIX", None):
        transport, _ = await loop.create_unix_connection(protocol, sock=sock)
    else:
        transport, _ = await loop.create_connection(protocol, sock=sock)
    return transport


def send_now(sock: socket.socket, transport: asyncio.Transport, data: bytes) -> bool:
    """Send *data* over *sock*, the socket of *transport*, without the event loop.

    Returns:
        Whether it was sent now. If other data waits in *transport*, it waits behind it.
    """
    is_free = not transport.get_write_buffer_size()
    if is_free:
        with contextlib.suppress(OSError):  # full, or lost, which the transport notices
            data = data[sock.send(data) :]
    if data:
        transport.write(data)
    return is_free


def messages(sock: socket.socket, frames: Frames, timeout_s: float) -> Iterator[Any]:
    """Yield messages that arrive on *sock* within *timeout_s* seconds; blocks.

    Messages that are left in *frames* when the caller stops are returned by its next
    ``feed()``, also with no data.
    """
    deadline_s = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while selector.select(max(0, deadline_s - time.monotonic())):
            data = sock.recv(1 << 16)
            if not data:  # closed, which the event loop notices
                return
            yield from frames.feed(data)


class Frames:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Add *data* and yield each message that is complete with it.

        Raises:
            pickle.UnpicklingError: If a message holds an object of another type.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer)[_LENGTH.size : end] as body:
                file = io.BytesIO(body)
            del self._buffer[:end]
            yield _MessageUnpickler(file).load()


class _MessageUnpickler(pickle.Unpickler):
    """Accepts the types that messages consist of, and no others.

    Requests and items of a project are inside as bytes, for :class:`Codec`.
    """

    def find_class(self, module: str, name: str) -> Any:
        found = _found.get((module, name))
        if found is None:
            found = _found[module, name] = self._find(module, name)
        return found

    def _find(self, module: str, name: str) -> Any:
        if module in _MESSAGE_MODULES or (module, name) in _MESSAGE_TYPES:
            return super().find_class(module, name)
        found = super().find_class(module, name)
        if isinstance(found, type) and issubclass(found, Response | Exception):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a message")


#: Types found so far, by module and name.
_found: dict[tuple[str, str], Any] = {}

_MESSAGE_MODULES = {
    "concurcrawl.errors",
    "concurcrawl.limits.limiter",
    "concurcrawl.integrations.receivers",
    "concurcrawl.tracing.record",
    "concurcrawl.workers.protocol.cookies",
    "concurcrawl.workers.protocol.messages.leases",
    "concurcrawl.workers.protocol.messages.lifecycle",
    "concurcrawl.workers.protocol.messages.limits",
    "concurcrawl.workers.protocol.messages.questions",
    "concurcrawl.workers.protocol.messages.results",
    "concurcrawl.workers.protocol.messages.signals",
    "concurcrawl.workers.protocol.messages.state",
}
_MESSAGE_TYPES = {
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("concurcrawl.watchdog.stall", "Waiting"),
    ("copyreg", "__newobj__"),
    ("copyreg", "_reconstructor"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("decimal", "Decimal"),
    ("http.cookiejar", "Cookie"),
    # Dask has every exception pickled with its traceback, in a process that imports it.
    ("tblib", "Code"),
    ("tblib", "Frame"),
    ("tblib", "Traceback"),
    ("tblib.pickling_support", "unpickle_exception"),
    ("tblib.pickling_support", "unpickle_exception_with_attrs"),
    ("tblib.pickling_support", "unpickle_traceback"),
}
