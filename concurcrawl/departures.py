"""When a request really leaves for its site, which is later than when it may.

Whoever waits for that says so with :func:`expect`; a download handler that knows calls
:func:`sent`. Our own does. Scrapy's does not, but its connection pool can be listened
to: :func:`listen`.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from scrapy.utils.asyncio import call_later

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request
    from twisted.internet.defer import Deferred

T = TypeVar("T")

_expected: WeakKeyDictionary[Request, Callable[[float], None]] = WeakKeyDictionary()

#: The request that the handler is at, where somebody wants to know when it is sent.
_at_hand: ContextVar[Request | None] = ContextVar("at_hand", default=None)

#: Turns of the event loop after which what was written on a connection is in the hands
#: of the system: with TLS one to join small writes, then one to see that the socket
#: takes more, one to write, and one to spare.
_TURNS = 4


def expect(request: Request, tell: Callable[[float], None]) -> None:
    """Have *tell* called when *request* is sent, with the time by the monotonic clock.

    Call it where the handler is called next. It may be told again, if a connection
    was closed and the request is sent over another one.
    """
    _expected[request] = tell
    _at_hand.set(request)


def is_expected(request: Request) -> bool:
    """Tell whether somebody wants to know when *request* is sent."""
    return request in _expected


def forget(request: Request) -> None:
    """Tell nobody any more."""
    _expected.pop(request, None)


def sent(request: Request, at_s: float) -> None:
    """Say that *request* was sent at *at_s* by the monotonic clock, the latest."""
    tell = _expected.get(request)
    if tell is not None:
        tell(at_s)


def listen(handler: object) -> bool:
    """Have *handler* call :func:`sent`, if it can be made to.

    Returns:
        Whether it does.
    """
    # Not by its class: that would import Twisted's client where nobody uses it.
    pool = getattr(handler, "_pool", None)
    if hasattr(pool, "getConnection"):
        _listen_to_pool(pool)
        return True
    return bool(getattr(handler, "tells_when_sent", False))


def _listen_to_pool(pool: Any) -> None:
    """Take note when *pool* hands out a connection: at once the request is written."""
    hand_out: Callable[..., Deferred[Any]] = pool.getConnection

    def hand_out_and_tell(*args: Any) -> Deferred[Any]:
        request = _at_hand.get()
        got = hand_out(*args)
        if request is None or not is_expected(request):
            return got
        return got.addCallback(_on_connection, request)

    pool.getConnection = hand_out_and_tell


def _on_connection(connection: T, request: Request) -> T:
    renew: Callable[[], Deferred[T]] | None
    renew = getattr(connection, "_newConnection", None)
    if renew is not None:
        # It was kept open. Should the site have closed it, Twisted takes a new one.
        connection._newConnection = lambda: renew().addCallback(  # type: ignore[attr-defined]
            _on_connection, request
        )
    _sent_soon(request, _TURNS)
    return connection


def _sent_soon(request: Request, turns: int) -> None:
    if turns:
        call_later(0, _sent_soon, request, turns - 1)
    else:
        sent(request, time.monotonic())
