"""How requests are kept in the frontier of a supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from concurcrawl.workers.protocol.pickle_codec import read_back

if TYPE_CHECKING:
    from scrapy import Request

    from concurcrawl.workers.protocol.pickle_codec import Codec


class RequestEncoding(Protocol):
    """Encodes requests for the frontier, and reads what it leases.

    Attributes:
        is_workers: Whether it is the encoding of workers, so that what one has made
            can be kept as it came.
    """

    is_workers: bool

    def encode(self, request: Request) -> bytes:
        """Return *request* as the frontier keeps it.

        Raises:
            NotShippableError: If it holds something that cannot leave the process.
            NotJsonError: If it holds something that other machines cannot read.
        """

    def decode(self, payload: bytes) -> tuple[Request, bytes]:
        """Return a request that was kept, and its encoding for workers.

        Raises:
            UnreadableError: If its class fails.
            NotJsonError: If another machine has written something else.
        """


class PickleEncoding(RequestEncoding):
    """Requests as workers send them."""

    is_workers = True

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def encode(self, request: Request) -> bytes:
        """Return *request*, pickled."""
        return self._codec.encode(request)

    def decode(self, payload: bytes) -> tuple[Request, bytes]:
        """Return the request, and *payload* itself."""
        request: Request = read_back("a request", payload, self._codec)
        return request, payload
