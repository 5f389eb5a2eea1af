"""Easy handles of libcurl, each of which serves one transfer at a time.

In threads each handle keeps its own connections. libcurl can also share one connection
cache between handles, but not between threads
(https://curl.se/libcurl/c/CURLSHOPT_SHARE.html), so transfers acquire handles from a
pool instead.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import time
from collections import OrderedDict
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import pycurl
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from concurcrawl.http.curl_options import Option, Route
    from concurcrawl.http.lenient_parser import ResponseReader

_T = TypeVar("_T")

#: All handles of the process: libcurl's global state may be renewed only without any.
_open_handles: WeakSet[CurlHandle] = WeakSet()
_key_log = os.environ.get("SSLKEYLOGFILE")  # libcurl reads it when it is imported


def renew_key_log() -> None:
    """Let libcurl read ``SSLKEYLOGFILE`` again if it has changed.

    Scrapy reads it for each handler, libcurl once per process. It is not read again
    while a handle is open, because a restart of libcurl would break that handle.

    Raises:
        OSError: If the file cannot be written.
    """
    global _key_log  # noqa: PLW0603 - libcurl's own state is global
    name = os.environ.get("SSLKEYLOGFILE")
    if name != _key_log and not _open_handles:
        pycurl.global_cleanup()
        pycurl.global_init(pycurl.GLOBAL_ALL)
        _key_log = name
    if name:
        with Path(name).open("ab"):
            pass


#: Bytes that are read at once. With libcurl's 16 kB, a file of 50 MB took a third more
#: CPU; more than this gained nothing.
_READ_BYTES = 1 << 18

#: Connections that one handle keeps open; libcurl's own default, made explicit.
MAX_CONNECTIONS = 5


class Certificates:
    """Certificates (DER) of servers, by libcurl's number of the connection.

    libcurl has a certificate after a full handshake only: not on a kept connection, nor
    on a new one that resumes a TLS session of an earlier one. That one's certificate
    counts there, as in Twisted.

    Args:
        most: Connections and hosts to remember; the oldest are forgotten first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_connections: OrderedDict[int, bytes | None] = OrderedDict()
        self._of_origins: OrderedDict[str, bytes] = OrderedDict()

    def note(self, curl: pycurl.Curl, origin: str) -> None:
        """Remember the certificate of the connection that *curl* has just opened."""
        der = _der(curl.getinfo_raw(pycurl.INFO_CERTINFO))
        if der is None:
            der = self._of_origins.get(origin)
        else:
            self._of_origins[origin] = der
        self._of_connections[curl.getinfo(pycurl.CONN_ID)] = der
        for known in (self._of_connections, self._of_origins):
            if len(known) > self._most:
                known.popitem(last=False)

    def of(self, curl: pycurl.Curl) -> bytes | None:
        """Return the peer's certificate in the last transfer of *curl*, or None."""
        return self._of_connections.get(curl.getinfo(pycurl.CONN_ID))


class CurlHandle:
    """One easy handle, and what libcurl knows of its last transfer.

    Attributes:
        curl: libcurl's object.

    Args:
        certificates: Of the connections that the handle uses.
    """

    def __init__(self, certificates: Certificates) -> None:
        self.curl = pycurl.Curl()
        self._certificates = certificates
        _open_handles.add(self)

    def prepare(
        self,
        options: Iterable[Option],
        on_header: Callable[[bytes], object],
        on_chunk: Callable[[bytes], object],
    ) -> None:
        """Set the options of the next transfer; those of the last are forgotten.

        Args:
            options: Those of libcurl that differ between transfers.
            on_header: Called with each line before the body; -1 ends the transfer.
            on_chunk: Called with each part of the body; -1 ends the transfer.
        """
        self._reset()
        for option, value in options:
            self.curl.setopt(option, value)
        self.curl.setopt(pycurl.HEADERFUNCTION, on_header)
        self.curl.setopt(pycurl.WRITEFUNCTION, on_chunk)

    @property
    def connects(self) -> int:
        """Connections that the last transfer opened."""
        return int(self.curl.getinfo(pycurl.NUM_CONNECTS))

    @property
    def connect_s(self) -> float:
        """Seconds that the last transfer took to connect; 0 on a kept connection."""
        if not self.connects:
            return 0.0
        tls_s = float(self.curl.getinfo(pycurl.APPCONNECT_TIME))
        return tls_s or float(self.curl.getinfo(pycurl.CONNECT_TIME))

    @property
    def ip_address(self) -> str:
        """Address of the peer, or of the proxy; empty if never connected."""
        return str(self.curl.getinfo(pycurl.PRIMARY_IP))

    def note_certificate(self, origin: str) -> None:
        """Remember the certificate of *origin* if the last transfer has connected.

        After each transfer, also one that failed: the next may resume its TLS session.
        """
        if self.connects:
            self._certificates.note(self.curl, origin)

    def certificate(self) -> bytes | None:
        """Return the peer's certificate (DER) of the connection in use, or None."""
        return self._certificates.of(self.curl)

    def close(self) -> None:
        """Free it; no transfer may be in progress."""
        self.curl.close()
        _open_handles.discard(self)

    def _reset(self) -> None:
        self.curl.reset()  # forgets the options, keeps the connections
        self.curl.setopt(pycurl.USERAGENT, "")  # the default is pycurl's name
        self.curl.setopt(pycurl.BUFFERSIZE, _READ_BYTES)


class CurlClient(CurlHandle):
    """A handle that blocks its thread, and the connections it keeps.

    Used by one thread at a time, except :meth:`hang_up`. Closing it closes the
    connections.

    Attributes:
        route: Proxy and local address of its connections.
        origins: The hosts of its last requests.
        is_spent: Whether it must be closed instead of being used again.
    """

    def __init__(self, route: Route) -> None:
        super().__init__(Certificates(2 * MAX_CONNECTIONS))
        self.route = route
        self.origins: OrderedDict[str, None] = OrderedDict()
        self._sockets: set[int] = set()
        self._lock = Lock()
        self._hung_up = False
        self.is_spent = False

    def perform(
        self,
        origin: str,
        options: Iterable[Option],
        on_header: Callable[[bytes], object],
        on_chunk: Callable[[bytes], object],
    ) -> None:
        """Make one request; block until it is answered or fails.

        Args:
            origin: Scheme, host and port.
            options: As for :meth:`prepare`.
            on_header: As for :meth:`prepare`.
            on_chunk: As for :meth:`prepare`.

        Raises:
            pycurl.error: If libcurl gives up.
        """
        self.prepare(options, on_header, on_chunk)
        self.origins[origin] = None
        self.origins.move_to_end(origin)
        if len(self.origins) > MAX_CONNECTIONS:
            self.origins.popitem(last=False)
        self.curl.perform()

    def exchange(
        self,
        options: Iterable[Option],
        message: bytes,
        reader: ResponseReader,
        deadline_s: float,
    ) -> None:
        """Connect, send *message* and let *reader* parse the answer.

        The connection cannot be used again. Raises as :meth:`perform` does.

        Args:
            options: Options of the connection.
            message: The request as bytes.
            reader: Parses the response and knows when it is complete.
            deadline_s: Deadline, by the monotonic clock.
        """
        self._reset()
        for option, value in (*options, (pycurl.CONNECT_ONLY, 1)):
            self.curl.setopt(option, value)
        self.is_spent = True
        self.curl.perform()
        with selectors.DefaultSelector() as selector:
            active = self.curl.getinfo(pycurl.ACTIVESOCKET)
            selector.register(active, selectors.EVENT_WRITE)
            rest = memoryview(message)
            while rest:
                sent = until(selector, deadline_s, partial(self.curl.send, rest))
                rest = rest[sent:]
            selector.modify(active, selectors.EVENT_READ)
            while not reader.is_ended:
                data = until(selector, deadline_s, partial(self.curl.recv, 65536))
                if not data:
                    break
                try:
                    reader.feed(data)
                except ValueError as error:
                    raise pycurl.error(pycurl.E_RECV_ERROR, str(error)) from error
        if not reader.is_ended and not reader.is_complete:
            raise pycurl.error(pycurl.E_PARTIAL_FILE, "the connection was closed early")

    def hang_up(self) -> None:
        """Abort the transfer, from any thread; the blocked thread returns at once.

        The sockets are shut down, because libcurl's progress callback would be called
        once per second while nothing arrives, and would take the GIL at each read.
        """
        with self._lock:
            self._hung_up = True
            for descriptor in self._sockets:
                borrowed = socket.socket(fileno=descriptor)
                with suppress(OSError):  # not connected yet, or no longer
                    borrowed.shutdown(socket.SHUT_RDWR)
                borrowed.detach()  # libcurl closes it

    @override
    def _reset(self) -> None:
        super()._reset()
        self.curl.setopt(pycurl.SOCKOPTFUNCTION, self._opened)
        self.curl.setopt(pycurl.CLOSESOCKETFUNCTION, self._closed)
        self.curl.setopt(pycurl.MAXCONNECTS, MAX_CONNECTIONS)

    def _opened(self, descriptor: int, _purpose: int) -> int:
        with self._lock:
            if self._hung_up:  # libcurl would try the next address, or retry
                return int(pycurl.SOCKOPT_ERROR)
            self._sockets.add(descriptor)
        return int(pycurl.SOCKOPT_OK)

    def _closed(self, descriptor: int) -> int:
        # Under the lock, or hang_up() might shut down another socket that has got the
        # same number meanwhile.
        with self._lock:
            self._sockets.discard(descriptor)
            socket.close(descriptor)
        return 0


def until(
    selector: selectors.BaseSelector, deadline_s: float, attempt: Callable[[], _T]
) -> _T:
    """Return what *attempt* returns as soon as the socket allows it.

    The deadline also holds if it always does: a body may be endless.
    """
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            return attempt()
        except BlockingIOError:
            selector.select(left_s)
    raise pycurl.error(pycurl.E_OPERATION_TIMEDOUT, "timed out")


def _der(chain: Sequence[Sequence[tuple[Any, ...]]]) -> bytes | None:
    for pairs in chain:
        for name, value in pairs:
            if name in {b"Cert", "Cert"}:
                text = value if isinstance(value, str) else value.decode("ascii")
                return ssl.PEM_cert_to_DER_cert(text.strip())
    return None


class ClientPool:
    """Idle handles, acquired and released by any thread.

    Invariant: at most *size* are kept; the one unused for longest is closed first.

    Attributes:
        misread: Hosts whose header lines libcurl refused.

    Args:
        size: Idle handles to keep.
    """

    def __init__(self, size: int) -> None:
        self.misread: set[str] = set()
        self._size = size
        self._idle: list[CurlClient] = []
        self._lock = Lock()
        self._is_closed = False

    def acquire(self, route: Route, origin: str) -> CurlClient:
        """Return a handle for *route*, one with an open connection if possible."""
        with self._lock:
            index = choose(
                [(client.route, client.origins) for client in self._idle], route, origin
            )
            if index is not None:
                return self._idle.pop(index)
        return CurlClient(route)

    def release(self, client: CurlClient) -> None:
        """Keep *client* for another request, or close it if there are enough."""
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
        """Close the idle handles, and the others once they are released."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()


def choose(
    idle: Sequence[tuple[Route, Iterable[str]]], route: Route, origin: str
) -> int | None:
    """Return the index of the best idle handle for a request, or None.

    It is the one used last for this host, whose connection is the least likely to have
    been closed; else the one used last, because a further host costs a handle little.

    Args:
        idle: Route and hosts of each handle, the longest unused first.
        route: The handle must have the same route.
        origin: Scheme, host and port.
    """
    fitting = [index for index, (own, _) in enumerate(idle) if own == route]
    warm = [index for index in fitting if origin in idle[index][1]]
    return next(reversed(warm or fitting), None)
