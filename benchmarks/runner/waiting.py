"""A server that waits before each answer: ``waiting.py SITE FOLDER LATENCY_S``.

It sends the files of a site as they are, gzipped, and does nothing else: with 256
requests in flight a server that costs as much as a contender would be what is measured.
In FOLDER it writes ``port`` when it listens, and a line for each answer to
``access.log``, as nginx does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import zlib
from functools import cache
from pathlib import Path
from typing import cast

from typing_extensions import override

from benchmarks.runner.pages import file_of

_BACKLOG = 1024
_GZIP = 31  # wbits of a gzip stream
_END = b"\r\n\r\n"
_HEAD = (
    "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=UTF-8\r\n{encoding}"
    "Content-Length: {length}\r\n\r\n"
)


@cache
def _answer(site: Path, path: str, is_gzipped: bool) -> bytes:
    try:
        body = file_of(site, path).read_bytes()
    except (OSError, ValueError):
        return _HEAD.format(status="404 Not Found", encoding="", length=0).encode()
    encoding = "Content-Encoding: gzip\r\n"
    if not is_gzipped:
        body, encoding = zlib.decompress(body, _GZIP), ""
    head = _HEAD.format(status="200 OK", encoding=encoding, length=len(body))
    return head.encode() + body


class Waiting(asyncio.Protocol):
    """One connection: requests without a body, one after the other.

    Args:
        site: Folder of the files.
        latency_s: Seconds between a request and its answer.
        log: File descriptor of the access log.
    """

    def __init__(self, site: Path, latency_s: float, log: int) -> None:
        self._site = site
        self._latency_s = latency_s
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._received = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no child

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        while _END in self._received:
            head, _, self._received = self._received.partition(_END)
            lines = head.decode("latin-1").split("\r\n")
            path = lines[0].split()[1]
            headers = "\n".join(lines[1:]).lower()
            words = (path, "gzip" in headers, "connection: close" in headers)
            self._loop.call_later(self._latency_s, self._send, time.time(), *words)

    def _send(self, begin_s: float, path: str, is_gzipped: bool, is_last: bool) -> None:
        self._transport.write(_answer(self._site, path, is_gzipped))
        if is_last:
            self._transport.close()
        end_s = time.time()
        line = f"{end_s:.6f} {end_s - begin_s:.6f} {path}\n"
        os.write(self._log, line.encode())


async def serve(site: Path, folder: Path, latency_s: float) -> None:
    """Serve until this process ends."""
    log = os.open(folder / "access.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    server = await asyncio.get_running_loop().create_server(
        lambda: Waiting(site, latency_s, log), "127.0.0.1", 0, backlog=_BACKLOG
    )
    port = server.sockets[0].getsockname()[1]
    (folder / "port.new").write_text(f"{os.getpid()} {port}")
    (folder / "port.new").rename(folder / "port")
    await server.serve_forever()


def main() -> None:
    """Serve what the arguments name."""
    site, folder, latency_s = sys.argv[1:]
    work = serve(Path(site), Path(folder), float(latency_s))
    try:
        import uvloop  # an extra brings it
    except ModuleNotFoundError:
        asyncio.run(work)
    else:
        uvloop.run(work)


if __name__ == "__main__":
    main()
