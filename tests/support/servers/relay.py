"""A network that can be cut: connections through it stay open, and nothing comes."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOST = "127.0.0.1"


class Relays:
    """Passes on connections to ports of loopback, while it is not cut.

    What was sent meanwhile arrives once it is mended, as TCP does it.
    """

    def __init__(self) -> None:
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._sockets: list[socket.socket] = []

    def to(self, port: int) -> int:
        """Return a port whose connections are passed on to *port*."""
        listener = socket.create_server((_HOST, 0))
        self._sockets.append(listener)
        self._start(self._accept, listener, port)
        near: int = listener.getsockname()[1]
        return near

    def cut(self) -> None:
        """Let nothing through; neither end is told."""
        self._is_whole.clear()

    def mend(self) -> None:
        """Let everything through again, also what has waited."""
        self._is_whole.set()

    def close(self) -> None:
        """End all connections."""
        self.mend()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        threading.Thread(target=target, args=args, daemon=True).start()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = listener.accept()
                self._start(self._connect, near, port)

    def _connect(self, near: socket.socket, port: int) -> None:
        self._is_whole.wait()
        with suppress(OSError):
            far = socket.create_connection((_HOST, port))
            self._sockets += [near, far]
            self._start(self._pass_on, near, far)
            self._pass_on(far, near)
            return
        near.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while True:
                chunk = source.recv(1 << 16)
                self._is_whole.wait()
                if not chunk:
                    break
                target.sendall(chunk)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def relays() -> Iterator[Relays]:
    """Yield relays that are closed at the end."""
    found = Relays()
    try:
        yield found
    finally:
        found.close()


def free_port() -> int:
    """Return a port of loopback that nothing listens at."""
    with socket.create_server((_HOST, 0)) as sock:
        port: int = sock.getsockname()[1]
    return port
