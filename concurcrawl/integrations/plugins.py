"""The one place that decides what of a project cannot be in effect under a mode.

What would change data or break a site's rules is refused; what is merely without effect
is named once, at the start.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from scrapy import signals
from scrapy.utils.misc import load_object
from scrapy.utils.python import global_object_name

from concurcrawl.errors import NotInEffectError
from concurcrawl.integrations import known
from concurcrawl.integrations.own_files import use_of
from concurcrawl.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: Setting with whether requests are done in worker processes.
HAS_WORKERS = "CONCURCRAWL_HAS_WORKERS"

#: Setting with the requests in flight in each worker.
SLOTS = "CONCURCRAWL_SLOTS"

#: Components that a mode consists of, and what each does in the place of Scrapy's.
_OURS = {
    "SCHEDULER": "keeps what waits and who has it, for all processes",
    "DOWNLOADER": "keeps the limits of each site, over all processes",
}

#: Settings of components that a mode consists of.
PARTS_OF_A_MODE = frozenset(_OURS)

#: What to do instead, by the package of a component that is refused.
_INSTEAD = {
    "scrapy_redis": (
        "share the crawl by CONCURCRAWL_FRONTIER_URL=redis://… instead of scrapy-redis "
        "(see docs/coming-from-scrapy-redis.md)"
    ),
    "frontera": "let CONCURCRAWL_FRONTIER_URL=redis://… share the crawl instead",
    "apify": "let JOBDIR, or CONCURCRAWL_FRONTIER_URL, keep what waits instead",
}

#: Queues whose order the frontier has as well.
_QUEUES = {
    "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.",
    "SCHEDULER_DISK_QUEUE": "scrapy.squeues.",
    "SCHEDULER_START_MEMORY_QUEUE": "scrapy.squeues.",
    "SCHEDULER_START_DISK_QUEUE": "scrapy.squeues.",
    "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.",
}

#: Storages that one process has for itself.
_EXCLUSIVE = {"scrapy.extensions.httpcache.DbmCacheStorage"}

#: Signals that a worker's handler sends while a page arrives, and what an extension
#: can do to get them.
_ARRIVALS = {
    "headers_received": signals.headers_received,
    "bytes_received": signals.bytes_received,
}

#: Signals that only the supervisor sends, as it alone knows of all processes, and that
#: a middleware may count by. A receiver of request_scheduled acts there, so it counts.
_TOLD_TO_SUPERVISOR = {
    name: getattr(signals, name)
    for name in (
        *("request_reached_downloader", "request_left_downloader"),
        *("response_received", "response_downloaded", "spider_error"),
        *("item_scraped", "item_dropped", "item_error"),
    )
}

#: Packages whose middlewares are known to work in workers.
_NEED_NO_WORD = {"scrapy", "concurcrawl"}

#: Methods of a middleware that are called in workers.
_HOOKS = (
    *("process_request", "process_response", "process_exception"),
    *("process_spider_input", "process_spider_output", "process_spider_output_async"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something of a project that is not in effect.

    Attributes:
        setting: The setting or signal that it is written in.
        name: Its class.
        reason: Why, as a sentence without a full stop.
        remedy: What to do, as an order without a full stop.
        is_refused: Whether the crawl does not begin because of it.
    """

    setting: str
    name: str
    reason: str
    remedy: str
    is_refused: bool

    def __str__(self) -> str:
        return f"{self.setting}={self.name}: {self.reason}; {self.remedy}."


def find_in_settings(settings: BaseSettings) -> Iterator[Finding]:
    """Yield what of *settings* is not in effect under the mode they have."""
    yield from _components(settings)
    for setting, scrapys in _QUEUES.items():
        name = name_of(settings[setting])
        if name and not name.startswith(scrapys):
            yield Finding(
                setting,
                name,
                "it is not used, since requests wait in the frontier, by priority and "
                "fair among sites",
                "leave it out, or leave MODE out",
                is_refused=False,
            )
    storage = name_of(settings["HTTPCACHE_STORAGE"])
    is_shared = settings.getbool("HTTPCACHE_ENABLED") and settings.getbool(HAS_WORKERS)
    if is_shared and storage in _EXCLUSIVE:
        yield Finding(
            "HTTPCACHE_STORAGE",
            storage,
            "only one process can have its file, and each worker has a cache",
            "use scrapy.extensions.httpcache.FilesystemCacheStorage",
            is_refused=True,
        )
    if settings.getbool(HAS_WORKERS) and len(settings.getlist(SLOTS)) > 1:
        yield from _unshared_middlewares(settings)
        yield from _profiles(settings)


def _unshared_middlewares(settings: BaseSettings) -> Iterator[Finding]:
    """Yield middlewares with something that several workers cannot share."""
    for setting in ("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES"):
        for key, place in settings.getdict(setting).items():
            cls = load_object(key) if place is not None else None
            if not isinstance(cls, type) or _package_of(cls) in _NEED_NO_WORD:
                continue
            packages = {_package_of(base) for base in cls.__mro__}
            listed = [one for one in known.MIDDLEWARES if one.package in packages]
            for one in listed or known.BY_USE[use_of(cls)]:
                yield _unshared(setting, name_of(cls), one)


def find_in_modules(settings: BaseSettings) -> Iterator[Finding]:
    """Yield libraries that components have imported and that workers cannot share."""
    if settings.getbool(HAS_WORKERS) and len(settings.getlist(SLOTS)) > 1:
        for one in known.LIBRARIES:
            if one.package in sys.modules:
                yield _unshared("import", one.package, one)


def _unshared(setting: str, name: str, one: known.Unshared) -> Finding:
    return Finding(setting, name, one.reason, one.remedy, one.is_refused)


def _package_of(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _profiles(settings: BaseSettings) -> Iterator[Finding]:
    """Yield contexts of scrapy-playwright that have a profile on disk."""
    for name, options in settings.getdict("PLAYWRIGHT_CONTEXTS").items():
        if "user_data_dir" in options:
            yield Finding(
                "PLAYWRIGHT_CONTEXTS",
                f"{name!r} with user_data_dir",
                "a profile can be open in one browser only, and each worker has one",
                known.ONE_PROCESS,
                is_refused=True,
            )


def _components(settings: BaseSettings) -> Iterator[Finding]:
    for setting, purpose in _OURS.items():
        name = name_of(settings[setting])
        if name.startswith(("scrapy.core.", "concurcrawl.")):
            continue
        other = "leave it out, or leave MODE out"
        yield Finding(
            setting,
            name,
            f"it would not be used, since a mode has a {setting.lower()} of its own, "
            f"which {purpose}",
            _INSTEAD.get(name.partition(".")[0], other),
            is_refused=True,
        )


def find_in_signals(crawler: Crawler) -> Iterator[Finding]:
    """Yield receivers of extensions that hear nothing of what happens in workers."""
    if not crawler.settings.getbool(HAS_WORKERS):
        return
    extensions = {id(one) for one in crawler.extensions.middlewares}
    for name, signal in _ARRIVALS.items():
        for receiver in liveReceivers(getAllReceivers(crawler, signal)):
            owner = getattr(receiver, "__self__", None)
            if id(owner) in extensions:
                yield Finding(
                    f"signals.{name}",
                    global_object_name(type(owner)),
                    "it hears nothing of what workers download, since an extension is "
                    "in the supervisor",
                    "connect it in a downloader middleware, which workers have",
                    is_refused=False,
                )


def find_in_middlewares(crawler: Crawler) -> Iterator[Finding]:
    """Yield receivers of middlewares for what the supervisor alone is told of."""
    if not crawler.settings.getbool(HAS_WORKERS):
        return
    engine: Any = crawler.engine
    managers = (engine.downloader.middleware, engine.scraper.spidermw)
    middlewares = {
        id(one)
        for manager in managers
        for one in manager.middlewares
        if _package_of(type(one)) not in _NEED_NO_WORD
        and any(hasattr(one, hook) for hook in _HOOKS)
    }
    for name, signal in _TOLD_TO_SUPERVISOR.items():
        for receiver in liveReceivers(getAllReceivers(crawler, signal)):
            owner = getattr(receiver, "__self__", None)
            if id(owner) in middlewares:
                yield Finding(
                    f"signals.{name}",
                    global_object_name(type(owner)),
                    "it is called in the supervisor, while requests and responses pass "
                    "through the middlewares of workers, which do not see what it sets",
                    "connect it in an extension, or count what passes through "
                    "process_request and process_response",
                    is_refused=False,
                )


def refuse(settings: BaseSettings) -> None:
    """Refuse a crawl with *settings* if something must not be left without effect.

    Raises:
        NotInEffectError: For the first such thing.
    """
    for finding in find_in_settings(settings):
        if finding.is_refused:
            raise NotInEffectError(str(finding))


def name_of(component: Any) -> str:
    """Return the import path of a component that a setting names or is."""
    if component is None or isinstance(component, str):
        return component or ""
    return global_object_name(component)


class Inspector:
    """Extension that names what is not in effect, when all add-ons were asked."""

    def __init__(self, crawler: Crawler) -> None:
        try:
            refuse(crawler.settings)
        except NotInEffectError as error:
            raise refusal(error, crawler.settings) from None
        self._crawler = crawler
        crawler.signals.connect(self._inspect, signals.engine_started)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _inspect(self) -> None:
        for finding in find_in_settings(self._crawler.settings):
            logger.warning("%s", finding)
        for finding in find_in_modules(self._crawler.settings):
            logger.warning("%s", finding)
        for finding in find_in_signals(self._crawler):
            logger.warning("%s", finding)
        for finding in find_in_middlewares(self._crawler):
            logger.warning("%s", finding)
