"""Responses without their bodies, as processes tell each other of them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from concurcrawl.workers.codec import has_address
from concurcrawl.workers.messages import Head

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response


#: By the classes of the responses that were told of: what they are told to be.
_kinds: dict[type[Response], type[Response]] = {}


def head_of(response: Response) -> Head:
    """Return what another process is told of *response*."""
    address = response.ip_address
    return Head(
        kind=_kind(type(response)),
        url=response.url,
        status=response.status,
        headers=dict(response.headers),
        flags=tuple(response.flags),
        protocol=response.protocol,
        address=None if address is None else address.packed,
    )


def response_of(head: Head, request: Request | None) -> Response:
    """Return the response that *head* tells of, to *request*; its body is empty."""
    return head.kind(
        url=head.url,
        status=head.status,
        headers=head.headers,
        flags=list(head.flags),
        request=request,
        protocol=head.protocol,
        ip_address=None if head.address is None else ip_address(head.address),
    )


def _kind(cls: type[Response]) -> type[Response]:
    """Return *cls* or the first of its bases that the supervisor can make, too."""
    if cls not in _kinds:
        bases = cls.__mro__
        _kinds[cls] = next(one for one in bases if has_address(one) and _is_made(one))
    return _kinds[cls]


def _is_made(kind: type) -> bool:
    """Tell whether *kind* is made with the arguments that Scrapy's responses take."""
    names = ("request", "protocol", "ip_address")
    try:
        kind("data:,", status=200, headers={}, flags=[], **dict.fromkeys(names))
    except Exception:  # noqa: BLE001 - anybody's class
        return False
    return True
