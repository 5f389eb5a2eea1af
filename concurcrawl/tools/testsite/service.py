"""The HTTP side of the test site, on aiohttp's low-level server.

No application, router or access log: each costs as much as sending a page does.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from concurcrawl.tools.testsite.counts import (
    COUNTS_PATH,
    RESET_PATH,
    Arrival,
    SeenCounts,
    SeenRequest,
    to_json,
)
from concurcrawl.tools.testsite.encodings import choose
from concurcrawl.tools.testsite.faults import SPOILT, STATUSES, Faults, RetryAfter
from concurcrawl.tools.testsite.hosts import host_name
from concurcrawl.tools.testsite.log import LOG_PATH, RequestLog
from concurcrawl.tools.testsite.sending import SiteResponse, send, send_badly

if TYPE_CHECKING:
    from concurcrawl.tools.testsite.bodies import Bodies
    from concurcrawl.tools.testsite.encodings import Encoding

_HTML = "text/html; charset=UTF-8"
_TEXT = "text/plain; charset=UTF-8"
_JSON = "application/json; charset=UTF-8"
_JSON_LINES = "application/jsonl; charset=UTF-8"
_OWN_METHODS = {COUNTS_PATH: "GET", LOG_PATH: "GET", RESET_PATH: "POST"}


class Service:
    """Answers requests and counts them.

    Args:
        bodies: The site.
        latency_s: Wait before the first byte of an answer.
        bandwidth: Most bytes per second of one answer; None for no cap.
        robots: Text of ``/robots.txt``.
        faults: Which requests are answered badly.
        retry_after: What a 429 and a 503 ask for.
        log: Where each request is written down; None for nowhere.
        stall_s: When an answer that stalls is given up.
    """

    def __init__(  # noqa: PLR0913 - keywords only, an option each
        self,
        bodies: Bodies,
        *,
        latency_s: float = 0.0,
        bandwidth: float | None = None,
        robots: str = "",
        faults: Faults | None = None,
        retry_after: RetryAfter | None = None,
        log: RequestLog | None = None,
        stall_s: float = 60.0,
    ) -> None:
        self._bodies = bodies
        self._latency_s = latency_s
        self._bandwidth = bandwidth
        self._robots = robots.encode()
        self._faults = faults or Faults()
        self._retry_after = retry_after or RetryAfter()
        self._log = log
        self._stall_s = stall_s
        self._tally = SeenCounts(time.process_time(), log)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*; this is what ``web.Server`` is given.

        To be run with ``handler_cancellation``: it ends when the client is gone.
        """
        raw_path = request.raw_path.partition("?")[0]
        if raw_path in _OWN_METHODS:
            return self._own_address(request, raw_path)
        page = self._bodies.find(raw_path)
        headers = request.headers
        host, agent = host_name(headers.get("Host", "")), headers.get("User-Agent", "")
        arrival = Arrival(time.monotonic(), host, agent, request.raw_path, page)
        seen, sent = self._tally.arrived(arrival), 0
        try:
            fault = None
            if request.method == "GET":
                fault = self._faults.next(host, page or raw_path)
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            answer = self._decide(request, raw_path, page, fault)
            response = await self._send(request, answer, fault, seen)
            if request.method != "HEAD" and fault not in SPOILT:
                sent = len(answer.body)
        except ConnectionError:  # the client is gone
            return web.Response()  # not sent
        else:
            return response
        finally:
            self._tally.left(seen, time.monotonic(), sent)

    async def _send(
        self,
        request: web.BaseRequest,
        answer: SiteResponse,
        fault: str | None,
        seen: SeenRequest,
    ) -> web.StreamResponse:
        """Send *answer* or spoil it, and count what was done."""
        status = None if fault == "garbage" else answer.status
        is_page = answer.is_page and fault not in SPOILT
        self._tally.answered(seen, status, is_page=is_page, fault=fault)
        started_s = time.monotonic()
        if request.transport is not None:
            # "In flight" ends with the last byte: drain() is to wait for that.
            request.transport.set_write_buffer_limits(0)
        if fault is None or fault in STATUSES:
            response = await send(request, answer, self._bandwidth)
        else:
            response = await send_badly(request, answer, fault, self._stall_s)
        if answer.pause_s:
            # It ends as if the client had had the answer at once: never too late.
            seen.host.paused(time.monotonic(), started_s + answer.pause_s)
        return response

    def _own_address(self, request: web.BaseRequest, path: str) -> web.Response:
        method = _OWN_METHODS[path]
        if request.method != method:
            return web.Response(status=405, headers={"Allow": method})
        if path == RESET_PATH:
            self._tally.reset(time.process_time())
            self._faults.restart()
            return web.Response(status=204)
        if path == COUNTS_PATH:
            text, kind = to_json(self._tally.counts(time.process_time())), _JSON
        elif self._log is not None:
            text, kind = self._log.to_json_lines(), _JSON_LINES
        else:
            off = "No log is kept; start the test site with --log.\n"
            return web.Response(status=404, text=off)
        return web.Response(body=text.encode(), headers={"Content-Type": kind})

    def _decide(
        self,
        request: web.BaseRequest,
        raw_path: str,
        page: str | None,
        fault: str | None,
    ) -> SiteResponse:
        """Return what to send, or what to spoil."""
        if request.method not in {"GET", "HEAD"}:
            return SiteResponse(405, {"Allow": "GET, HEAD", "Content-Type": _TEXT}, b"")
        if fault in STATUSES:
            return self._refusal(HTTPStatus(STATUSES[fault]))
        if page is not None:
            encoding = choose(request.headers.get("Accept-Encoding", ""))
            known = None if fault else request.headers.get("If-None-Match")
            return self._page(page, encoding, known, request.method)
        if raw_path == "/robots.txt":
            return SiteResponse(200, {"Content-Type": _TEXT}, self._robots)
        return SiteResponse(404, {"Content-Type": _HTML}, _NOT_FOUND)

    def _refusal(self, status: HTTPStatus) -> SiteResponse:
        headers, pause_s = {"Content-Type": _HTML}, 0.0
        asked = self._retry_after.header(time.time())
        if asked is not None and status != HTTPStatus.INTERNAL_SERVER_ERROR:
            headers["Retry-After"], pause_s = asked
        body = f"<!DOCTYPE html>\n<title>{status.phrase}</title>\n".encode()
        return SiteResponse(status.value, headers, body, pause_s=pause_s)

    def _page(
        self, page: str, encoding: Encoding, known: str | None, method: str
    ) -> SiteResponse:
        etag = self._bodies.etag(page, encoding)
        headers = {"ETag": etag, "Vary": "Accept-Encoding"}
        if known == etag:
            return SiteResponse(304, headers, b"")
        headers["Content-Type"] = _HTML
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        body = self._bodies.get(page, encoding)
        return SiteResponse(200, headers, body, is_page=method == "GET")


_NOT_FOUND = (
    b'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="UTF-8"/>'
    b"<title>Not found</title></head>\n<body><h1>Not found</h1>"
    b"<p>This test site has no page of that name.</p></body>\n</html>\n"
)
