"""A site with a list of countries, some of whose pages go wrong.

``python -m tests.support.country_site`` prints its URL. What it was asked for is at
``/asked``, one path per line.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

from tests.support.servers.plain import serve

PAGES = Path(__file__).parent / "pages"

LISTED = {
    "Malta": "Malta",
    "Monaco": "Monaco",  # compressed
    "Chad": "Tchad",  # redirected to a page that is not listed
    "Niue": "Niue",  # redirected to one that is: Malta
    "Both/Halves": "Both%2FHalves",
    "Peru": "Peru",  # 404
    "Chile": "Chile",  # 204
    "Ghana": "Ghana",  # 503, always
    "Qatar": "Qatar",  # ends in the middle
}
SAVED = ("Malta", "Monaco", "Chad", "Niue", "Both/Halves")


def body_of(title: str) -> bytes:
    """Return the page *title*, not all of it text."""
    return f"<html><h1>{title}</h1>".encode() + b"\xff\x00\r\n" + b"x" * 100_000


def list_page() -> bytes:
    rows = "".join(
        f'<tr><td><a href="/wiki/{title}">{name}</a></td><td>1,000</td></tr>'
        for name, title in LISTED.items()
    )
    head = "<tr><th>Country</th><th>Population</th></tr>"
    return f'<table class="wikitable">{head}{rows}</table>'.encode()


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    missing: int = 0
    """Bytes at the end that are announced and do not come."""


def redirect(target: str) -> Answer:
    return Answer(status=301, headers=(("Location", target),))


SPECIAL = {
    "/robots.txt": Answer(status=404),
    "/wiki/List": Answer(body=list_page()),
    "/wiki/Copy": Answer(body=(PAGES / "un_2019.html").read_bytes()),
    "/wiki/Nothing": Answer(body=(PAGES / "no_list.html").read_bytes()),
    "/wiki/Picture": Answer(body=b"\x89PNG", kind="image/png"),
    "/wiki/Gone": Answer(status=404, body=b"not here"),
    "/wiki/Monaco": Answer(
        body=gzip.compress(body_of("Monaco")), headers=(("Content-Encoding", "gzip"),)
    ),
    "/wiki/Tchad": redirect("/wiki/Republic_of_Chad"),
    "/wiki/Niue": redirect("/wiki/Malta"),
    "/wiki/Peru": Answer(status=404, body=b"not here"),
    "/wiki/Chile": Answer(status=204),
    "/wiki/Ghana": Answer(status=503, body=b"later"),
    "/wiki/Qatar": Answer(body=body_of("Qatar"), missing=5),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if self.path == "/asked":
            self.give(Answer(body="\n".join(self.asked).encode()))
            return
        self.asked.append(self.path)
        title = self.path.removeprefix("/wiki/")
        self.give(SPECIAL.get(self.path) or Answer(body=body_of(title)))

    def give(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != 204:  # which has no body, and so no length
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) - answer.missing])
        self.close_connection = self.close_connection or answer.missing > 0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


if __name__ == "__main__":
    serve(Handler)
