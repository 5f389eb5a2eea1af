"""Hears of the connections that Scrapy's own download handler takes from its pool.

Neither Scrapy nor Twisted tells when a connection is there, so this is the one place
that knows how a handler calls its pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    #: Is told of the connection. Called before a request is written on it.
    Told = Callable[[Any], None]


@touches("scrapy.core.downloader.handlers.http11", "HTTP11DownloadHandler._pool")
@touches("twisted.web.client", "HTTPConnectionPool.getConnection")
def listen(handler: object, ask: Callable[[], Told | None]) -> bool:
    """Call back with each connection that *handler* takes for a request.

    Touches: ``HTTP11DownloadHandler._pool`` (Scrapy 2.19.0); replaces the pool's
    ``getConnection()`` (Twisted 26.10). If one moves, a request counts as sent before
    it has a connection, so that the time between two may be too short. Wished for: a
    signal when a request is written.

    Args:
        handler: Any download handler.
        ask: Called when a connection is asked for, in the context of the request that
            it is for; returns whom to tell once it is there, or None.

    Returns:
        Whether *handler* has a pool that can be listened to.
    """
    # Not by its class: that would import Twisted's client where nobody uses it.
    pool: Any = getattr(handler, "_pool", None)
    if not hasattr(pool, "getConnection"):
        return False
    take: Callable[..., Deferred[Any]] = pool.getConnection

    def take_and_tell(*args: Any) -> Deferred[Any]:
        told = ask()
        taken = take(*args)
        return taken if told is None else taken.addCallback(_pass_on, told)

    pool.getConnection = take_and_tell
    return True


@touches("twisted.web.client", "_RetryingHTTP11ClientProtocol._newConnection")
def on_renewal(connection: Any, told: Told) -> None:
    """Call *told* with the connection that takes the place of a kept one.

    If the site has closed what was kept open, Twisted takes a new one by itself.

    Touches: ``_RetryingHTTP11ClientProtocol._newConnection`` (Twisted 26.10). If it
    moves, such a request counts as sent before it has a connection. Wished for: as for
    :func:`listen`.
    """
    renew: Callable[[], Deferred[Any]] | None
    renew = getattr(connection, "_newConnection", None)
    if renew is not None:
        connection._newConnection = lambda: renew().addCallback(_pass_on, told)


def _pass_on(connection: Any, told: Told) -> Any:
    told(connection)
    return connection
