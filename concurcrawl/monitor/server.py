"""The HTTP server of a crawl: metrics, the page, its events, and its buttons."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from concurcrawl.errors import ConcurcrawlError, ControlError
from concurcrawl.monitor.address import LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from concurcrawl.monitor.snapshot import CrawlSnapshot

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Report = Callable[[str], Awaitable[bytes]]

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
#: Nothing from elsewhere, nothing in the page itself, and no other page around it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

#: A report has its script in itself.
_REPORT_HEADERS = _HEADERS | {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline' "
    "'unsafe-eval'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
}

#: Seconds between two events.
_INTERVAL_S = 1.0
#: Pages that may be open at a time.
_MOST_PAGES = 20
#: Points of the charts that are kept for pages that open later.
_HISTORY = 300
#: Longest body of a button.
_LONGEST_BODY = 4096
#: Seconds in which a page must have taken the last event, and others their answers.
_LAST_EVENT_S = 5.0
_SHUTDOWN_S = 0.5


class Steering(Protocol):
    """What buttons do. It raises a ConcurcrawlError for what makes no sense."""

    async def do(self, what: str, arguments: Mapping[str, Any]) -> Any:
        """Do *what*; return what JSON can say of it."""


class Dashboard:
    """The page of one crawl.

    Invariant: between two events of a page that is open, and while none is, nothing
    runs.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[dict[str, Any]]],
        *,
        token: str,
        is_open: bool,
        steering: Steering | None = None,
        on_watched: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Make one.

        Args:
            look: Returns the values of the crawl's snapshot as it is now.
            token: What a button must know.
            is_open: Whether only this machine reaches the page, so that it may be seen
                without the token.
            steering: What buttons do; None for no buttons.
            on_watched: Called with True when the first page is opened, and with False
                when the last is closed.
        """
        self._look = look
        self._token = token
        self._is_open = is_open
        self._steering = steering
        self._on_watched = on_watched
        self._pages: dict[web.StreamResponse, asyncio.Task[Any] | None] = {}
        self._is_over = False
        self._history: deque[tuple[float, int, int]] = deque(maxlen=_HISTORY)
        self._report: Report | None = None

    @property
    def history(self) -> Sequence[tuple[float, int, int]]:
        """The points of the charts: elapsed seconds, pages and items."""
        return tuple(self._history)

    def restore(self, history: Sequence[tuple[float, int, int]]) -> None:
        """Take the charts of an earlier process."""
        self._history.extend(history)

    def offer_report(self, make: Report) -> None:
        """Link pages of a crawl that has ended to a report; before :meth:`add_to`.

        Args:
            make: Returns the report as HTML, given the file of the crawl's records.
        """
        self._report = make

    @property
    def report_path(self) -> str:
        """Where the report is, for those who may see the page.

        A link cannot send the token, and an address must not have it: addresses are
        kept. The key in it opens nothing else.
        """
        key = hmac.new(self._token.encode(), b"report", hashlib.sha256).hexdigest()
        return f"report?key={key[:32]}"

    def add_to(self, app: web.Application) -> None:
        """Add the routes of the page to *app*."""
        app.middlewares.append(self._guard)
        for path in _FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/events", self._events)
        app.router.add_get("/snapshot", self._snapshot)
        if self._report is not None:
            app.router.add_get("/report", self._show_report)
        app.router.add_post("/v1/{what}", self._steer)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send events to the client of *request*, until the crawl ends or it is closed.

        Raises:
            ControlError: If too many look already.
        """
        if len(self._pages) >= _MOST_PAGES:
            raise ControlError("this page is open too often")
        page = web.StreamResponse(headers=_HEADERS)
        page.content_type = "text/event-stream"
        await page.prepare(request)
        self._pages[page] = asyncio.current_task()
        self._tell_watched()
        try:
            await self._send_all(page)
        except (ConnectionError, ConcurcrawlError):
            pass  # the page was closed, or the crawl cannot be read: it asks again
        finally:
            self._pages.pop(page, None)
            self._tell_watched()
        return page

    async def end(self) -> None:
        """Tell all pages that the crawl has ended."""
        self._is_over = True
        pages, self._pages = self._pages, {}
        seen = await self._seen()
        await asyncio.gather(*(_end_in_time(page, seen) for page in pages))
        for task in pages.values():
            if task is not None:
                task.cancel()

    # ---------------------------------------------------------------------------------

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Let no page of another site see or do anything.

        Such a page may have its own name point to this machine (DNS rebinding); the
        name is then in the header ``Host``.
        """
        try:
            self._require_host(request)
            return await handler(request)
        except _RefusedError as error:
            return web.json_response(
                {"error": error.reason}, status=error.status, headers=_HEADERS
            )
        except ConcurcrawlError as error:
            return web.json_response(
                {"error": str(error)}, status=503, headers=_HEADERS
            )

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = _FILES[request.path]
        body = (_PAGE / name).read_bytes()
        return web.Response(
            body=body, content_type=kind, charset="utf-8", headers=_HEADERS
        )

    def _require_host(self, request: web.Request) -> None:
        if self._is_open and _host_of(request) not in LOOPBACK:
            raise _RefusedError(403, "ask for this page as localhost or 127.0.0.1")

    def _require_sight(self, request: web.Request) -> None:
        if not (self._is_open or self._knows_token(request)):
            raise _RefusedError(401, "the token of this crawl is needed")

    def _knows_token(self, request: web.Request) -> bool:
        said = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(said.encode(), self._token.encode())

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        self._require_sight(request)
        return web.json_response(await self._seen(), headers=_HEADERS)

    async def _show_report(self, request: web.Request) -> web.StreamResponse:
        _, _, key = self.report_path.partition("=")
        given = request.query.get("key", "")
        if not hmac.compare_digest(given.encode(), key.encode()):
            self._require_sight(request)
        records = (await self._look())["records"]
        if self._report is None or not (self._is_over and records):
            raise _RefusedError(404, "there is no report of this crawl yet")
        body = await self._report(records)
        return web.Response(
            body=body,
            content_type="text/html",
            charset="utf-8",
            headers=_REPORT_HEADERS,
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._require_sight(request)
        return await self.stream(request)

    async def _send_all(self, page: web.StreamResponse) -> None:
        await _send(page, "history", list(self._history))
        sent: Any = None
        while not self._is_over:
            seen = await self._seen()
            if seen["errors"] == sent:  # tracebacks are long, and mostly known
                seen["errors"] = None
            else:
                sent = seen["errors"]
            await _send(page, "message", seen)
            # A sleep of ours does not count as something that may move the crawl,
            # see watchdog/timers.py; a time-out would.
            await asyncio.sleep(_INTERVAL_S)
        await _end(page, await self._seen())

    def _tell_watched(self) -> None:
        if not self._is_over:
            self._on_watched(bool(self._pages))

    async def _seen(self) -> dict[str, Any]:
        seen = await self._look()
        progress = seen["progress"]
        point = (round(seen["elapsed_s"], 2), progress["pages"], progress["items"])
        if not self._history or point[0] > self._history[-1][0]:
            self._history.append(point)
        has_report = self._report is not None and self._is_over and seen["records"]
        return seen | {
            "can_steer": self._steering is not None,
            "report": self.report_path if has_report else "",
        }

    async def _steer(self, request: web.Request) -> web.StreamResponse:
        # A page of another site cannot send this header: it would have to ask first,
        # and nothing here answers that.
        if not self._knows_token(request):
            raise _RefusedError(401, "wrong token")
        if self._steering is None or self._is_over:
            raise _RefusedError(409, "this crawl cannot be steered any more")
        arguments = await _arguments(request)
        try:
            done = await self._steering.do(request.match_info["what"], arguments)
        except KeyError as error:
            raise _RefusedError(404, f"there is no {error}") from error
        except ConcurcrawlError as error:
            raise _RefusedError(400, str(error)) from error
        return web.json_response({"done": done}, headers=_HEADERS)


class _RefusedError(Exception):
    """A request is refused."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


async def _arguments(request: web.Request) -> dict[str, Any]:
    try:
        arguments = json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise _RefusedError(400, "the body is no JSON") from error
    if not isinstance(arguments, dict):
        raise _RefusedError(400, "the body is no JSON object")
    return arguments


def _host_of(request: web.Request) -> str:
    host = request.headers.get("Host", "")
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


async def _send(response: web.StreamResponse, kind: str, told: Any) -> None:
    data = json.dumps(told, separators=(",", ":"))
    await response.write(f"event: {kind}\ndata: {data}\n\n".encode())


async def _end_in_time(page: web.StreamResponse, seen: Any) -> None:
    """End *page*, unless its browser reads nothing."""
    with suppress(ConnectionError, TimeoutError):
        await asyncio.wait_for(_end(page, seen), _LAST_EVENT_S)


async def _end(page: web.StreamResponse, seen: Any) -> None:
    await _send(page, "end", seen)
    await page.write_eof()


class Server:
    """Listens at one address."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.app = web.Application(client_max_size=_LONGEST_BODY)
        self._runner: web.AppRunner | None = None

    def serve_metrics(self, look: Callable[[], Awaitable[CrawlSnapshot]]) -> None:
        """Serve what *look* returns at ``/metrics``."""
        from concurcrawl.monitor import prometheus  # needs an extra

        async def metrics(_: web.Request) -> web.Response:
            body = prometheus.exposition(await look())
            headers = {"Content-Type": prometheus.CONTENT_TYPE_LATEST}
            return web.Response(body=body, headers=headers)

        self.app.router.add_get("/metrics", metrics)

    async def start(self) -> Address:
        """Begin to listen; return where.

        Raises:
            OSError: If it cannot listen there.
        """
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        host, port = runner.addresses[0][:2]
        return Address(self._address.host or host, port)

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
