"""Easy handles of libcurl: each keeps its connections, one transfer uses it at a time.

libcurl can also share one connection cache between handles, but not between threads
(https://curl.se/libcurl/c/CURLSHOPT_SHARE.html), so handles are lent instead.
"""

from __future__ import annotations

import socket
import ssl
from collections import OrderedDict
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

import pycurl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from concurcrawl.curl import Option, Route

#: Connections that one handle keeps open; libcurl's own default, made explicit.
MAX_CONNECTIONS = 5


class CurlClient:
    """One easy handle and the connections it keeps.

    Used by one thread at a time, except :meth:`hang_up`.

    Attributes:
        route: What its connections have in common.
        origins: The hosts it reached last.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.origins: OrderedDict[str, None] = OrderedDict()
        self._curl = pycurl.Curl()
        self._certificates: OrderedDict[int, bytes | None] = OrderedDict()
        self._sockets: set[int] = set()
        self._lock = Lock()
        self._hung_up = False

    def perform(
        self,
        origin: str,
        options: Iterable[Option],
        on_header: Callable[[bytes], object],
        on_chunk: Callable[[bytes], object],
    ) -> None:
        """Make one request and block until it is answered or fails.

        Args:
            origin: Where it goes.
            options: All that libcurl must know of it.
            on_header: Gets each line before the body; -1 ends the transfer.
            on_chunk: Gets each part of the body; -1 ends the transfer.

        Raises:
            pycurl.error: If libcurl gives up.
        """
        curl = self._curl
        curl.reset()  # forgets the options, keeps the connections
        curl.setopt(pycurl.USERAGENT, "")  # pycurl names itself otherwise
        curl.setopt(pycurl.SOCKOPTFUNCTION, self._opened)
        curl.setopt(pycurl.CLOSESOCKETFUNCTION, self._closed)
        curl.setopt(pycurl.MAXCONNECTS, MAX_CONNECTIONS)
        curl.setopt(pycurl.HEADERFUNCTION, on_header)
        curl.setopt(pycurl.WRITEFUNCTION, on_chunk)
        for option, value in options:
            curl.setopt(option, value)
        self.origins[origin] = None
        self.origins.move_to_end(origin)
        if len(self.origins) > MAX_CONNECTIONS:
            self.origins.popitem(last=False)
        curl.perform()

    @property
    def connects(self) -> int:
        """Connections that the last request opened."""
        return int(self._curl.getinfo(pycurl.NUM_CONNECTS))

    @property
    def ip_address(self) -> str:
        """Address of the peer, the proxy if there is one; empty if never connected."""
        return str(self._curl.getinfo(pycurl.PRIMARY_IP))

    def certificate(self) -> bytes | None:
        """Return the peer's certificate (DER) of the connection in use, or None."""
        connection = self._curl.getinfo(pycurl.CONN_ID)
        # libcurl tells it at the handshake only; a kept connection has none to tell.
        if connection not in self._certificates:
            self._certificates[connection] = _der(
                self._curl.getinfo_raw(pycurl.INFO_CERTINFO)
            )
            if len(self._certificates) > 2 * MAX_CONNECTIONS:
                self._certificates.popitem(last=False)
        return self._certificates[connection]

    def hang_up(self) -> None:
        """End what is under way, from any thread; the blocked thread returns at once.

        Ending the sockets is what wakes libcurl: its progress callback comes once a
        second while nothing arrives, and costs the GIL on each read while it does.
        """
        with self._lock:
            self._hung_up = True
            for descriptor in self._sockets:
                borrowed = socket.socket(fileno=descriptor)
                with suppress(OSError):  # not connected yet, or no longer
                    borrowed.shutdown(socket.SHUT_RDWR)
                borrowed.detach()  # libcurl closes it

    def close(self) -> None:
        """Close the connections; nothing may be under way."""
        self._curl.close()

    def _opened(self, descriptor: int, _purpose: int) -> int:
        with self._lock:
            if self._hung_up:  # libcurl tries the next address, or once more
                return int(pycurl.SOCKOPT_ERROR)
            self._sockets.add(descriptor)
        return int(pycurl.SOCKOPT_OK)

    def _closed(self, descriptor: int) -> int:
        # Under the lock, or hang_up might end a stranger's socket that was given the
        # same number meanwhile.
        with self._lock:
            self._sockets.discard(descriptor)
            socket.close(descriptor)
        return 0


def _der(chain: Sequence[Sequence[tuple[Any, ...]]]) -> bytes | None:
    for pairs in chain:
        for name, value in pairs:
            if name in {b"Cert", "Cert"}:
                text = value if isinstance(value, str) else value.decode("ascii")
                return ssl.PEM_cert_to_DER_cert(text.strip())
    return None


class ClientPool:
    """Idle handles, lent and returned by any thread.

    Invariant: at most *size* are kept, the longest unused goes first.

    Args:
        size: Idle handles to keep.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._idle: list[CurlClient] = []
        self._lock = Lock()
        self._is_closed = False

    def lend(self, route: Route, origin: str) -> CurlClient:
        """Return a handle for *route*, a warm one if there is one."""
        with self._lock:
            index = choose(
                [(client.route, client.origins) for client in self._idle], route, origin
            )
            if index is not None:
                return self._idle.pop(index)
        return CurlClient(route)

    def take_back(self, client: CurlClient) -> None:
        """Keep *client* for the next request that it suits."""
        surplus = None
        with self._lock:
            if self._is_closed:
                surplus = client
            else:
                self._idle.append(client)
                if len(self._idle) > self._size:
                    surplus = self._idle.pop(0)
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close the idle handles; those that are lent are closed when they return."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()


def choose(
    idle: Sequence[tuple[Route, Iterable[str]]], route: Route, origin: str
) -> int | None:
    """Return which idle handle suits a request best, None if none does.

    The one that was used last for this host, because its connection is the least
    likely to have been closed; else the one used last, because a host more is cheap.

    Args:
        idle: Route and known hosts of each, the longest unused first.
        route: Only handles with this very route may be taken.
        origin: The host.
    """
    fitting = [index for index, (own, _) in enumerate(idle) if own == route]
    warm = [index for index in fitting if origin in idle[index][1]]
    return next(reversed(warm or fitting), None)
