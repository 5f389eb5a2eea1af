"""An HTTP proxy that wants credentials and says in a header what it got.

``python -m tests.support.servers.proxy`` prints its URL. It lets ``Basic dXNlcjpwYXNz``
(user:pass) through.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from tests.support.servers.web import read_request

WANTED = "proxy-authorization: basic dxnlcjpwyxnz"
REFUSAL = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
    b"Proxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, or tunnel it."""
    try:
        while request := await read_request(reader):
            if WANTED not in [line.lower() for line in request.lines]:
                writer.write(REFUSAL)
                await writer.drain()
                continue
            if request.method == "CONNECT":
                host, _, port = request.target.rpartition(":")
                writer.write(b"HTTP/1.1 200 Go\r\nX-Proxy: CONNECT\r\n\r\n")
                await tunnel(reader, writer, host, int(port))
                break
            body = json.dumps({"lines": request.lines}).encode()
            host = urlsplit(request.target).netloc
            writer.write(
                b"HTTP/1.1 200 OK\r\nX-Proxy: %s\r\nContent-Length: %d\r\n\r\n%s"
                % (host.encode(), len(body), body)
            )
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    """Pass bytes both ways until one side has enough."""
    far_reader, far_writer = await asyncio.open_connection(host, port)
    await asyncio.wait(
        [
            asyncio.create_task(pump(reader, far_writer)),
            asyncio.create_task(pump(far_reader, writer)),
        ],
        return_when=asyncio.FIRST_COMPLETED,
    )
    far_writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until there are no more."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}", flush=True)  # noqa: T201 - how it is found
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
