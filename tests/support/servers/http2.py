"""A web server for https that speaks HTTP/2, and HTTP/1.1 to those that do not.

``python -m tests.support.servers.http2`` prints its URL.

References:
    https://www.rfc-editor.org/rfc/rfc9113
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.errors
import h2.events

from tests.support.servers.web import SCRIPTS, throw_away_tls

if TYPE_CHECKING:
    import ssl

#: Of which ``/short`` sends the beginning.
LENGTH = 20


@dataclass
class Stream:
    """One request."""

    headers: list[Any]
    body_bytes: int = 0


class Connection:
    """One connection, in HTTP/2."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        configuration = h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8"
        )
        self._h2 = h2.connection.H2Connection(configuration)
        self._writer = writer
        self._streams: dict[int, Stream] = {}

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer until the client has enough."""
        self._h2.initiate_connection()
        self._writer.write(self._h2.data_to_send())
        while data := await reader.read(65536):
            for event in self._h2.receive_data(data):
                self._on(event)
            self._writer.write(self._h2.data_to_send())

    def _on(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                self._streams[event.stream_id] = Stream(event.headers)
            case h2.events.DataReceived():
                self._streams[event.stream_id].body_bytes += len(event.data)
                self._h2.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            case h2.events.StreamEnded():
                self._answer(event.stream_id, self._streams.pop(event.stream_id))

    def _answer(self, number: int, stream: Stream) -> None:
        path = dict(stream.headers)[":path"]
        if path == "/reset":
            self._h2.reset_stream(number, h2.errors.ErrorCodes.INTERNAL_ERROR)
            return
        headers = [(":status", "200"), ("content-type", "application/json")]
        told = {"headers": stream.headers, "body_bytes": stream.body_bytes}
        body = json.dumps(told).encode()
        if path.startswith("/short"):
            headers.append(("content-length", str(LENGTH)))
            body = b"partial"
        self._h2.send_headers(number, headers)
        self._h2.send_data(number, body, end_stream=path != "/short-and-reset")
        if path == "/short-and-reset":
            self._h2.reset_stream(number, h2.errors.ErrorCodes.INTERNAL_ERROR)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection in the protocol that was agreed on."""
    agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
    try:
        if agreed.selected_alpn_protocol() == "h2":
            await Connection(writer).serve(reader)
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(SCRIPTS["/text"])
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until killed."""
    tls = throw_away_tls()
    tls.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"https://{host}:{port}", flush=True)  # noqa: T201 - how it is found
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
