"""A web server that answers byte for byte what a test needs, also what is broken.

``python -m tests.support.servers.web`` prints the URLs of its two servers.
"""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PAGE = b"<!DOCTYPE html><title>Andorra</title>"

#: Whole responses, sent as they are; the connection is closed after those in CUT.
SCRIPTS = {
    "/text": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
    b"Content-Type: text/plain\r\n\r\nWorks",
    "/page": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE),
    "/page.html": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/redirect": b"HTTP/1.1 302 Found\r\nLocation: /text\r\nContent-Length: 0\r\n\r\n",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\none\r\n4\r\n two\r\n0\r\n\r\n",
    "/small-claim": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n",
    "/trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n"
    b"\r\n3\r\none\r\n0\r\nX-T: late\r\n\r\n",
    "/gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    % len(gzip.compress(PAGE, mtime=0))
    + gzip.compress(PAGE, mtime=0),
    "/cookies": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n"
    b"Set-Cookie: b=2\r\n\r\n",
    "/bad-header": b"HTTP/1.1 200 OK\r\nX-Before: 1\r\nX-Folded: one\r\n\ttwo\r\n"
    b"<meta charset=utf-8>\r\nX-After: 2\r\nContent-Length: 5\r\n\r\nWorks",
    "/until-close": b"HTTP/1.1 200 OK\r\n\r\nWorks",
    "/old": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nWorks",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\npartial",
    "/short-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\npartial\r\n",
    "/broken-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\npartial\r\nnonsense\r\n",
    "/broken-chunks-and-header": b"HTTP/1.1 200 OK\r\nno header\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n-5\r\nnonsense",
    "/no-length": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nWorks",
    "/less-than-no-length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nWorks",
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\n"
    b"Works",
    "/only-status": b"HTTP/1.1 200 OK\r\n",
    "/cut-in-headers": b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B",
    "/other-protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n"
    b"Connection: Upgrade\r\n\r\nWorks",
    "/nothing": b"",
    "/nonsense": b"this is not HTTP\r\n\r\n",
    "/hang": b"",
    "/hang-in-headers": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n",
    "/hang-in-body": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\npartial",
}
CUT = {
    "/until-close",
    "/old",
    "/short",
    "/short-chunks",
    "/broken-chunks",
    "/broken-chunks-and-header",
    "/no-length",
    "/less-than-no-length",
    "/two-lengths",
    "/only-status",
    "/cut-in-headers",
    "/other-protocol",
    "/nothing",
    "/nonsense",
}
HANG = {"/hang", "/hang-in-headers", "/hang-in-body"}


@dataclass
class Counts:
    """What the server saw; ``/counts`` tells it."""

    connections: int = 0
    hanging: int = 0
    peak: int = 0
    under_way: int = 0


@dataclass
class Request:
    """One request, taken apart no further than needed."""

    head: bytes
    body: bytes
    lines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.head.decode("latin-1").rstrip("\r\n").split("\r\n")

    @property
    def method(self) -> str:
        return self.lines[0].split(" ")[0]

    @property
    def target(self) -> str:
        return self.lines[0].split(" ")[1]


class Site:
    def __init__(self) -> None:
        self.counts = Counts()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.counts.connections += 1
        try:
            while request := await read_request(reader):
                self.counts.under_way += 1
                self.counts.peak = max(self.counts.peak, self.counts.under_way)
                try:
                    goes_on = await self.answer(request, reader, writer)
                finally:
                    self.counts.under_way -= 1
                if not goes_on:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(
        self,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Send the answer; False ends the connection."""
        parts = urlsplit(request.target)
        path, query = parts.path, parse_qs(parts.query)
        if path == "/reset":
            writer.transport.abort()
            return False
        if path == "/drip":
            return await self.drip(writer)
        if path == "/slow":
            await asyncio.sleep(float(query["s"][0]))
        sent = self.script(request, path, query, writer)
        if request.method == "HEAD":
            sent = sent.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        writer.write(sent)
        await writer.drain()
        if path in HANG:
            self.counts.hanging += 1
            try:
                await reader.read(1)  # returns when the client has gone
            finally:
                self.counts.hanging -= 1
            return False
        return path not in CUT

    def script(
        self,
        request: Request,
        path: str,
        query: dict[str, list[str]],
        writer: asyncio.StreamWriter,
    ) -> bytes:
        if path in SCRIPTS:
            return SCRIPTS[path]
        if path == "/status":
            return b"HTTP/1.1 %d Word\r\nContent-Length: 0\r\n\r\n" % int(query["n"][0])
        if path == "/big":
            size = int(query["n"][0])
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
        if path == "/big-chunks":
            chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
            body = chunk * (int(query["n"][0]) // 1024)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            return head + body + b"0\r\n\r\n"
        told = (
            vars(self.counts)
            if path == "/counts"
            else {
                "lines": request.lines,
                "body": request.body.decode("latin-1"),
                "client": writer.get_extra_info("peername")[:2],
            }
        )
        body = json.dumps(told).encode()
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    async def drip(self, writer: asyncio.StreamWriter) -> bool:
        """Send a byte now and then, for ever."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request of a connection, None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    body = b""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            body = await reader.readexactly(int(value))
    return Request(head, body)


def throw_away_tls() -> ssl.SSLContext:
    """Return a TLS context with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "both.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(file)
    return context


async def main() -> None:
    """Serve until killed."""
    site = Site()
    plain = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    secure = await asyncio.start_server(
        site.serve, "127.0.0.1", 0, ssl=throw_away_tls()
    )
    for scheme, server in (("http", plain), ("https", secure)):
        host, port = server.sockets[0].getsockname()[:2]
        print(f"{scheme}://{host}:{port}", flush=True)  # noqa: T201 - how it is found
    await asyncio.gather(plain.serve_forever(), secure.serve_forever())


if __name__ == "__main__":
    asyncio.run(main())
