"""Send responses, correct or faulty, on aiohttp's low-level server.

Each way returns when the last byte is with the operating system, and closes or resets a
connection only after that: so that a client which knows that an answer has ended, and
asks for the next, is never counted twice.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass

from aiohttp import web

_SLICES_PER_SECOND = 20  # of a body that drips
_SLOW_S = 1.0  # for a whole body
_MISSING_BYTES = 1000  # of a short answer
_GARBAGE = b"\x16\x03\x01 this is no HTTP \xff\xfe\r\n\r\n" * 8
_NO_GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 1000  # a head, no known block
_RESET = struct.pack("ii", 1, 0)  # linger for no time: close() sends RST


@dataclass(frozen=True, slots=True)
class SiteResponse:
    """What to send.

    Attributes:
        status: HTTP status.
        headers: All but those that follow from the body.
        body: As encoded.
        is_page: Whether it carries a page of the site.
        pause_s: For how long it asks to be left alone.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    is_page: bool = False
    pause_s: float = 0.0


async def send(
    request: web.BaseRequest, answer: SiteResponse, bandwidth: float | None = None
) -> web.StreamResponse:
    """Send *answer*, at *bandwidth* bytes per second if that is given."""
    response: web.StreamResponse
    if bandwidth is None or not answer.body:
        response = web.Response(
            status=answer.status, headers=answer.headers, body=answer.body
        )
        await response.prepare(request)
    else:
        response = await _begin(request, answer)
        if request.method != "HEAD":
            await _drip(response, answer.body, bandwidth)
            await request.writer.drain()
    await response.write_eof()  # drains what it writes
    return response


async def send_badly(
    request: web.BaseRequest, answer: SiteResponse, kind: str, longest_s: float
) -> web.StreamResponse:
    """Spoil *answer*.

    Args:
        request: What is answered.
        answer: What a good server would send.
        kind: One of :data:`~concurcrawl.tools.testsite.faults.KINDS` that is no status.
        longest_s: When a stalled answer is given up.
    """
    body = answer.body
    if kind == "slow":
        return await send(request, answer, max(1.0, len(body) / _SLOW_S))
    if kind == "badzip":
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        return await send(request, SiteResponse(answer.status, headers, _NO_GZIP))
    if kind == "garbage":
        if request.transport is not None:
            request.transport.write(_GARBAGE)
        await request.writer.drain()
        _close(request)
        return web.Response()  # not sent: the connection is closed
    response = await _begin(request, answer)
    if kind == "stall":
        await asyncio.sleep(longest_s)
    elif kind == "cut":
        await response.write(body[: len(body) // 2])
    else:
        await response.write(body[: max(len(body) // 2, len(body) - _MISSING_BYTES)])
    await request.writer.drain()
    _close(request, reset=kind == "cut")
    response.force_close()
    return response


async def _begin(request: web.BaseRequest, answer: SiteResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)  # sends the headers
    return response


def _close(request: web.BaseRequest, *, reset: bool = False) -> None:
    transport = request.transport
    if transport is None:  # the client was first
        return
    if reset:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET
        )
        transport.abort()
    else:
        transport.close()


async def _drip(
    response: web.StreamResponse, body: bytes, bytes_per_second: float
) -> None:
    """Write *body* in slices, none before its time."""
    size = max(1, int(bytes_per_second / _SLICES_PER_SECOND))
    started = time.monotonic()
    for offset in range(0, len(body), size):
        part = body[offset : offset + size]
        await asyncio.sleep(
            started + (offset + len(part)) / bytes_per_second - time.monotonic()
        )
        await response.write(part)
