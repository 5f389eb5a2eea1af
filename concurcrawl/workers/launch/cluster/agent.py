"""What runs on the machine of a worker: starts its process and watches it.

It is called in a thread of the engine's own worker process there, and returns when the
crawler process has ended. It needs no Scrapy itself.

Whatever ends first takes the others along: the supervisor, or the network to it, closes
the control connection or is silent for too long, and the crawler process is killed. The
engine's worker process ends, and a keeper kills what it had started.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from concurcrawl.workers.launch.cluster import handshake
from concurcrawl.workers.launch.cluster.order import Report, mismatch, versions
from concurcrawl.workers.launch.cluster.unpacking import unpacked

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from concurcrawl.workers.launch.cluster.order import Order

#: How often it looks whether the crawler process is there.
_LOOK_S = 0.1
#: How long it tries to reach the supervisor.
_CONNECT_S = 10.0
#: Time that a crawler process has to end what it has started, once it is told to.
_GRACE_S = 5.0

#: What the crawler process runs. It is told what to be on its standard input, which is
#: open for as long as we are there.
_BOOT = (
    "import gc, json, sys; gc.disable(); "  # for the imports: nothing is garbage yet
    "told = json.loads(sys.stdin.buffer.readline()); "
    "sys.path[:] = told['path']; "
    "from concurcrawl.workers.launch.cluster.boot import run; run(told)"
)

#: Kills the process groups that it was told of once its standard input ends.
_KEEPER = f"""
import os, signal, sys, time
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
deadline = time.monotonic() + {_GRACE_S}
while groups and time.monotonic() < deadline:
    time.sleep(0.1)
    for group in list(groups):
        try:
            os.killpg(group, 0)
        except OSError:
            groups.discard(group)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class _UnreachableError(Exception):
    """The supervisor cannot be reached, or is another one."""


def run(
    order: Order,
    machine: str,
    *,
    tls: ssl.SSLContext | None = None,
    is_leaving: Callable[[], bool] = lambda: False,
) -> Report:
    """Start a worker and return when it has ended.

    Args:
        order: What to start.
        machine: This one, in words, for messages.
        tls: With which to connect, if the cluster has TLS.
        is_leaving: Whether this machine goes away: the worker is then left to finish
            what it holds.
    """
    problem = _hindrance(order)
    if problem:
        return Report(machine, problem)
    try:
        with _connected(order, "control", machine, tls) as control:
            folder = unpacked(order.archive, lambda: _fetched(control))
            _start_and_watch(order, machine, control, folder, (tls, is_leaving))
    except _UnreachableError as error:
        problem = str(error)
    except handshake.HandshakeError:
        pass  # the crawl has ended meanwhile
    except OSError as error:
        problem = f"no worker can be started there: {error}"
    except Exception as error:  # noqa: BLE001 - unreported, it would be tried for ever
        problem = f"no worker can be started there: {error!r}"
    return Report(machine, problem)


def _hindrance(order: Order) -> str:
    """Return why no worker of this crawl can run here, or nothing."""
    if not hasattr(os, "fork"):
        return "workers of a cluster run on Linux and macOS only"
    differs = mismatch(order.versions, versions())
    return (
        f"it has {differs}: install there what this crawl runs with" if differs else ""
    )


def _connected(
    order: Order, role: str, machine: str, tls: ssl.SSLContext | None
) -> socket.socket:
    """Return a connection to the supervisor that both ends have proved.

    Raises:
        _UnreachableError: If there is none.
    """
    try:
        sock = socket.create_connection((order.host, order.port), _CONNECT_S)
    except OSError as error:
        raise _unreachable(order, error) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock)
        handshake.request(sock, order.key)
    except OSError as error:
        sock.close()
        raise _unreachable(order, error) from error
    hello = {"role": role, "number": order.number, "machine": machine}
    sock.sendall(handshake.packed({**hello, "host": socket.gethostname()}))
    return sock


def _unreachable(order: Order, error: OSError) -> _UnreachableError:
    return _UnreachableError(
        f"it cannot reach the crawl at {order.host}:{order.port} ({error}): set "
        "CONCURCRAWL_CLUSTER_LISTEN=host:port to an address of the crawl's machine "
        "that workers reach"
    )


def _fetched(control: socket.socket) -> bytes:
    """Ask for the archive, which this machine does not have, and return it."""
    control.sendall(handshake.packed({"need": "archive"}))
    while True:
        message = handshake.read_message(control)
        if "archive" in message:
            return handshake.read(control, int(message["archive"]))
        _answer(control, message)


def _answer(control: socket.socket, message: dict[str, Any]) -> None:
    """Tell the time, from which the supervisor knows how far our clocks are apart."""
    if "ping" in message:
        now = {"mono": time.monotonic(), "wall": time.time()}
        control.sendall(handshake.packed({"pong": message["ping"], **now}))


def _start_and_watch(
    order: Order,
    machine: str,
    control: socket.socket,
    folder: Path,
    about: tuple[ssl.SSLContext | None, Callable[[], bool]],
) -> None:
    tls, is_leaving = about
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(_connected(order, "data", machine, tls))
        data.settimeout(None)
        if tls is not None:
            data = stack.enter_context(_relayed(data))
        process = _spawned(order, data, folder)
        data.close()
        keeper.keep(process.pid)
        try:
            _watch(control, process, order.timeout_s, is_leaving)
        finally:
            _end(process)
            keeper.forget(process.pid)
    with contextlib.suppress(OSError):  # the supervisor has closed it
        control.sendall(handshake.packed({"ended": process.returncode}))
        control.settimeout(_GRACE_S)
        control.shutdown(socket.SHUT_WR)
        # Closed with a heartbeat unread, it would be reset, and that be lost.
        while control.recv(1 << 12):
            pass


def _spawned(
    order: Order, data: socket.socket, folder: Path
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - this Python
        [sys.executable, "-c", _BOOT],
        stdin=subprocess.PIPE,
        pass_fds=[data.fileno()],
        cwd=folder,
        # Ctrl-C in the terminal of the engine's worker is not meant for it.
        start_new_session=True,
    )
    told = {
        "path": [str(folder), *(one for one in sys.path if one)],
        "connection": data.fileno(),
        "main": base64.b64encode(order.main).decode(),
    }
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # its end is about to be seen
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()
    return process


def _watch(
    control: socket.socket,
    process: subprocess.Popen[bytes],
    timeout_s: float,
    is_leaving: Callable[[], bool],
) -> None:
    """Return when the process has ended, or is to be ended."""
    heard_s = time.monotonic()
    has_told = False
    control.settimeout(timeout_s)
    while process.poll() is None and time.monotonic() - heard_s < timeout_s:
        if not has_told and is_leaving():
            has_told = True
            control.sendall(handshake.packed({"leaving": True}))
        if not _has_come(control):
            continue
        try:
            message = handshake.read_message(control)
        except OSError:  # the supervisor has ended, or the network to it
            return
        heard_s = time.monotonic()
        if "kill" in message:
            return
        _answer(control, message)


def _has_come(sock: socket.socket) -> bool:
    if getattr(sock, "pending", int)():  # TLS has read it already
        return True
    readable, _, _ = select.select([sock], [], [], _LOOK_S)
    return bool(readable)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it has started."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # which it takes as its end
        process.stdin.close()
    if process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Keeper:
    """A process that outlives this one and kills what it had started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self, group: int) -> None:
        """Kill *group* once this process has ended."""
        self._tell(b"+%d\n" % group)

    def forget(self, group: int) -> None:
        """*group* has ended."""
        self._tell(b"-%d\n" % group)

    def _tell(self, line: bytes) -> None:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(  # noqa: S603 - this Python
                    [sys.executable, "-S", "-E", "-c", _KEEPER],
                    stdin=subprocess.PIPE,
                    start_new_session=True,
                )
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it was killed
                self._process.stdin.write(line)
                self._process.stdin.flush()


keeper = _Keeper()


@contextlib.contextmanager
def _relayed(data: socket.socket) -> Any:
    """Yield the near end of *data*, which has TLS, for a process that knows none."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=_relay, args=(data, ours), daemon=True)
    thread.start()
    try:
        yield theirs
    finally:
        for sock in (ours, theirs):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        thread.join(_GRACE_S)
        ours.close()


def _relay(data: Any, ours: socket.socket) -> None:
    """Pass on what comes at either end, in one thread: TLS takes no two at a time."""
    data.settimeout(None)
    with contextlib.suppress(OSError):
        while True:
            ready = [data] if data.pending() else select.select([data, ours], [], [])[0]
            for source, target in ((data, ours), (ours, data)):
                if source in ready:
                    chunk = source.recv(1 << 16)
                    if not chunk:
                        return
                    target.sendall(chunk)
