"""A SOCKS5 proxy that wants credentials.

``python -m tests.support.servers.socks`` prints its URL. It lets user and pass through.

References:
    https://www.rfc-editor.org/rfc/rfc1928
    https://www.rfc-editor.org/rfc/rfc1929
"""

from __future__ import annotations

import asyncio
import ipaddress

from tests.support.servers.proxy import tunnel

VERSION, BY_PASSWORD, NO_METHOD = 5, 2, 255
IPV4 = 1
SUCCEEDED = bytes([VERSION, 0, 0, IPV4, 127, 0, 0, 1, 0, 0])


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take one connection to where it asks for."""
    try:
        if await is_welcome(reader, writer):
            *_, kind = await reader.readexactly(4)
            assert kind == IPV4, "tests name no hosts"
            host = ipaddress.IPv4Address(await reader.readexactly(4))
            port = int.from_bytes(await reader.readexactly(2), "big")
            writer.write(SUCCEEDED)
            await tunnel(reader, writer, str(host), port)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def is_welcome(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Ask for user and password, and say whether they are right."""
    methods = await reader.readexactly((await reader.readexactly(2))[1])
    if BY_PASSWORD not in methods:
        writer.write(bytes([VERSION, NO_METHOD]))
        return False
    writer.write(bytes([VERSION, BY_PASSWORD]))
    user = await reader.readexactly((await reader.readexactly(2))[1])
    password = await reader.readexactly((await reader.readexactly(1))[0])
    is_right = (user, password) == (b"user", b"pass")
    writer.write(bytes([1, not is_right]))
    return is_right


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"socks5://{host}:{port}", flush=True)  # noqa: T201 - how it is found
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
