"""Reads responses that libcurl refuses because a header line has no colon.

libcurl ends the transfer there ("Header without colon") and has no option against it;
Scrapy and browsers skip the line. Pure: bytes in, calls out.

References:
    https://www.rfc-editor.org/rfc/rfc9112#section-6.3
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from concurcrawl.http.head import NO_BODY, ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_LINE = 1 << 20
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]+")


class _ReaderState(Enum):
    HEAD = auto()
    LENGTH = auto()
    UNTIL_CLOSE = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    DONE = auto()


class ResponseReader:
    """Parses one HTTP/1 response as libcurl does, but skips bad header lines.

    Args:
        on_header: Called with each header line and its line break; a value other than
            None ends the reading.
        on_chunk: Called with each part of the body; likewise.
        has_body: Whether the request's method allows a body.
    """

    def __init__(
        self,
        on_header: Callable[[bytes], int | None],
        on_chunk: Callable[[bytes], int | None],
        *,
        has_body: bool,
    ) -> None:
        self._on_header = on_header
        self._on_chunk = on_chunk
        self._has_body = has_body
        self._state = _ReaderState.HEAD
        self._head = ResponseHead()
        self._left = 0
        self._rest = b""
        self.is_ended = False

    @property
    def is_complete(self) -> bool:
        """Whether the connection may be closed at this point."""
        return self._state in {_ReaderState.DONE, _ReaderState.UNTIL_CLOSE}

    def feed(self, data: bytes) -> None:
        """Parse *data*; then :attr:`is_ended` says whether the response is complete.

        Raises:
            ValueError: If it is no HTTP/1 response.
        """
        self._rest += data
        while not self.is_ended and self._step():
            self.is_ended = self.is_ended or self._state is _ReaderState.DONE
        if len(self._rest) > _LONGEST_LINE:
            raise ValueError("a line without an end")

    def _step(self) -> bool:
        """Parse one part; return False if it is not complete yet."""
        if self._state in {
            _ReaderState.LENGTH,
            _ReaderState.UNTIL_CLOSE,
            _ReaderState.CHUNK,
        }:
            return self._body()
        line, found, rest = self._rest.partition(b"\n")
        if not found:
            return False
        self._rest = rest
        if self._state is _ReaderState.HEAD:
            self._header(line + found)
        elif self._state is _ReaderState.CHUNK_SIZE:
            size = line.split(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size):  # int() would take -1 as well
                raise ValueError("no size of a chunk")
            self._left = int(size, 16)
            self._state = _ReaderState.CHUNK if self._left else _ReaderState.TRAILER
        elif self._state is _ReaderState.CHUNK_END:
            self._state = _ReaderState.CHUNK_SIZE
        elif not line.strip():
            self._state = _ReaderState.DONE
        return True

    def _header(self, line: bytes) -> None:
        if not self._head.lines and not line.startswith(b"HTTP/1."):
            raise ValueError("no status line")
        self._head.lines.append(line)
        is_last = not line.strip()
        # Computed before the line is passed on: a wrong length is an error, and then
        # there is no response.
        state = self._state_after_head() if is_last else _ReaderState.HEAD
        if self._on_header(line) is not None:
            self.is_ended = True
            return
        self._state = state
        if is_last and state is _ReaderState.HEAD:
            self._head = ResponseHead()

    def _state_after_head(self) -> _ReaderState:
        if self._head.status < 200:
            return _ReaderState.HEAD
        if not self._has_body or self._head.status in NO_BODY:
            return _ReaderState.DONE
        pairs = [(name.lower(), value) for name, value in self._head.pairs()]
        codings = [value for name, value in pairs if name == b"transfer-encoding"]
        if any(b"chunked" in value.lower() for value in codings):
            return _ReaderState.CHUNK_SIZE
        values = [value for name, value in pairs if name == b"content-length"]
        if not values:
            return _ReaderState.UNTIL_CLOSE
        lengths = {part.strip() for part in b",".join(values).split(b",")}
        length = lengths.pop()
        if lengths or not length.isdigit():
            raise ValueError("no length of a body")
        self._left = int(length)
        return _ReaderState.LENGTH if self._left else _ReaderState.DONE

    def _body(self) -> bool:
        if not self._rest:
            return False
        if self._state is _ReaderState.UNTIL_CLOSE:
            part, self._rest = self._rest, b""
        else:
            part, self._rest = self._rest[: self._left], self._rest[self._left :]
            self._left -= len(part)
            if not self._left:
                is_chunk = self._state is _ReaderState.CHUNK
                self._state = _ReaderState.CHUNK_END if is_chunk else _ReaderState.DONE
        self.is_ended = self._on_chunk(part) is not None
        return True
