"""Messages about signals: what receivers in the supervisor want, and get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.http import Response

    from concurcrawl.integrations.receivers import SignalName


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Supervisor to worker: report these signals from now on.

    Names are those of ``scrapy.signals``.

    Attributes:
        signals: Signals that have receivers in the supervisor.
        with_response: Those of which a receiver takes the response.
        with_content: Those of which a receiver of the project's own takes the
            response; includes signals about items, which the supervisor sends.
        with_request: Those of which such a receiver takes the request or the response.
        own: Signals that are not Scrapy's.
    """

    signals: frozenset[str] = frozenset()
    with_response: frozenset[str] = frozenset()
    with_content: frozenset[str] = frozenset()
    with_request: frozenset[str] = frozenset()
    own: tuple[SignalName, ...] = ()


class ResponseContent(NamedTuple):
    """A response without its :class:`ResponseMeta`.

    Attributes:
        body: Its body.
        encoding: Encoding of its text; None if it has none.
        certificate: TLS certificate in DER, or None.
        is_wrapped: Whether the certificate was a Twisted object.
        own: The whole response, encoded, if its class is not Scrapy's and it can be.
    """

    body: bytes
    encoding: str | None
    certificate: bytes | None
    is_wrapped: bool
    own: bytes | None


class ResponseMeta(NamedTuple):
    """A response without its body.

    Attributes:
        kind: Its class, or the nearest of its bases that other processes can make.
        address: Its IP address, packed.
        content: The rest, if a receiver of the project's own wants it.
    """

    kind: type[Response]
    url: str
    status: int
    headers: Mapping[bytes, list[bytes]]
    flags: tuple[str, ...]
    protocol: str | None
    address: bytes | None = None
    content: ResponseContent | None = None


class RequestState(NamedTuple):
    """The attributes of a leased request that middlewares and callbacks change.

    Attributes:
        meta: Each key with its value, encoded.
        lost: Keys whose values cannot be encoded, as text, and the values' classes.
    """

    headers: Mapping[bytes, list[bytes]]
    flags: tuple[str, ...]
    meta: tuple[bytes, ...]
    lost: tuple[tuple[str, str], ...]


class Event(NamedTuple):
    """One of Scrapy's signals, which the supervisor sends for the worker.

    Attributes:
        signal: Its name in ``scrapy.signals``.
        response: Index in ``RequestResult.responses``; None if there is none, or no
            receiver wants it.
        failure: For ``spider_error``, the encoded ``Failure``.
        request: The request, encoded, if it is not the leased one.
        latency_s: Scrapy's ``download_latency``.
        state: State of the request, if a receiver of the project's own wants it.
        slot: Scrapy's ``download_slot``.
    """

    signal: str
    response: int | None = None
    failure: bytes | None = None
    request: bytes | None = None
    latency_s: float | None = None
    state: RequestState | None = None
    slot: str | None = None


class OwnEvent(NamedTuple):
    """A signal of the project's own that was sent in a worker.

    Attributes:
        number: That of its ``SignalName``.
        about: The signal's arguments, encoded.
        receivers: Names of the receivers that the worker itself has called.
        problem: Why the arguments cannot be encoded, if they cannot.
    """

    number: int
    about: bytes
    receivers: tuple[str, ...] = ()
    problem: str = ""
