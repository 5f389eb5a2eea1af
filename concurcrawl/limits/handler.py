"""The last step before the network: nothing passes that its site's limits forbid.

Every request of http and https passes it, also those that never were in a scheduler:
robots.txt, media, what a callback downloads by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.exceptions import NotConfigured, NotSupported
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.deprecate import argument_is_required
from scrapy.utils.httpobj import urlparse_cached
from scrapy.utils.misc import build_from_crawler, load_object

from concurcrawl import registry
from concurcrawl.config import Config
from concurcrawl.limits import retry_after, send_times
from concurcrawl.limits.limiter import FetchResult
from concurcrawl.limits.policy import host_of
from concurcrawl.modes import CURL_HANDLERS
from concurcrawl.tracing import collector

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings


#: Setting with how many requests a process prepares beyond those in flight: they wait
#: for admission, so that one starts at once when another ends, before Scrapy has dealt
#: with that one's response.
PREFETCH = "CONCURCRAWL_PREFETCH"


class RequestLimiter(Protocol):
    """Where a handler asks; the parts of each process have one."""

    async def enter(self, request: Request) -> bool:
        """Return when *request* may start.

        Returns:
            Whether to call :meth:`sent`.

        Raises:
            PausedTooLongError: If its site wants a pause longer than is waited for.
        """

    def sent(self, request: Request, at_s: float) -> None:
        """Report that *request*, which has entered, was sent to its site.

        Args:
            request: The request.
            at_s: When, by the monotonic clock, the latest.
        """

    def leave(self, request: Request, result: FetchResult) -> None:
        """Report that *request*, which has entered, is done at its site."""


def is_robots(request: Request) -> bool:
    """Return whether Scrapy made *request* to learn what it may ask for.

    Then another request waits for it, which is not at its site yet.
    """
    return (
        request.callback is NO_CALLBACK
        and bool(request.meta.get("dont_obey_robotstxt"))
        and urlparse_cached(request).path == "/robots.txt"
    )


def robots_agent(request: Request, settings: BaseSettings) -> str | bytes:
    """Return by which name *request* must look for itself in a robots.txt."""
    agent: str | None = settings["ROBOTSTXT_USER_AGENT"]
    return agent or request.headers.get("User-Agent") or settings["USER_AGENT"]


def slot_of(request: Request) -> str | None:
    """Return the group that the spider chose with ``download_slot``, if it did.

    Scrapy's downloader writes the host there, and a redirect takes it along.
    """
    slot: str | None = request.meta.get("download_slot")
    earlier = request.meta.get("redirect_urls", ())
    return None if slot in {host_of(url) for url in earlier} else slot


class RateLimitedHandler(BaseDownloadHandler):
    """Asks before each download, then lets the handler that was set do it.

    Each scheme has a subclass: see :func:`put_before_handlers`.

    Attributes:
        scheme: What it downloads.
        inner: Import path or class of the handler that was set.
    """

    scheme: ClassVar[str]
    inner: ClassVar[str | type]

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._tells_when_sent = False
        self._takes_spider = False
        self._inner: Any = None
        if not self.lazy:
            self._open()

    def _open(self) -> None:
        """Make the handler that was set.

        Raises:
            NotConfigured: If it does not want to be made.
        """
        inner = build_from_crawler(load_object(self.inner), self.crawler)
        self._takes_spider = argument_is_required(inner.download_request, "spider")
        self._tells_when_sent = send_times.listen(inner)
        settings = self.crawler.settings
        if self.scheme == "http" and Config.from_settings(settings).records:
            collector.clock_connections(inner)
        self._inner = inner

    async def download_request(self, request: Request) -> Response:
        """Download *request* when the limits of its site let it start.

        Raises:
            NotSupported: If the handler that was set cannot be made.
        """
        if self._inner is None:
            try:
                self._open()
            except NotConfigured as error:
                raise NotSupported(
                    f"Unsupported URL scheme '{self.scheme}': {error}"
                ) from error
        if self.scheme not in LIMITED_SCHEMES:
            return await self._download(request)
        limiter: RequestLimiter = registry.find(self.crawler).limiter
        is_paced = await limiter.enter(request)
        collector.start(request)
        result = FetchResult()
        said: list[float] = []

        def say(at_s: float) -> None:
            said.append(at_s)
            limiter.sent(request, at_s)

        if is_paced and self._tells_when_sent:
            send_times.expect(request, say)
        elif is_paced:
            say(time.monotonic())
        try:
            response = await self._download(request)
            collector.arrived(request)
            result = FetchResult(
                status=response.status,
                latency_s=_latency_s(request),
                retry_after_s=retry_after.parse(
                    response.headers.get("Retry-After"), time.time()
                ),
            )
            return response
        finally:
            send_times.forget(request)
            if is_paced and not said:
                say(time.monotonic())
            limiter.leave(request, result)

    async def _download(self, request: Request) -> Response:
        if self._takes_spider:  # a handler of the old kind
            answer = self._inner.download_request(request, self.crawler.spider)
        else:
            answer = self._inner.download_request(request)
        response: Response = await ensure_awaitable(answer)
        return response

    async def close(self) -> None:
        """Close the handler that was set, if it was made."""
        close = getattr(self._inner, "close", None)
        if close is not None:  # old handlers may have none
            await ensure_awaitable(close())


def _latency_s(request: Request) -> float | None:
    """Return the latency that AutoThrottle goes by, None if it is to look away."""
    if request.meta.get("autothrottle_dont_adjust_delay") is True:
        return None
    latency_s: float | None = request.meta.get("download_latency")
    return latency_s


#: Schemes whose sites have limits.
LIMITED_SCHEMES = ("http", "https")


def put_before_handlers(settings: BaseSettings, *, is_lazy: bool) -> None:
    """Put a :class:`RateLimitedHandler` before each handler that *settings* name.

    It is the downloader that does it, when it is made: whatever add-ons and spiders set
    is there by then, in whichever order they were asked.

    Args:
        settings: Of the crawl.
        is_lazy: Whether handlers are made when they are needed only. Else those that
            want to be made at the start are.
    """
    # Without a reactor Scrapy changes its defaults after add-ons were asked.
    found = settings.getwithbase("DOWNLOAD_HANDLERS")
    limited = {
        scheme: _rate_limited(scheme, handler, is_lazy=is_lazy)
        for scheme, handler in found.items()
        if handler is not None
    }
    is_frozen, settings.frozen = settings.frozen, False
    settings.set("DOWNLOAD_HANDLERS", dict(found) | limited, "cmdline")
    settings.frozen = is_frozen


def are_ours(settings: BaseSettings) -> bool:
    """Return whether our own handlers download what has limits."""
    return all(is_ours(settings, scheme) for scheme in LIMITED_SCHEMES)


def is_ours(settings: BaseSettings, scheme: str) -> bool:
    """Return whether a handler of our own downloads *scheme*."""
    found = settings.getwithbase("DOWNLOAD_HANDLERS").get(scheme)
    return getattr(found, "inner", found) in CURL_HANDLERS


def _rate_limited(
    scheme: str, handler: str | type, *, is_lazy: bool
) -> type[RateLimitedHandler]:
    # Ours is lazy in any case: one that is not needed need not even be imported.
    lazy = is_lazy or handler in CURL_HANDLERS
    if not lazy:
        lazy = getattr(load_object(handler), "lazy", True)
    about = {"scheme": scheme, "inner": handler, "lazy": lazy}
    return type(
        f"RateLimited{scheme.capitalize()}Handler", (RateLimitedHandler,), about
    )
