"""The site of the plugins' tests: a shop, an API that fetches for others, and a log."""

from __future__ import annotations

import asyncio
import base64
import struct
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAGES = 6

#: What browsers ask for by themselves.
_UNASKED = {"/favicon.ico"}

_SCRIPT = "<script>document.querySelector('h1').textContent = 'page {number}'</script>"


class Shop:
    def __init__(self) -> None:
        self.visits: list[dict[str, Any]] = []
        self.failed: set[str] = set()

    async def listing(self, request: web.Request) -> web.Response:
        links = "".join(f'<a href="/page/{n}">{n}</a>' for n in range(1, PAGES + 1))
        return html(f"<h1>list</h1>{links}")

    async def page(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        image = f'<img src="/image/{number}.png">'
        return html(f"<h1>page {number}</h1>{image}")

    async def script(self, request: web.Request) -> web.Response:
        script = _SCRIPT.format(number=int(request.match_info["number"]))
        return html(f"<h1></h1>{script}")

    async def login(self, request: web.Request) -> web.Response:
        answer = html("<h1>welcome</h1>")
        answer.set_cookie("login", "yes", max_age=3600)
        return answer

    async def member(self, request: web.Request) -> web.Response:
        return html(f"<h1>{request.cookies.get('login', 'no')}</h1>")

    async def flaky(self, request: web.Request) -> web.Response:
        is_first = request.path not in self.failed
        self.failed.add(request.path)
        return html("<h1>flaky</h1>", status=503 if is_first else 200)

    async def image(self, request: web.Request) -> web.Response:
        body = png(int(request.match_info["number"]))
        return web.Response(body=body, content_type="image/png")

    async def extract(self, request: web.Request) -> web.Response:
        """Answer as Zyte API does."""
        asked = await request.json()
        body = base64.b64encode(b"<html><h1>through the API</h1></html>").decode()
        answer: dict[str, Any] = {"url": asked["url"], "statusCode": 200}
        if "httpResponseBody" in asked:
            header = {"name": "Content-Type", "value": "text/html"}
            answer |= {"httpResponseBody": body, "httpResponseHeaders": [header]}
        if "product" in asked:
            answer["product"] = {"url": asked["url"], "name": "a product"}
        return web.json_response(answer)

    async def log(self, request: web.Request) -> web.Response:
        return web.json_response(self.visits)

    async def forget(self, request: web.Request) -> web.Response:
        self.visits.clear()
        self.failed.clear()
        return html("forgotten")

    @web.middleware
    async def remember(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if request.path not in {"/log", "/forget", *_UNASKED}:
            self.visits.append(
                {"came_s": time.monotonic(), "line": await line_of(request)}
            )
        return await handler(request)


async def line_of(request: web.Request) -> str:
    """Describe a request by what must be alike in every mode."""
    agent = request.headers.get("User-Agent", "").partition("/")[0] or "unnamed"
    parts = [request.method, request.path, agent]
    if "Authorization" in request.headers and request.method == "GET":
        parts.append("authorized")
    if request.method == "POST":
        asked = await request.json()
        parts += [asked["url"].rpartition("/")[2], *sorted(set(asked) - {"url"})]
    return " ".join(parts)


def html(body: str, status: int = 200) -> web.Response:
    text = f"<html><body>{body}</body></html>"
    return web.Response(text=text, content_type="text/html", status=status)


def png(number: int) -> bytes:
    """Make an image of one colour."""
    side = 60
    row = b"\0" + bytes([number * 7 % 256, number * 13 % 256, 99]) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack("!I", zlib.crc32(kind + data))
        return struct.pack("!I", len(data)) + kind + data + checksum

    header = struct.pack("!IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(row * side)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


async def main() -> None:
    shop = Shop()
    app = web.Application(middlewares=[shop.remember])
    for path, handler in (
        ("/list", shop.listing),
        ("/page/{number}", shop.page),
        ("/script/{number}", shop.script),
        ("/login", shop.login),
        ("/member/{number}", shop.member),
        ("/flaky/{number}", shop.flaky),
        ("/image/{number}.png", shop.image),
        ("/v1/extract", shop.extract),
        ("/log", shop.log),
        ("/forget", shop.forget),
    ):
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    # Ends with the test process, which holds the other end of our standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
