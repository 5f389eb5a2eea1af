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

#: Status codes of responses that have none, whatever their headers say.
NO_BODY = {204, 304}

_LENGTH = b"content-length"
_FRAMING = {_LENGTH, b"transfer-encoding"}
_LEFT_OUT = HOP_BY_HOP | {_LENGTH}


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
                unfolded[-1] += text  # as it is, which is what Twisted does
            elif text:
                unfolded.append(text)
        split = (line.split(b":", 1) for line in unfolded if b":" in line)
        return [(name, value.strip()) for name, value in split]


def framing(pairs: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Return the lower-case names of the headers that say where the body ends.

    If there is none, it ends with the connection.
    """
    return {name.lower() for name, _ in pairs} & _FRAMING


def body_length(
    pairs: Iterable[tuple[bytes, bytes]], status: int, *, is_head: bool
) -> int | None:
    """Return the announced size of a body in bytes, or None if there is no such.

    Args:
        pairs: Names and values of the headers.
        status: The status code.
        is_head: Whether the request was a HEAD.
    """
    if is_head or status in NO_BODY:
        return 0
    found = {name.lower(): value for name, value in pairs if name.lower() in _FRAMING}
    value = found.get(_LENGTH, b"")
    return int(value) if len(found) == 1 and value.isdigit() else None


def headers_of(
    pairs: Iterable[tuple[bytes, bytes]], length: int | None, *, is_head: bool
) -> Headers:
    """Return the headers of a response as Scrapy's own handler does.

    That leaves out those about the connection. Content-Length comes first and says what
    :func:`body_length` does, but for a HEAD what the server says, if it does.
    """
    headers = Headers()
    if length is not None:
        headers[_LENGTH] = b"%d" % length
        if is_head:
            own = [value for name, value in pairs if name.lower() == _LENGTH]
            headers[_LENGTH] = own or b"0"
    for name, value in pairs:
        if name.lower() not in _LEFT_OUT:
            # The methods of Headers do the same, but convert the bytes three times.
            dict.setdefault(headers, name.title(), []).append(value)
    return headers
