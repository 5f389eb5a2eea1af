"""Changes of cookies as JSON, from one machine to another. Pure."""

from __future__ import annotations

import json
from http.cookiejar import Cookie
from typing import TYPE_CHECKING, Any

from concurcrawl.compat.cookies import rest_of
from concurcrawl.workers.protocol.cookies import CookieChange

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The arguments of a cookie, as its class wants them.
_FIELDS = (
    *("version", "name", "value", "port", "port_specified"),
    *("domain", "domain_specified", "domain_initial_dot", "path", "path_specified"),
    *("secure", "expires", "discard", "comment", "comment_url"),
)


def write(changes: Sequence[CookieChange]) -> bytes:
    """Return *changes* as JSON, empty if there are none.

    A jar whose key is no plain value stays on its machine.
    """
    plain = [
        [change.jar, _write(change.cookie), list(change.place)]
        for change in changes
        if isinstance(change.jar, str | int | float | None)
    ]
    return json.dumps(plain).encode() if plain else b""


def read(payload: bytes) -> list[CookieChange]:
    """Return the changes that :func:`write` was given."""
    return [
        CookieChange(jar, None if cookie is None else _read(cookie), _place(place))
        for jar, cookie, place in json.loads(payload)
    ]


def _write(cookie: Cookie | None) -> dict[str, Any] | None:
    if cookie is None:
        return None
    fields: dict[str, Any] = {name: getattr(cookie, name) for name in _FIELDS}
    return fields | {"rest": rest_of(cookie)}


def _read(fields: dict[str, Any]) -> Cookie:
    return Cookie(**fields)


def _place(place: list[str]) -> tuple[str, str, str]:
    domain, path, name = place
    return domain, path, name
