"""Downloader middlewares that keep what profiles ask. Other sites they leave alone.

The limiter keeps limits. Here is the rest: robots.txt, query strings, cookies,
compression and the User-Agent.
"""

from __future__ import annotations

import logging
import re
from copy import copy
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.settings import BaseSettings
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.httpobj import urlparse_cached
from scrapy.utils.misc import load_object
from typing_extensions import override

from concurcrawl.errors import ConfigError
from concurcrawl.limits.policy import Politeness, profiles_of
from concurcrawl.limits.wikimedia import require_contact

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from concurcrawl.limits.policy import Profile

logger = logging.getLogger(__name__)

#: Why the spider closed, in its stats.
REFUSED = "user_agent_refused"

#: The value of ``dont_merge_cookies`` that is ours: a request that is redirected to
#: another site takes its meta along, and there cookies are welcome.
_BY_PROFILE = "by profile"


def enable(settings: BaseSettings, rank: str) -> None:
    """Put the middlewares into *settings*, if any profile is on.

    Raises:
        ConfigError: If a profile is not known.
    """
    if not profiles_of(settings):
        return
    ours = {
        ProfileMiddleware: 90,  # before robots.txt is asked for
        ProfileRobotsTxtMiddleware: 100,  # in Scrapy's place
        ProfileCompressionMiddleware: 590,  # in Scrapy's place
        ProfileHeadersMiddleware: 840,  # when all headers are there, and none counted
    }
    paths = {f"{__name__}.{cls.__name__}": place for cls, place in ours.items()}
    name = "DOWNLOADER_MIDDLEWARES"
    settings.set(name, {**paths, **settings.getdict(name)}, rank)


class ProfileMiddleware:
    """Refuses pages with a query string and switches cookies off."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._profile_of = _by_request(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """See Scrapy's downloader middlewares."""
        profile = self._profile_of(request)
        if profile is None:
            if request.meta.get("dont_merge_cookies") == _BY_PROFILE:
                del request.meta["dont_merge_cookies"]
            return
        if not profile.cookies:
            request.meta["dont_merge_cookies"] = _BY_PROFILE
        if not profile.query_strings and urlparse_cached(request).query:
            self._refuse(request, profile)

    def _refuse(self, request: Request, profile: Profile) -> None:
        self._crawler.stats.inc_value("concurcrawl/profile/query_refused")
        logger.warning(
            "Pages of %s with a query string in their address are not asked for, "
            "because the site forbids it; ask for them by their path. "
            "(More like this are only counted, as concurcrawl/profile/query_refused.)",
            profile.name,
            extra={"spider": self._crawler.spider},
        )
        logger.debug("Refused by the profile %s: %s", profile.name, request)
        raise IgnoreRequest(f"{profile.name} forbids query strings")


class ProfileHeadersMiddleware:
    """Looks at what is about to be sent: the User-Agent, cookies, compression.

    Its place is behind all that set headers: before it they are not final.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._profile_of = _by_request(crawler)
        self._is_closing = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """See Scrapy's downloader middlewares."""
        profile = self._profile_of(request)
        if profile is None:
            return
        if profile.needs_contact:
            self._check_agent(request, profile)
        if not profile.cookies:
            request.headers.pop("Cookie", None)
        if profile.gzip:
            accepted = request.headers.get("Accept-Encoding") or b""
            if b"gzip" not in accepted:
                request.headers["Accept-Encoding"] = b"gzip"

    def _check_agent(self, request: Request, profile: Profile) -> None:
        agent = request.headers.get("User-Agent") or b""
        try:
            require_contact(agent.decode("latin-1"), profile.name)
        except ConfigError as error:
            logger.error(  # noqa: TRY400 - its sentence says it all
                "%s. Nothing was sent to %s; the spider closes.",
                error,
                profile.name,
                extra={"spider": self._crawler.spider},
            )
            self._close()
            raise IgnoreRequest(str(error)) from None

    def _close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            deferred_from_coro(self._crawler.engine.close_spider_async(reason=REFUSED))


class ProfileRobotsTxtMiddleware(RobotsTxtMiddleware):
    """Obeys robots.txt for the sites that demand it when the crawl does not."""

    def __init__(self, crawler: Crawler) -> None:
        if crawler.settings.getbool("ROBOTSTXT_OBEY") and _has(
            crawler, RobotsTxtMiddleware
        ):
            raise NotConfigured  # it is obeyed anyway
        # Only for this one: others, the user's too, would obey everywhere.
        obedient = copy(crawler)
        obedient.settings = BaseSettings(crawler.settings)  # type: ignore[assignment]
        obedient.settings.set("ROBOTSTXT_OBEY", True, 1 << 10)
        super().__init__(obedient)
        self.crawler = crawler
        self._profile_of = _by_request(crawler)

    @override
    async def process_request(
        self, request: Request, spider: Spider | None = None
    ) -> None:
        profile = self._profile_of(request)
        if profile is not None and profile.obeys_robots:
            await super().process_request(request)


class ProfileCompressionMiddleware(HttpCompressionMiddleware):
    """Reads compressed pages of the sites that demand it when the crawl does not."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler=crawler)
        self._profile_of = _by_request(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        if crawler.settings.getbool("COMPRESSION_ENABLED") and _has(
            crawler, HttpCompressionMiddleware
        ):
            raise NotConfigured  # they are read anyway
        return cls(crawler)

    @override
    def process_request(
        self, request: Request, spider: Spider | None = None
    ) -> Request | Response | None:
        return super().process_request(request) if self._is_for(request) else None

    @override
    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        if not self._is_for(request):
            return response
        return super().process_response(request, response)

    def _is_for(self, request: Request) -> bool:
        profile = self._profile_of(request)
        return profile is not None and profile.gzip


class _OncePerCrawl(logging.Filter):
    """Lets each sentence pass once a crawl, however many workers say it."""

    _WORKER = re.compile(r"\[[^]]*\] ")

    def __init__(self) -> None:
        super().__init__()
        self._said: WeakKeyDictionary[Spider, set[str]] = WeakKeyDictionary()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        spider: Spider | None = getattr(record, "spider", None)
        if spider is None or record.levelno < logging.WARNING:
            return True
        said = self._said.setdefault(spider, set())
        sentence = self._WORKER.sub("", record.getMessage(), count=1)
        is_new = sentence not in said
        said.add(sentence)
        return is_new


logger.addFilter(_OncePerCrawl())


def _by_request(crawler: Crawler) -> Callable[[Request], Profile | None]:
    """Return what finds the profile of a request's site."""
    profile_of_host = Politeness.from_settings(crawler.settings).profile_of_host

    def profile_of(request: Request) -> Profile | None:
        return profile_of_host(urlparse_cached(request).hostname or "")

    return profile_of


def _has(crawler: Crawler, scrapys: type) -> bool:
    """Return whether *crawler* has a middleware of Scrapy's class or a subclass."""
    placed = crawler.settings.get_component_priority_dict_with_base(
        "DOWNLOADER_MIDDLEWARES"
    )
    classes = [load_object(key) for key, place in placed.items() if place is not None]
    return any(
        isinstance(cls, type)
        and issubclass(cls, scrapys)
        and cls.__module__ != __name__
        for cls in classes
    )
