"""Shares the cookies that one process receives with all others."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http.cookies import CookieJar

from concurcrawl.compat.cookies import SuccessorJar, find

if TYPE_CHECKING:
    from collections.abc import Iterable
    from http.cookiejar import Cookie
    from http.cookiejar import CookieJar as StandardJar

    from scrapy.crawler import Crawler


@dataclass(frozen=True, slots=True)
class CookieChange:
    """A cookie that was added to a jar, or one that was removed.

    Attributes:
        jar: The value of the request's ``cookiejar`` meta key.
        cookie: The cookie, or None if it was removed.
        place: Domain, path and name of the cookie.
    """

    jar: Any
    cookie: Cookie | None
    place: tuple[str, str, str]


class SharedCookies:
    """Watches the jars of a crawler's ``CookiesMiddleware``.

    Invariant: a change that came from another process is never returned as one of this
    process, or changes would go round in circles.
    """

    def __init__(self, crawler: Crawler) -> None:
        """Watch *crawler*, whose engine exists. If cookies are off, nothing changes."""
        self._changes: list[CookieChange] = []
        self._jars: dict[Any, CookieJar] | None = None
        middleware = crawler.get_downloader_middleware(CookiesMiddleware)
        if middleware is not None:
            self._jars = middleware.jars = _Jars(self._changes)

    def changes(self) -> list[CookieChange]:
        """Return the changes in this process since the last call."""
        found = list(self._changes)
        self._changes.clear()
        return found

    def apply(self, changes: Iterable[CookieChange]) -> None:
        """Apply changes of another process."""
        if self._jars is None:
            return
        noted = len(self._changes)
        for change in changes:
            jar = self._jars[change.jar].jar
            if change.cookie is not None:
                jar.set_cookie(change.cookie)
            elif find(jar, change.place) is not None:
                jar.clear(*change.place)
        del self._changes[noted:]

    def snapshot(self) -> tuple[CookieChange, ...]:
        """Return all cookies as changes, for a process that starts now."""
        return tuple(
            CookieChange(key, cookie, (cookie.domain, cookie.path, cookie.name))
            for key, jar in (self._jars or {}).items()
            for cookie in jar
        )


class _Jars(defaultdict[Any, CookieJar]):
    """Like the middleware's own: makes the jar of a key at its first use."""

    def __init__(self, changes: list[CookieChange]) -> None:
        super().__init__()
        self._changes = changes

    def __missing__(self, key: Any) -> CookieJar:
        jar = self[key] = CookieJar()
        jar.jar = _WatchedJar(key, self._changes, jar.jar)
        return jar


class _WatchedJar(SuccessorJar):
    def __init__(
        self, key: Any, changes: list[CookieChange], replaced: StandardJar
    ) -> None:
        super().__init__(replaced)
        self._key = key
        self._changes = changes

    def set_cookie(self, cookie: Cookie) -> None:
        place = (cookie.domain, cookie.path, cookie.name)
        known = find(self, place)
        super().set_cookie(cookie)
        if known is None or vars(known) != vars(cookie):
            self._changes.append(CookieChange(self._key, cookie, place))

    def clear(
        self,
        domain: str | None = None,
        path: str | None = None,
        name: str | None = None,
    ) -> None:
        super().clear(domain, path, name)
        if domain is not None and path is not None and name is not None:
            self._changes.append(CookieChange(self._key, None, (domain, path, name)))
