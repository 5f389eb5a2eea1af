"""The HTTP API of the control door: routes, authentication, error responses."""

from __future__ import annotations

import hmac
import json
import logging
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from concurcrawl.control import openapi
from concurcrawl.control.operations import STOPPED
from concurcrawl.control.start_requests import check_fields
from concurcrawl.errors import ConcurcrawlError, ControlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from concurcrawl.control.operations import CrawlControl

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)

#: The largest body that is read, in bytes: some ten thousand URLs.
MAX_BODY = 4 << 20

_REASON = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class ControlServer:
    """Answers requests for one crawl."""

    def __init__(
        self, control: CrawlControl, token: str | None, stream: Handler | None
    ) -> None:
        """Make one.

        Args:
            control: The operations.
            token: The bearer token; None where only the owner can connect.
            stream: Sends events of the crawl until it ends.
        """
        self._stream = stream
        self._control = control
        self._token = token

    def app(self) -> web.Application:
        """Return the application."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        app = web.Application(client_max_size=MAX_BODY, middlewares=[guard])
        add = app.router.add_route
        add("GET", "/v1/status", self._status)
        add("GET", "/v1/openapi.json", self._openapi)
        if self._stream is not None:
            add("GET", "/v1/events", self._stream)
        add("POST", "/v1/requests", self._add)
        add("POST", "/v1/stop", self._stop)
        add("POST", "/v1/pause", self._pause)
        add("POST", "/v1/resume", self._resume)
        add("POST", "/v1/retry", self._retry)
        add("PATCH", "/v1/groups/{group}", self._limits)
        return app

    async def _guard(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Check the token, and turn every error into a JSON response."""
        # A browser sends Origin with what a page of another site asks for.
        if "Origin" in request.headers:
            return _error(403, "pages in a browser may not use the control door")
        if not self._is_known(request):
            return _error(401, "the token is missing or wrong (Authorization: Bearer)")
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered
            return _answer_to(error, request)

    def _is_known(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        is_same = hmac.compare_digest(token.strip().encode(), self._token.encode())
        return is_same and scheme.lower() == "bearer"

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(self._control.status())

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(openapi.document())

    async def _add(self, request: web.Request) -> web.Response:
        urls = (await _body(request, "urls")).get("urls")
        if not isinstance(urls, list):
            raise _MalformedError(400, "urls must be a list")
        for one in urls:
            try:
                check_fields(one)
            except ControlError as error:
                raise _MalformedError(400, str(error)) from error
        return web.json_response((await self._control.add(urls)).as_json())

    async def _stop(self, request: web.Request) -> web.Response:
        reason = (await _body(request, "reason")).get("reason", STOPPED)
        if not isinstance(reason, str) or not _REASON.fullmatch(reason):
            raise _MalformedError(400, "reason must be a word such as stopped")
        self._control.stop(reason)
        return await self._status(request)

    async def _pause(self, request: web.Request) -> web.Response:
        await _body(request)
        self._control.pause()
        return await self._status(request)

    async def _resume(self, request: web.Request) -> web.Response:
        await _body(request)
        self._control.resume()
        return await self._status(request)

    async def _retry(self, request: web.Request) -> web.Response:
        await _body(request)
        return web.json_response({"retried": await self._control.retry()})

    async def _limits(self, request: web.Request) -> web.Response:
        fields = await _body(request, "in_flight", "delay_s")
        changed = self._control.change_limits(
            request.match_info["group"],
            _number(fields, "in_flight", int),
            _number(fields, "delay_s", int, float),
        )
        return web.json_response(changed)


class _MalformedError(Exception):
    """A request that cannot be understood; its text is the answer."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


async def _body(request: web.Request, *names: str) -> Mapping[str, Any]:
    """Return the JSON object of *request*, which may have the fields *names*.

    An empty body is an empty object.
    """
    if (request.content_length or 0) > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, request.content_length or 0)
    raw = await request.read()
    try:
        found = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise _MalformedError(400, f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise _MalformedError(400, "the body must be a JSON object")
    for name in found:
        if name not in names:
            known = ", ".join(names) or "no fields"
            raise _MalformedError(400, f"unknown field {name[:80]!r}; known: {known}")
    return found


def _number(fields: Mapping[str, Any], name: str, *kinds: type) -> Any:
    value = fields.get(name)
    if value is not None and type(value) not in kinds:
        what = "a number" if float in kinds else "a whole number"
        raise _MalformedError(400, f"{name} must be {what}")
    return value


def _answer_to(error: Exception, request: web.Request) -> web.Response:
    match error:
        case _MalformedError():
            return _error(error.code, str(error))
        case ConcurcrawlError():
            return _error(409, str(error))
        case web.HTTPRequestEntityTooLarge():
            return _too_large()
        case web.HTTPException():
            return _error(error.status, f"{request.method} {request.path}: {error}")
    logger.error("The control door could not answer %s", request.path, exc_info=error)
    return _error(500, "the crawl could not do this; its log says why")


def _error(code: int, what: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if code == 401 else None
    return web.json_response({"error": what}, status=code, headers=headers)


def _too_large() -> web.Response:
    response = _error(
        413, f"the body is larger than {MAX_BODY} bytes; send it in parts"
    )
    response.force_close()  # the rest of it is not read
    return response
