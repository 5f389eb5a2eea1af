"""Status line and headers of an HTTP response. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrapy.http import Headers

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Headers about the connection, not about the page; Scrapy drops them as well.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    }
)

_FRAMING = {b"content-length", b"transfer-encoding"}


@dataclass(slots=True)
class ResponseHead:
    """The lines of a response before its body, as they arrive.

    Attributes:
        lines: Raw lines, the status line first.
    """

    lines: list[bytes] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The status code; 0 if the status line holds none."""
        parts = self.lines[0].split(None, 2)
        return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0

    @property
    def protocol(self) -> str:
        """The protocol as the server writes it, such as ``HTTP/1.1``."""
        return self.lines[0].split(None, 1)[0].decode("latin-1")

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Return names and values in order, without lines that are no headers."""
        unfolded: list[bytes] = []
        for line in self.lines[1:]:
            text = line.rstrip(b"\r\n")
            if text[:1] in {b" ", b"\t"} and unfolded:
                unfolded[-1] += b" " + text.strip()
            elif text:
                unfolded.append(text)
        split = (line.split(b":", 1) for line in unfolded if b":" in line)
        return [(name, value.strip()) for name, value in split]


def framing(pairs: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Return the lower-case names of the headers that say where the body ends.

    If there is none, it ends with the connection.
    """
    return {name.lower() for name, _ in pairs} & _FRAMING


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of a response, without those about the connection."""
    headers = Headers()
    for name, value in pairs:
        if name.lower() not in HOP_BY_HOP:
            # The methods of Headers do the same, but convert the bytes three times.
            dict.setdefault(headers, name.title(), []).append(value)
    return headers


def content_length(headers: Headers) -> int | None:
    """Return the announced size of a body in bytes, or None."""
    value = headers.get(b"Content-Length")
    return int(value) if value is not None and value.isdigit() else None
