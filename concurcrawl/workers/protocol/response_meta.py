"""Responses and requests, as workers report them to receivers of signals.

Scrapy's own receivers look at the head of a response. A receiver of the project's own
may look at anything, so for it there is the body, and what middlewares and callbacks
have made of the request.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from scrapy.http import TextResponse

from concurcrawl.workers.protocol.messages.signals import (
    RequestState,
    ResponseContent,
    ResponseMeta,
)
from concurcrawl.workers.protocol.pickle_codec import has_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from scrapy.http import Response

    from concurcrawl.workers.protocol.pickle_codec import Codec

    Decode = Callable[[bytes], Any]


#: By the classes of the responses that were told of: what they are told to be.
_kinds: dict[type[Response], type[Response]] = {}


def meta_of(response: Response, content: ResponseContent | None = None) -> ResponseMeta:
    """Return what another process is told of *response*."""
    address = response.ip_address
    return ResponseMeta(
        kind=_kind(type(response)),
        url=response.url,
        status=response.status,
        headers=dict(response.headers),
        flags=tuple(response.flags),
        protocol=response.protocol,
        address=None if address is None else address.packed,
        content=content,
    )


def content_of(response: Response, codec: Codec) -> ResponseContent:
    """Return what :func:`head_of` leaves out of *response*."""
    certificate = response.certificate
    is_wrapped = hasattr(certificate, "dump")
    if is_wrapped:
        certificate = certificate.dump()
    own = None
    if not type(response).__module__.startswith("scrapy."):
        own = _encode_own(response, codec)
    is_text = isinstance(response, TextResponse)
    return ResponseContent(
        body=response.body,
        encoding=response.encoding if is_text else None,  # type: ignore[attr-defined]
        certificate=certificate if isinstance(certificate, bytes) else None,
        is_wrapped=is_wrapped,
        own=own,
    )


def _encode_own(response: Response, codec: Codec) -> bytes | None:
    request, response.request = response.request, None  # it is there already
    try:
        return codec.encode_plain(response)
    finally:
        response.request = request


def response_of(
    head: ResponseMeta, request: Request | None, decode: Decode
) -> Response:
    """Return the response that *head* tells of, to *request*.

    Its body is empty unless *head* has the whole of it.
    """
    whole = head.content
    if whole is None:
        return _make(head, request)
    response = _decode_own(whole, decode)
    if response is None:
        more: dict[str, Any] = {"body": whole.body}
        if issubclass(head.kind, TextResponse):
            more["encoding"] = whole.encoding
        response = _make(head, request, **more)
    response.request = request
    response.certificate = _certificate(whole)
    return response


def _make(head: ResponseMeta, request: Request | None, **more: Any) -> Response:
    return head.kind(
        url=head.url,
        status=head.status,
        headers=head.headers,
        flags=list(head.flags),
        request=request,
        protocol=head.protocol,
        ip_address=None if head.address is None else ip_address(head.address),
        **more,
    )


def _decode_own(whole: ResponseContent, decode: Decode) -> Response | None:
    if whole.own is None:
        return None
    try:
        response: Response = decode(whole.own)
    except Exception:  # noqa: BLE001 - any class's code; one of its bases will do
        return None
    return response


def _certificate(whole: ResponseContent) -> Any:
    if whole.certificate is None or not whole.is_wrapped:
        return whole.certificate
    # Late, because Scrapy without a reactor has no use for it.
    from twisted.internet.ssl import Certificate

    return Certificate.load(whole.certificate)


def state_of(request: Request, codec: Codec) -> RequestState:
    """Return what middlewares and callbacks have made of *request*."""
    meta, lost = [], []
    for key, value in request.meta.items():
        encoded = codec.encode_plain((key, value))
        if encoded is None:
            lost.append((str(key), type(value).__qualname__))
        else:
            meta.append(encoded)
    return RequestState(
        headers=dict(request.headers),
        flags=tuple(request.flags),
        meta=tuple(meta),
        lost=tuple(lost),
    )


class RestoredRequest:
    """A request that was leased, which becomes what its worker has made of it.

    What a receiver of a signal adds to its ``meta`` here is there for the next one.
    """

    def __init__(self, request: Request, decode: Decode) -> None:
        self.request = request
        self._decode = decode
        self._keys: set[Any] | None = None  # those that the worker has

    def update(self, state: RequestState) -> list[tuple[str, str]]:
        """Make the request what *state* says.

        Returns:
            The keys of its ``meta`` that are left out, and the classes of their
            values. Those that were there before the lease are not among them.
        """
        request = self.request
        keys = set(request.meta) if self._keys is None else self._keys
        meta, left_out = self._meta(state)
        lost = {key for key, _ in state.lost}
        for key in keys - set(meta):
            if str(key) not in lost:
                request.meta.pop(key, None)
        self._keys = {key for key in keys if str(key) in lost} | set(meta)
        request.meta.update(meta)
        request.headers = state.headers
        request.flags[:] = state.flags
        known = {str(key) for key in request.meta}
        return left_out + [one for one in state.lost if one[0] not in known]

    def _meta(
        self, state: RequestState
    ) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        meta: dict[Any, Any] = {}
        left_out = []
        for encoded in state.meta:
            try:
                key, value = self._decode(encoded)
            except Exception:  # noqa: BLE001 - any class's code
                left_out.append(("…", "that cannot be read back"))
            else:
                meta[key] = value
        return meta, left_out


def _kind(cls: type[Response]) -> type[Response]:
    """Return *cls* or the first of its bases that the supervisor can make, too."""
    if cls not in _kinds:
        bases = cls.__mro__
        _kinds[cls] = next(one for one in bases if has_address(one) and _is_made(one))
    return _kinds[cls]


def _is_made(kind: type) -> bool:
    """Return whether *kind* is made with the arguments that Scrapy's responses take."""
    names = ("request", "protocol", "ip_address")
    try:
        kind("data:,", status=200, headers={}, flags=[], **dict.fromkeys(names))
    except Exception:  # noqa: BLE001 - anybody's class
        return False
    return True
