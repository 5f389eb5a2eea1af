"""A site that tells when requests came, by the clock of the system that received them.

How busy this process or the machine is makes no difference: the kernel notes when bytes
come, and the request is read when there is time. ``/log`` tells, ``/forget`` forgets.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import threading
import time
from typing import Any

#: Linux's own: neither the socket module nor any header has them for us.
_SO_TIMESTAMPING = 37
_OF_RECEIVED_BYTES = 1 << 3 | 1 << 4

_TIME = struct.Struct("@qq")

CRAWL_DELAY_S = 0.2

#: What it asks for when it refuses a path with "refuse", which it does once.
PAUSE_S = 1


class Site:
    def __init__(self) -> None:
        self.visits: list[dict[str, Any]] = []

    def listen(self, address: tuple[str, int]) -> socket.socket:
        listener = socket.create_server(address)
        if sys.platform == "linux":  # those that it accepts have it too
            listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _OF_RECEIVED_BYTES)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        return listener

    def accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        host = connection.getsockname()[0]
        with connection:
            while True:
                head, came_s = b"", None
                while b"\r\n\r\n" not in head:
                    data, notes, *_ = connection.recvmsg(65536, 1024)
                    if not data:
                        return
                    head, came_s = head + data, came_s or _time_of(notes)
                path = head.split(b" ", 2)[1].decode()
                status, body = self.answer(host, path, came_s or time.time())
                pause = b"Retry-After: %d\r\n" % PAUSE_S if status == 429 else b""
                connection.sendall(
                    b"HTTP/1.1 %d Said\r\nContent-Type: text/plain\r\n%s"
                    b"Content-Length: %d\r\n\r\n%s" % (status, pause, len(body), body)
                )

    def answer(self, host: str, path: str, came_s: float) -> tuple[int, bytes]:
        if path == "/log":
            return 200, json.dumps(sorted(self.visits, key=_coming)).encode()
        if path == "/forget":
            self.visits.clear()
            return 200, b"forgotten"
        is_refused = "refuse" in path and all(v["path"] != path for v in self.visits)
        status = 429 if is_refused else 200
        visit = {"host": host, "path": path, "came_s": came_s, "status": status}
        self.visits.append(visit)
        time.sleep(float((re.findall(r"[?&]s=([\d.]+)", path) or "0")[0]))
        visit["went_s"] = time.time()
        if path != "/robots.txt":
            return status, b"here"
        is_slow = host == "127.0.0.3"
        return 200, b"User-agent: *\nDisallow:\nCrawl-delay: %g" % (
            CRAWL_DELAY_S * is_slow
        )


def _coming(visit: dict[str, Any]) -> float:
    came_s: float = visit["came_s"]
    return came_s


def _time_of(notes: list[tuple[int, int, bytes]]) -> float | None:
    """Return when bytes were received, in seconds since the epoch, if that is known."""
    for _, kind, data in notes:
        if kind == _SO_TIMESTAMPING:
            found: tuple[int, int] = _TIME.unpack_from(data)
            return found[0] + found[1] / 1e9
    return None


def main() -> None:
    site = Site()
    first, *others = sys.argv[1:]
    port = site.listen((first, 0)).getsockname()[1]
    for other in others:
        site.listen((other, port))
    sys.stdout.write(f"http://{first}:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()  # ends with the test process, which holds the other end


if __name__ == "__main__":
    main()
