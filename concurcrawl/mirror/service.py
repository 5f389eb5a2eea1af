"""The HTTP side of the mirror, on aiohttp's low-level server.

No application, router or access log: each costs as much as sending a page does.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from concurcrawl.mirror.counts import COUNTS_PATH, RESET_PATH, Tally, to_json
from concurcrawl.mirror.encodings import choose

if TYPE_CHECKING:
    from concurcrawl.mirror.bodies import Bodies
    from concurcrawl.mirror.encodings import Encoding

_HTML = "text/html; charset=UTF-8"
_TEXT = "text/plain; charset=UTF-8"
_JSON = "application/json; charset=UTF-8"
_ROBOTS = b"User-agent: *\nDisallow:\n"
_OWN_PATHS = frozenset({COUNTS_PATH, RESET_PATH})
_SLICES_PER_SECOND = 20  # of a body under a bandwidth cap


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send.

    Attributes:
        status: HTTP status.
        headers: All but those that follow from the body.
        body: As encoded.
        is_page: Whether it carries a page of the site.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    is_page: bool = False


class Service:
    """Answers requests and counts them.

    Args:
        bodies: The site.
        latency_s: Wait before the first byte of an answer.
        bandwidth: Most bytes a second of one answer; None for no cap.
    """

    def __init__(
        self, bodies: Bodies, latency_s: float = 0.0, bandwidth: float | None = None
    ) -> None:
        self._bodies = bodies
        self._latency_s = latency_s
        self._bandwidth = bandwidth
        self._tally = Tally(time.process_time())

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*; this is what ``web.Server`` is given."""
        raw_path = request.raw_path.partition("?")[0]
        if raw_path in _OWN_PATHS:
            return self._own_address(request, raw_path)
        page = self._bodies.find(raw_path)
        agent = request.headers.get("User-Agent", "")
        self._tally.arrived(time.monotonic(), agent, page)
        answer, sent = self._decide(request, raw_path, page), 0
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            self._tally.answered(answer.status, is_page=answer.is_page)
            response = await self._send(request, answer)
            if request.method != "HEAD":
                sent = len(answer.body)
            return response
        finally:
            self._tally.left(sent)

    def _own_address(self, request: web.BaseRequest, path: str) -> web.Response:
        method = "GET" if path == COUNTS_PATH else "POST"
        if request.method != method:
            return web.Response(status=405, headers={"Allow": method})
        if path == RESET_PATH:
            self._tally.reset(time.process_time())
            return web.Response(status=204)
        text = to_json(self._tally.counts(time.process_time()))
        return web.Response(body=text.encode(), headers={"Content-Type": _JSON})

    def _decide(
        self, request: web.BaseRequest, raw_path: str, page: str | None
    ) -> Answer:
        """Return what to send; the faults of a later version are decided here."""
        if request.method not in {"GET", "HEAD"}:
            return Answer(405, {"Allow": "GET, HEAD", "Content-Type": _TEXT}, b"")
        if page is not None:
            encoding = choose(request.headers.get("Accept-Encoding", ""))
            known = request.headers.get("If-None-Match")
            return self._page(page, encoding, known, request.method)
        if raw_path == "/robots.txt":
            return Answer(200, {"Content-Type": _TEXT}, _ROBOTS)
        return Answer(404, {"Content-Type": _HTML}, _NOT_FOUND)

    def _page(
        self, page: str, encoding: Encoding, known: str | None, method: str
    ) -> Answer:
        etag = self._bodies.etag(page, encoding)
        headers = {"ETag": etag, "Vary": "Accept-Encoding"}
        if known == etag:
            return Answer(304, headers, b"")
        headers["Content-Type"] = _HTML
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        body = self._bodies.get(page, encoding)
        return Answer(200, headers, body, is_page=method == "GET")

    async def _send(
        self, request: web.BaseRequest, answer: Answer
    ) -> web.StreamResponse:
        """Send *answer*; return when the last byte is with the operating system."""
        response: web.StreamResponse
        if self._bandwidth is None or not answer.body:
            response = web.Response(
                status=answer.status, headers=answer.headers, body=answer.body
            )
            await response.prepare(request)
        else:
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            response.content_length = len(answer.body)
            await response.prepare(request)
            if request.method != "HEAD":
                await _drip(response, answer.body, self._bandwidth)
        await response.write_eof()
        await _written(request)
        return response


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


async def _written(request: web.BaseRequest) -> None:
    """Wait until nothing of the answer is left in this process."""
    pause_s = 0.0005
    while (transport := request.transport) and transport.get_write_buffer_size():
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.01)


_NOT_FOUND = (
    b'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="UTF-8"/>'
    b"<title>Not found</title></head>\n<body><h1>Not found</h1>"
    b"<p>This mirror has no page of that name.</p></body>\n</html>\n"
)
