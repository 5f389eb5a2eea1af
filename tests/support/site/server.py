"""The site of the any-spider tests, a process that prints its URL and then serves.

It listens on the addresses that it is called with, all on one port, and remembers what
came when: ``/log`` tells, ``/forget`` forgets.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAGES = 5

#: Hosts whose robots.txt is elsewhere.
MOVED_ROBOTS = {"127.0.0.6", "127.0.0.7"}

#: How long a full line waits for one too many.
SETTLE_S = 0.02
#: How long a line that is not full waits for another.
PATIENCE_S = 30.0


@dataclass
class Line:
    """Those that may be here only ``limit`` at a time, and are ``pages`` in all."""

    limit: int
    pages: int
    came: int = 0
    is_settling: bool = False
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class Site:
    def __init__(self) -> None:
        self.flaky: dict[str, int] = {}
        self.visits: list[dict[str, Any]] = []
        self.lines: dict[str, Line] = {}

    async def quotes(self, request: web.Request) -> web.Response:
        page = int(request.match_info["page"])
        quotes = "".join(
            f'<div class="quote"><span class="text"> words {page}-{n} </span>'
            f'<small>author {n}</small><a class="tag">t{n}</a>'
            '<a class="tag">u</a></div>'
            for n in range(6)
        )
        following = (
            f'<ul><li class="next"><a href="/quotes/{page + 1}">Next</a></li></ul>'
            if page < PAGES
            else ""
        )
        return html(f"<title>page {page}</title>{quotes}{following}")

    async def tree(self, request: web.Request) -> web.Response:
        node = int(request.match_info["node"])
        links = "".join(
            f'<a href="/tree/{child}">node {child}</a>'
            for child in (2 * node, 2 * node + 1, node // 2)
            if 0 < child < 16
        )
        return html(f'{links}<a href="/quotes/{node % 4 + 1}">quotes</a>')

    async def login(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            form = await request.post()
            if form.get("password") != "secret" or form.get("token") != "t0k3n":
                return html("wrong")
            answer = html("<p>welcome</p>")
            answer.set_cookie("session", "open")
            return answer
        return html(
            '<form action="/login" method="post"><input name="user">'
            '<input type="hidden" name="token" value="t0k3n">'
            '<input type="password" name="password"></form>'
        )

    async def private(self, request: web.Request) -> web.Response:
        if request.cookies.get("session") != "open":
            return html("<p>forbidden</p>")
        return html(f"<p>secret {request.match_info['number']}</p>")

    async def session(self, request: web.Request) -> web.Response:
        answer = html("ok")
        answer.set_cookie("who", request.match_info["name"])
        return answer

    async def whoami(self, request: web.Request) -> web.Response:
        return html(request.cookies.get("who", "nobody"))

    async def status(self, request: web.Request) -> web.Response:
        return html("<p>as asked</p>", status=int(request.match_info["status"]))

    async def flaky_page(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.flaky[name] = self.flaky.get(name, 0) + 1
        return html("<p>flaky</p>", status=503 if self.flaky[name] % 2 else 200)

    async def echo(self, request: web.Request) -> web.Response:
        body = await request.text()
        said = {"number": request.headers.get("X-Number"), "body": body}
        return web.Response(text=json.dumps(said), content_type="application/json")

    async def redirect(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        to = f"/redirect/{number - 1}" if number else "/status/200?redirected"
        return web.Response(status=302, headers={"Location": to})

    async def refresh(self, request: web.Request) -> web.Response:
        return html(
            '<meta http-equiv="refresh" content="0; url=/status/200?refreshed">'
        )

    async def robots(self, request: web.Request) -> web.Response:
        base = f"http://{request.host}"
        if request.url.host in MOVED_ROBOTS and request.path == "/robots.txt":
            return web.Response(status=302, headers={"Location": "/robots2.txt"})
        delay = "Crawl-delay: 0.2\n" if request.url.host == "127.0.0.3" else ""
        return web.Response(
            text=f"User-agent: *\nDisallow: /forbidden/\n{delay}"
            f"Sitemap: {base}/sitemap.xml\n"
        )

    async def sitemap(self, request: web.Request) -> web.Response:
        base = f"http://{request.host}"
        urls = "".join(
            f"<url><loc>{base}/quotes/{n + 1}</loc></url>" for n in range(PAGES)
        )
        return web.Response(
            text=f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/'
            f'sitemap/0.9">{urls}</urlset>',
            content_type="application/xml",
        )

    async def hang(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("s", "30")))
        return html("<p>slow</p>")

    async def full(self, request: web.Request) -> web.Response:
        """Answer the oldest of a line, once all that may be here are here."""
        query = request.query
        line = self.lines.setdefault(
            query["line"], Line(int(query["limit"]), int(query["pages"]))
        )
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(mine)
        line.came += 1
        self.look(int(query["total"]), int(query["last"]))
        try:
            await asyncio.wait_for(mine, PATIENCE_S)
        except TimeoutError:
            line.waiting.remove(mine)
            return html("<p>the others did not come</p>", status=404)
        return html("<p>full</p>")

    def look(self, total: int, last: int) -> None:
        """See which lines are full, and have one of each go soon."""
        for line in self.lines.values():
            if not line.is_settling and self.is_full(line, total, last):
                line.is_settling = True
                loop = asyncio.get_running_loop()
                loop.call_later(SETTLE_S, self.let_go, line, total, last)

    def is_full(self, line: Line, total: int, last: int) -> bool:
        here = sum(len(other.waiting) for other in self.lines.values())
        if sum(other.pages - other.came for other in self.lines.values()) < last:
            return bool(line.waiting)
        is_all = len(line.waiting) >= line.limit or here >= total
        return bool(line.waiting) and (is_all or line.came == line.pages)

    def let_go(self, line: Line, total: int, last: int) -> None:
        line.is_settling = False
        if self.is_full(line, total, last):
            line.waiting.pop(0).set_result(None)
        self.look(total, last)

    async def away(self, request: web.Request) -> web.Response:
        """Send to a page that takes as long."""
        await asyncio.sleep(float(request.query["s"]))
        to = f"/hang?{request.query_string}"
        return web.Response(status=302, headers={"Location": to})

    async def broken(self, request: web.Request) -> web.Response:
        """Fail each path once."""
        await asyncio.sleep(float(request.query["s"]))
        name = str(request.rel_url)
        self.flaky[name] = self.flaky.get(name, 0) + 1
        return html("<p>broken</p>", status=500 if self.flaky[name] == 1 else 200)

    async def busy(self, request: web.Request) -> web.Response:
        """Refuse each path once, and then serve it."""
        await asyncio.sleep(0.1)
        name = str(request.rel_url)
        self.flaky[name] = self.flaky.get(name, 0) + 1
        if self.flaky[name] > 1:
            return html("<p>at last</p>")
        refusal = html("<p>later</p>", status=429)
        refusal.headers["Retry-After"] = request.query["after"]
        return refusal

    async def log(self, request: web.Request) -> web.Response:
        return web.json_response(self.visits)

    async def forget(self, request: web.Request) -> web.Response:
        self.visits.clear()
        self.flaky.clear()
        self.lines.clear()
        return html("forgotten")

    @web.middleware
    async def remember(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Write down when a request came and when its answer was ready."""
        if request.path in {"/log", "/forget"}:
            return await handler(request)
        visit = {
            "host": request.url.host,
            "path": str(request.rel_url),
            "came_s": time.monotonic(),
            "status": None,
        }
        self.visits.append(visit)
        try:
            response = await handler(request)
            visit["status"] = response.status
            return response
        finally:
            visit["went_s"] = time.monotonic()


def html(body: str, status: int = 200) -> web.Response:
    return web.Response(
        text=f"<html><body>{body}</body></html>",
        content_type="text/html",
        status=status,
    )


async def main() -> None:
    site = Site()
    app = web.Application(middlewares=[site.remember])
    for path, handler in (
        ("/quotes/{page}", site.quotes),
        ("/tree/{node}", site.tree),
        ("/login", site.login),
        ("/private/{number}", site.private),
        ("/session/{name}", site.session),
        ("/whoami", site.whoami),
        ("/status/{status}", site.status),
        ("/flaky/{name}", site.flaky_page),
        ("/echo", site.echo),
        ("/redirect/{number}", site.redirect),
        ("/refresh", site.refresh),
        ("/robots.txt", site.robots),
        ("/robots2.txt", site.robots),
        ("/sitemap.xml", site.sitemap),
        ("/forbidden/{status}", site.status),
        ("/hang", site.hang),
        ("/full", site.full),
        ("/busy", site.busy),
        ("/away", site.away),
        ("/broken", site.broken),
        ("/log", site.log),
        ("/forget", site.forget),
    ):
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    first, *others = sys.argv[1:] or ["127.0.0.1"]
    await web.TCPSite(runner, first, 0).start()
    host, port = runner.addresses[0][:2]
    for other in others:
        await web.TCPSite(runner, other, port).start()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    # Ends with the test process, which holds the other end of our standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
