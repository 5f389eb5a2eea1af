"""When a request really leaves for its site, which is later than when it may.

What waits for that calls :func:`expect`; a download handler that knows calls
:func:`sent`. Our own does. Scrapy's does not, but its connection pool can be listened
to: :func:`listen`.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scrapy.utils.asyncio import call_later

from concurcrawl.compat import http11

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request

_expected: WeakKeyDictionary[Request, Callable[[float], None]] = WeakKeyDictionary()

#: The request that the handler works on, if a callback waits until it is sent.
_at_hand: ContextVar[Request | None] = ContextVar("at_hand", default=None)

#: Turns of the event loop after which what was written on a connection is in the hands
#: of the system: with TLS one to join small writes, then one to see that the socket
#: takes more, one to write, and one to spare.
_TURNS = 4


def expect(request: Request, tell: Callable[[float], None]) -> None:
    """Call *tell* when *request* is sent, with the time by the monotonic clock.

    Call this right before the handler. *tell* is called again if a connection was
    closed and the request is sent over another one.
    """
    _expected[request] = tell
    _at_hand.set(request)


def is_expected(request: Request) -> bool:
    """Return whether a callback waits until *request* is sent."""
    return request in _expected


def forget(request: Request) -> None:
    """Remove the callback registered by :func:`expect`."""
    _expected.pop(request, None)


def sent(request: Request, at_s: float) -> None:
    """Report that *request* was sent at *at_s* by the monotonic clock, the latest."""
    tell = _expected.get(request)
    if tell is not None:
        tell(at_s)


def listen(handler: object) -> bool:
    """Make *handler* call :func:`sent`, if that is possible.

    Returns:
        Whether it does.
    """
    return http11.listen(handler, _whom_to_tell) or bool(
        getattr(handler, "tells_when_sent", False)
    )


def _whom_to_tell() -> Callable[[Any], None] | None:
    """Return what takes note of a connection: at once the request is written on it."""
    request = _at_hand.get()
    if request is None or not is_expected(request):
        return None

    def on_connection(connection: Any) -> None:
        http11.on_renewal(connection, on_connection)
        _sent_soon(request, _TURNS)

    return on_connection


def _sent_soon(request: Request, turns: int) -> None:
    if turns:
        call_later(0, _sent_soon, request, turns - 1)
    else:
        sent(request, time.monotonic())
