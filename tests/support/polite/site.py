"""A site, and a proxy, that remembers the headers of what it was asked.

``python -m tests.support.polite.site`` prints its URL. What it was asked is at
``/asked``, one JSON object per line.
"""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

from tests.support.servers.plain import serve

ROBOTS = b"User-agent: *\nDisallow: /forbidden\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        if self.path == "/asked":
            self.give("\n".join(map(json.dumps, self.asked)).encode(), compress=False)
            return
        self.asked.append({**dict(self.headers.items()), "path": self.path})
        if self.path == "/away":
            port = self.headers["Host"].rpartition(":")[2]
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        accepted = self.headers.get("Accept-Encoding") or ""
        body = ROBOTS if self.path == "/robots.txt" else f"at {self.path}".encode()
        self.give(body, compress="gzip" in accepted)

    def do_CONNECT(self) -> None:
        self.do_GET()

    def give(self, body: bytes, *, compress: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Set-Cookie", "session=of-the-site")
        if compress:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


if __name__ == "__main__":
    serve(Handler)
