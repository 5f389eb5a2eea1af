"""The site of the any-spider tests, a process that prints its URL and then serves."""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import web

PAGES = 5


class Site:
    def __init__(self) -> None:
        self.flaky: dict[str, int] = {}

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
        return web.Response(
            text=f"User-agent: *\nDisallow: /forbidden/\nSitemap: {base}/sitemap.xml\n"
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


def html(body: str, status: int = 200) -> web.Response:
    return web.Response(
        text=f"<html><body>{body}</body></html>",
        content_type="text/html",
        status=status,
    )


async def main() -> None:
    site = Site()
    app = web.Application()
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
        ("/sitemap.xml", site.sitemap),
        ("/forbidden/{status}", site.status),
        ("/hang", site.hang),
    ):
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    # Ends with the test process, which holds the other end of our standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
