"""Callbacks for the connections that Scrapy's download handler takes from its pool.

Neither Scrapy nor Twisted has a signal for it, so the pool's methods are wrapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    #: Called with the connection, before a request is written on it.
    OnConnection = Callable[[Any], None]


@touches("scrapy.core.downloader.handlers.http11", "HTTP11DownloadHandler._pool")
@touches("twisted.web.client", "HTTPConnectionPool.getConnection")
def listen(handler: object, ask: Callable[[], OnConnection | None]) -> bool:
    """Call back with each connection that *handler* takes for a request.

    Touches: ``HTTP11DownloadHandler._pool`` (Scrapy 2.19.0); replaces the pool's
    ``getConnection()`` (Twisted 26.10). If one moves, a request counts as sent before
    it has a connection, so that the time between two may be too short. Wished for: a
    signal when a request is written.

    Args:
        handler: Any download handler.
        ask: Called when a connection is requested, in the context of the request that
            it is for; returns a callback for the connection, or None.

    Returns:
        Whether *handler* has such a pool.
    """
    # Not by its class: that would import Twisted's client in crawls without it.
    pool: Any = getattr(handler, "_pool", None)
    if not hasattr(pool, "getConnection"):
        return False
    take: Callable[..., Deferred[Any]] = pool.getConnection

    def get_connection(*args: Any) -> Deferred[Any]:
        on_connection = ask()
        taken = take(*args)
        return (
            taken
            if on_connection is None
            else taken.addCallback(_pass_on, on_connection)
        )

    pool.getConnection = get_connection
    return True


@touches("twisted.web.client", "_RetryingHTTP11ClientProtocol._newConnection")
def on_renewal(connection: Any, on_connection: OnConnection) -> None:
    """Call *told* with the connection that takes the place of a kept one.

    If the site has closed what was kept open, Twisted takes a new one by itself.

    Touches: ``_RetryingHTTP11ClientProtocol._newConnection`` (Twisted 26.10). If it
    moves, such a request counts as sent before it has a connection. Wished for: as for
    :func:`listen`.
    """
    renew: Callable[[], Deferred[Any]] | None
    renew = getattr(connection, "_newConnection", None)
    if renew is not None:
        connection._newConnection = lambda: renew().addCallback(_pass_on, on_connection)


def _pass_on(connection: Any, on_connection: OnConnection) -> Any:
    on_connection(connection)
    return connection
