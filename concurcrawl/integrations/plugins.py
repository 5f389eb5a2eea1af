"""The one place that decides what of a project cannot be in effect under a mode.

What would change data or break a site's rules is refused; what is merely without effect
is named once, at the start.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from scrapy import signals
from scrapy.utils.python import global_object_name

from concurcrawl.config import CLOSED_IN_WORKERS
from concurcrawl.errors import NotInEffectError
from concurcrawl.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: Setting with whether requests are done in worker processes.
HAS_WORKERS = "CONCURCRAWL_HAS_WORKERS"

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


#: Methods that only something has which is to be closed.
_WAYS_TO_CLOSE = ("close", "quit", "kill", "terminate", "shutdown", "disconnect")


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
    for setting, known in _QUEUES.items():
        name = name_of(settings[setting])
        if name and not name.startswith(known):
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


def find_in_spider(crawler: Crawler) -> Iterator[Finding]:
    """Yield what the spider closes in the supervisor only, and each worker opens."""
    settings, spider = crawler.settings, crawler.spider
    if not settings.getbool(HAS_WORKERS) or settings.getbool(CLOSED_IN_WORKERS):
        return
    opened = [name for name, value in vars(spider).items() if _is_open(name, value)]
    closing = _closing(crawler)
    if opened and closing:
        yield Finding(
            f"{closing}()",
            global_object_name(type(spider)),
            "it is called in the supervisor only, while each worker makes a spider of "
            f"its own, with what that opens (self.{', self.'.join(opened)})",
            f"set {CLOSED_IN_WORKERS}=1 to have it called at the end of each worker as "
            "well",
            is_refused=False,
        )


def _is_open(name: str, value: Any) -> bool:
    """Return whether an attribute of a spider is something that is to be closed."""
    if name in ("crawler", "settings") or isinstance(value, type | ModuleType):
        return False
    return any(callable(getattr(value, way, None)) for way in _WAYS_TO_CLOSE)


def _closing(crawler: Crawler) -> str | None:
    """Return the name of the spider's method that the end of the crawl calls."""
    if callable(getattr(crawler.spider, "closed", None)):
        return "closed"
    for receiver in liveReceivers(getAllReceivers(crawler, signals.spider_closed)):
        if getattr(receiver, "__self__", None) is crawler.spider:
            name: str = receiver.__name__
            return name
    return None


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
        for finding in find_in_signals(self._crawler):
            logger.warning("%s", finding)
        for finding in find_in_spider(self._crawler):
            logger.warning("%s", finding)
