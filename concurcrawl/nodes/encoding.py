"""Requests as other machines read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.workers.supervisor.encoding import RequestEncoding

if TYPE_CHECKING:
    from scrapy import Request

    from concurcrawl.nodes.json_codec import JsonCodec
    from concurcrawl.workers.protocol.pickle_codec import Codec


class JsonEncoding(RequestEncoding):
    """JSON in the frontier, and pickles for the workers of this machine."""

    is_workers = False

    def __init__(self, portable: JsonCodec, codec: Codec) -> None:
        self._portable = portable
        self._codec = codec

    def encode(self, request: Request) -> bytes:
        """Return *request* as JSON."""
        return self._portable.write_request(request)

    def decode(self, payload: bytes) -> tuple[Request, bytes]:
        """Return the request, and its encoding for workers."""
        request = self._portable.read_request(payload)
        return request, self._codec.encode(request)
