"""Nothing of a connection is decoded before both ends have proved the crawl's key."""

from __future__ import annotations

import queue
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.errors import ClusterError
from concurcrawl.workers.launch.cluster import handshake, listener
from concurcrawl.workers.launch.cluster.listener import ClusterListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from concurcrawl.workers.launch.cluster.listener import RemoteConnection

ARCHIVE = b"the project" * 50_000
DEADLINE_S = 20.0


class Listening:
    """A listener, and the workers that have come to it."""

    def __init__(self, timeout_s: float) -> None:
        self.listener = ClusterListener("127.0.0.1", 0, timeout_s=timeout_s)
        self.workers: queue.Queue[RemoteConnection] = queue.Queue()
        self.leaving: queue.Queue[RemoteConnection] = queue.Queue()
        self.listener.start(ARCHIVE, self.workers.put, self.leaving.put)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listener.address, DEADLINE_S)

    def joined(
        self, role: str, key: bytes | None = None, number: int = 7
    ) -> socket.socket:
        sock = self.connect()
        try:
            handshake.request(sock, key or self.listener.key)
        except OSError:
            sock.close()
            raise
        hello = {"role": role, "number": number, "host": "there", "machine": "m"}
        sock.sendall(handshake.packed(hello))
        return sock


@contextmanager
def listening(timeout_s: float = 30.0) -> Iterator[Listening]:
    found = Listening(timeout_s)
    try:
        yield found
    finally:
        found.listener.close()


def is_closed(sock: socket.socket) -> bool:
    """Return whether the other end closes *sock* without another word."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def worker_of(here: Listening, control: socket.socket) -> tuple[RemoteConnection, Any]:
    data = here.joined("data")
    return here.workers.get(timeout=DEADLINE_S), data


def answer_pings(control: socket.socket, count: int, mono_s: float = 0.0) -> None:
    for _ in range(count):
        message = handshake.read_message(control)
        answer = {"pong": message["ping"], "mono": mono_s, "wall": 0.0}
        control.sendall(handshake.packed(answer))


def test_a_worker_with_the_key_is_handed_on_as_a_socket() -> None:
    with listening() as here, here.joined("control") as control:
        worker, data = worker_of(here, control)
        with data, worker.sock:
            worker.sock.sendall(b"from here")
            assert handshake.read(data, 9) == b"from here"
            data.sendall(b"from there")
            assert handshake.read(worker.sock, 10) == b"from there"
            assert (worker.host, worker.is_local, worker.was_cut_off) == (
                "there",
                False,
                True,
            )


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n" * 10, b"\x80\x05" + b"c" * 100, b"\0" * 64]
)
def test_garbage_is_not_read_as_a_message(
    garbage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    monkeypatch.setattr(handshake, "_unpacked", decoded.append)
    with listening() as here, here.connect() as sock:
        handshake.read(sock, len(b"concurcrawl/1\n") + 32)
        sock.sendall(garbage)
        assert is_closed(sock)
        assert here.workers.empty()
    assert decoded == []


def test_a_wrong_key_is_refused_at_both_ends() -> None:
    with listening() as here, pytest.raises(OSError, match=r"closed|reset"):
        here.joined("control", handshake.new_key())
    # A worker does not talk to a supervisor without the key either.
    server = socket.create_server(("127.0.0.1", 0))

    def be_wrong() -> None:
        sock, _ = server.accept()
        with sock:
            sock.sendall(b"concurcrawl/1\n" + b"n" * 32)
            handshake.read(sock, 64)
            sock.sendall(b"p" * 32)

    thread = threading.Thread(target=be_wrong)
    thread.start()
    with (
        server,
        socket.create_connection(server.getsockname()) as sock,
        pytest.raises(handshake.HandshakeError, match="does not have the key"),
    ):
        handshake.request(sock, handshake.new_key())
    thread.join()


def test_one_that_says_nothing_is_closed_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "_HANDSHAKE_S", 0.05)
    with listening() as here, here.connect() as sock:
        handshake.read(sock, len(b"concurcrawl/1\n") + 32)
        assert is_closed(sock)


def test_a_machine_that_falls_silent_is_lost() -> None:
    with listening(timeout_s=0.4) as here, here.joined("control") as control:
        worker, data = worker_of(here, control)
        with data, worker.sock:
            # Half open: it is there, and says no more.
            assert is_closed(worker.sock)
            assert is_closed(data)
            assert worker.was_cut_off


def test_the_agent_says_why_a_worker_is_gone() -> None:
    with listening() as here, here.joined("control") as control:
        worker, data = worker_of(here, control)
        with data, worker.sock:
            control.sendall(handshake.packed({"leaving": True}))
            assert here.leaving.get(timeout=DEADLINE_S) is worker
            control.sendall(handshake.packed({"ended": -9}))
            control.shutdown(socket.SHUT_WR)
            while control.recv(1 << 12):  # until the listener has read all of it
                pass
            assert not worker.was_cut_off


def test_the_archive_is_sent_to_who_needs_it() -> None:
    with listening() as here, here.joined("control") as control:
        control.sendall(handshake.packed({"need": "archive"}))
        while "archive" not in (message := handshake.read_message(control)):
            pass
        assert handshake.read(control, message["archive"]) == ARCHIVE


def test_clocks_are_compared() -> None:
    with listening() as here, here.joined("control") as control:
        answer_pings(control, 5, mono_s=-1e6)
        worker, data = worker_of(here, control)
        with data, worker.sock:
            # Ours shows so much when that there shows -1e6.
            assert worker.clock_offset_s > 1e6


def test_a_worker_is_killed_by_its_agent() -> None:
    with listening() as here, here.joined("control") as control:
        worker, data = worker_of(here, control)
        with data, worker.sock:
            worker.kill(1)
            while "kill" not in handshake.read_message(control):
                pass
            assert not worker.was_cut_off


def test_an_address_that_is_taken_is_one_sentence() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ClusterError, match="CONCURCRAWL_CLUSTER_LISTEN=host:port"),
    ):
        ClusterListener(*taken.getsockname(), timeout_s=1)


def test_an_address_of_another_machine_is_listened_for_everywhere() -> None:
    found = ClusterListener("192.0.2.77", 0, timeout_s=1)
    assert found.address[0] == "192.0.2.77"
    found.close()
