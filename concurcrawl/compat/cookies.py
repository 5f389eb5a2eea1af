"""The standard library's cookie jars, which Scrapy's are made of."""

from __future__ import annotations

from http.cookiejar import Cookie, CookieJar
from typing import Any

from concurcrawl.compat.parts import touches

_COOKIES = "http.cookiejar"


@touches(_COOKIES, "CookieJar._policy", "CookieJar._cookies_lock")
class SuccessorJar(CookieJar):
    """An empty jar with the policy and the lock of another.

    Touches: ``CookieJar._policy`` and ``._cookies_lock`` (CPython 3.11 to 3.13). If one
    moves, no cookie is kept, or each costs a lock: Scrapy's jars have none, since they
    live in one thread. Wished for: that Scrapy makes its jars by a class of the
    project's choice.
    """

    def __init__(self, replaced: CookieJar) -> None:
        super().__init__(replaced._policy)  # type: ignore[attr-defined]
        self._cookies_lock = replaced._cookies_lock  # type: ignore[attr-defined]


@touches(_COOKIES, "CookieJar._cookies")
def find(jar: CookieJar, place: tuple[str, str, str]) -> Cookie | None:
    """Return the cookie at *place* (domain, path, name), or None.

    Touches: ``CookieJar._cookies`` (CPython 3.11 to 3.13), dicts in dicts. If it moves,
    a cookie that one worker receives is unknown to the others. Wished for:
    ``CookieJar.get()``; the public interface iterates over all cookies.
    """
    domain, path, name = place
    cookies: Any = jar._cookies  # type: ignore[attr-defined]
    found: Cookie | None = cookies.get(domain, {}).get(path, {}).get(name)
    return found


@touches(_COOKIES, "Cookie._rest")
def rest_of(cookie: Cookie) -> dict[str, Any]:
    """Return the attributes of *cookie* that no standard knows, by name.

    Touches: ``Cookie._rest`` (CPython 3.11 to 3.13). If it moves, cookies do not reach
    other nodes. Wished for: a public name; ``get_nonstandard_attr()`` wants to know
    what to ask for.
    """
    rest: dict[str, Any] = cookie._rest  # type: ignore[attr-defined]
    return rest
