"""Responses and requests, as workers report them to receivers of signals.

Scrapy's own receivers use status and headers of a response. A receiver of the project's
own may use anything, so it also gets the body and the current state of the request.
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


#: The class that is made elsewhere, by the class of the response here.
_kinds: dict[type[Response], type[Response]] = {}


def meta_of(response: Response, content: ResponseContent | None = None) -> ResponseMeta:
    """Return *response* without its body, unless *content* is given."""
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
    """Return what :func:`meta_of` leaves out of *response*, to be passed to it."""
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
    request, response.request = response.request, None  # the other process has it
    try:
        return codec.encode_plain(response)
    finally:
        response.request = request


def response_of(
    meta: ResponseMeta, request: Request | None, decode: Decode
) -> Response:
    """Return the response that *meta* describes.

    Its body is empty unless *meta* has the content.

    Args:
        meta: The response, from another process.
        request: The request that it answers.
        decode: Decodes responses of a project's own class.
    """
    content = meta.content
    if content is None:
        return _make(meta, request)
    response = _decode_own(content, decode)
    if response is None:
        more: dict[str, Any] = {"body": content.body}
        if issubclass(meta.kind, TextResponse):
            more["encoding"] = content.encoding
        response = _make(meta, request, **more)
    response.request = request
    response.certificate = _certificate(content)
    return response


def _make(meta: ResponseMeta, request: Request | None, **more: Any) -> Response:
    return meta.kind(
        url=meta.url,
        status=meta.status,
        headers=meta.headers,
        flags=list(meta.flags),
        request=request,
        protocol=meta.protocol,
        ip_address=None if meta.address is None else ip_address(meta.address),
        **more,
    )


def _decode_own(content: ResponseContent, decode: Decode) -> Response | None:
    if content.own is None:
        return None
    try:
        response: Response = decode(content.own)
    except Exception:  # noqa: BLE001 - a project's class; one of its bases will do
        return None
    return response


def _certificate(content: ResponseContent) -> Any:
    if content.certificate is None or not content.is_wrapped:
        return content.certificate
    # Imported late: Scrapy without a reactor does not need it.
    from twisted.internet.ssl import Certificate

    return Certificate.load(content.certificate)


def state_of(request: Request, codec: Codec) -> RequestState:
    """Return headers, flags and meta of *request* as they are now."""
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
    """A leased request in the supervisor, kept like the one in its worker.

    Keys that a receiver of a signal adds to its ``meta`` stay for the next receiver.
    """

    def __init__(self, request: Request, decode: Decode) -> None:
        self.request = request
        self._decode = decode
        self._keys: set[Any] | None = None  # of the meta in the worker

    def update(self, state: RequestState) -> list[tuple[str, str]]:
        """Apply *state*, which its worker has sent.

        Returns:
            Keys of its ``meta`` that could not be sent, and the classes of their
            values, without keys that the request has had since before the lease.
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
            except Exception:  # noqa: BLE001 - a project's class
                left_out.append(("…", "that cannot be read back"))
            else:
                meta[key] = value
        return meta, left_out


def _kind(cls: type[Response]) -> type[Response]:
    """Return *cls*, or the first of its bases that the supervisor can make."""
    if cls not in _kinds:
        bases = cls.__mro__
        _kinds[cls] = next(one for one in bases if has_address(one) and _is_made(one))
    return _kinds[cls]


def _is_made(kind: type) -> bool:
    """Return whether *kind* takes the arguments that Scrapy's responses take."""
    names = ("request", "protocol", "ip_address")
    try:
        kind("data:,", status=200, headers={}, flags=[], **dict.fromkeys(names))
    except Exception:  # noqa: BLE001 - a project's class
        return False
    return True
