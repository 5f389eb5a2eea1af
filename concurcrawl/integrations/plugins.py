"""The one place that decides what of a project cannot be in effect under a mode.

What would change data or break a site's rules is refused; what is merely without effect
is named once, at the start.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from scrapy import signals
from scrapy.extensions.memusage import MemoryUsage
from scrapy.utils.misc import load_object
from scrapy.utils.python import global_object_name

from concurcrawl.config import CLOSED_IN_WORKERS
from concurcrawl.errors import NotInEffectError
from concurcrawl.integrations import known
from concurcrawl.integrations.own_files import use_of
from concurcrawl.integrations.own_state import gathered
from concurcrawl.integrations.receivers import (
    SCRAPYS,
    name_signal,
    own_signals,
    receivers_of,
    watch_connections,
)
from concurcrawl.startup_errors import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

#: What the components that need no word begin with.
_KNOWN = ("scrapy.", "concurcrawl.")

#: Storages that one process has for itself.
_EXCLUSIVE = {"scrapy.extensions.httpcache.DbmCacheStorage"}

#: Signals about what a worker downloads that stay in it: those of a page that arrives
#: are answered while it does, and the parser of a robots.txt is an object of any class.
_STAYING = {
    signals.headers_received: "headers_received",
    signals.bytes_received: "bytes_received",
    signals.robots_parsed: "robots_parsed",
}

#: Why an extension hears none of these, and what to do.
_DEAF = (
    "it hears nothing of what workers download, since an extension is in the supervisor"
)
_HEARING = "connect it in a downloader middleware, which workers have"


#: What takes the place of Scrapy's ``MemoryUsage`` where there are workers.
_MEMORY = "concurcrawl.workers.supervisor.memory.TreeMemoryUsage"


#: Methods that only something has which is to be closed.
_WAYS_TO_CLOSE = ("close", "quit", "kill", "terminate", "shutdown", "disconnect")

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
    yield from _measures(settings)
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
        if _has_playwright(settings):
            yield from _profiles(settings)


def _unshared_middlewares(settings: BaseSettings) -> Iterator[Finding]:
    """Yield middlewares with something that several workers cannot share."""
    for setting in ("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES"):
        for key, place in settings.getdict(setting).items():
            cls = _loaded(key) if place is not None else None
            if cls is None or _package_of(cls) in _NEED_NO_WORD:
                continue
            packages = set(map(_package_of, cls.__mro__))
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
    contexts = settings.getdict("PLAYWRIGHT_CONTEXTS")
    for name, options in contexts.items():
        if isinstance(options, Mapping) and options.get("user_data_dir"):
            yield Finding(
                "PLAYWRIGHT_CONTEXTS",
                str(name),
                "only one process can have its user_data_dir, and each worker has a "
                "browser, which would go on without that profile",
                known.ONE_PROCESS,
                is_refused=True,
            )


def _has_playwright(settings: BaseSettings) -> bool:
    handlers = settings.getwithbase("DOWNLOAD_HANDLERS").values()
    return any("scrapy_playwright" in _packages_of(_inner(one)) for one in handlers)


def _packages_of(component: Any) -> set[str]:
    """Return the packages of a class and of those that it derives from."""
    cls = _loaded(component)
    bases = () if cls is None else cls.__mro__
    return {name_of(component).partition(".")[0], *map(_package_of, bases)}


def _inner(handler: Any) -> Any:
    """Return the handler that a project set, where there is a gate before it."""
    return getattr(handler, "inner", handler)


def _loaded(component: Any) -> type | None:
    """Return the class of a component, or None: it is Scrapy's or ours, or no class."""
    name = name_of(component)
    if not name or name.startswith(_KNOWN):  # some of which are slow to import
        return None
    try:
        found = load_object(component)
    except (ImportError, AttributeError, NameError, ValueError):
        return None  # Scrapy says what is wrong with it
    return found if isinstance(found, type) else None


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


def _measures(settings: BaseSettings) -> Iterator[Finding]:
    """Yield extensions that measure the supervisor where all processes count."""
    if not settings.getbool(HAS_WORKERS):
        return
    for cls in _own_extensions(settings):
        if issubclass(cls, MemoryUsage) and not issubclass(cls, load_object(_MEMORY)):
            yield Finding(
                "EXTENSIONS",
                name_of(cls),
                "it measures the supervisor, not its workers",
                f"derive it from {_MEMORY}, which counts all processes",
                is_refused=False,
            )


def _own_extensions(settings: BaseSettings) -> Iterator[type]:
    """Yield the extensions that are neither Scrapy's nor ours."""
    for key, place in settings.getdict("EXTENSIONS").items():
        cls = _loaded(key) if place is not None else None
        if cls is not None:
            yield cls


def find_in_signals(crawler: Crawler) -> Iterator[Finding]:
    """Yield receivers that hear nothing of what happens in workers."""
    for signal in (*_STAYING, *own_signals(crawler)):
        yield from _of_signal(crawler, signal)


def _of_signal(crawler: Crawler, signal: Any) -> Iterator[Finding]:
    if not crawler.settings.getbool(HAS_WORKERS):
        return
    if signal in _STAYING:
        setting, reason, remedy = f"signals.{_STAYING[signal]}", _DEAF, _HEARING
    elif signal not in SCRAPYS and name_signal(signal) is None:
        setting = f"signal {signal!r}"
        reason = (
            "it hears nothing of those that workers send, since no module has this "
            "signal under a name by which another process could find it"
        )
        remedy = "make it an attribute of a module or of a class"
    else:
        return
    engine: Any = crawler.engine
    components = [*crawler.extensions.middlewares, *engine.scraper.itemproc.middlewares]
    in_supervisor = {id(one) for one in components}
    for receiver in receivers_of(crawler, signal):
        owner = getattr(receiver, "__self__", None)
        if id(owner) in in_supervisor:
            name = global_object_name(type(owner))
            yield Finding(setting, name, reason, remedy, is_refused=False)


def find_in_extensions(settings: BaseSettings) -> Iterator[Finding]:
    """Yield the extensions whose code names a signal that they would not hear.

    Whether they connect to it is known for sure only once they are made, which
    :func:`find_in_signals` waits for. Here none is made.
    """
    if not settings.getbool(HAS_WORKERS):
        return
    for cls in _own_extensions(settings):
        for name in _STAYING.values():
            if name in _names_in(cls):
                yield _unheard(name, cls)


def _names_in(cls: type) -> set[str]:
    """Return the names that the methods of *cls* and of its bases use."""
    methods = [thing for base in cls.__mro__ for thing in vars(base).values()]
    codes = [
        getattr(getattr(method, "__func__", method), "__code__", None)
        for method in methods
    ]
    return {name for code in codes if code is not None for name in code.co_names}


def _unheard(signal: str, cls: type) -> Finding:
    name = global_object_name(cls)
    return Finding(f"signals.{signal}", name, _DEAF, _HEARING, is_refused=False)


def find_in_spider(crawler: Crawler) -> Iterator[Finding]:
    """Yield what the end of the crawl uses in the supervisor and workers have."""
    settings, spider = crawler.settings, crawler.spider
    if not settings.getbool(HAS_WORKERS) or settings.getbool(CLOSED_IN_WORKERS):
        return
    closing = _closing(crawler)
    if closing is None:
        return
    setting, name = f"{closing}()", global_object_name(type(spider))
    opened = [one for one, value in vars(spider).items() if _is_open(one, value)]
    if opened:
        yield Finding(
            setting,
            name,
            "it is called in the supervisor only, while each worker makes a spider of "
            f"its own, with what that opens (self.{', self.'.join(opened)})",
            f"set {CLOSED_IN_WORKERS}=1 to have it called at the end of each worker as "
            "well",
            is_refused=False,
        )
    listeners = _methods_that_hear(crawler)
    changed = set(gathered(type(spider), closing, listeners)).difference(opened)
    if changed:
        yield Finding(
            setting,
            name,
            "it is called in the supervisor only, and does not see what callbacks "
            f"change in workers (self.{', self.'.join(sorted(changed))})",
            "gather it from items in a pipeline, or count in the stats; or set "
            f"{CLOSED_IN_WORKERS}=1 to have it called at the end of each worker, each "
            "with what its own callbacks changed",
            is_refused=False,
        )


def _methods_that_hear(crawler: Crawler) -> set[str]:
    """Return the names of the spider's methods that signals call, in the supervisor."""
    return {
        receiver.__name__
        for signal in SCRAPYS
        for receiver in receivers_of(crawler, signal)
        if getattr(receiver, "__self__", None) is crawler.spider
    }


def _is_open(name: str, value: Any) -> bool:
    """Return whether an attribute of a spider is something that is to be closed."""
    if name in ("crawler", "settings") or isinstance(value, type | ModuleType):
        return False
    return any(callable(getattr(value, way, None)) for way in _WAYS_TO_CLOSE)


def _closing(crawler: Crawler) -> str | None:
    """Return the name of the spider's method that the end of the crawl calls."""
    if callable(getattr(crawler.spider, "closed", None)):
        return "closed"
    for receiver in receivers_of(crawler, signals.spider_closed):
        if getattr(receiver, "__self__", None) is crawler.spider:
            name: str = receiver.__name__
            return name
    return None


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
        for receiver in receivers_of(crawler, signal):
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
        self._named: set[Finding] = set()
        crawler.signals.connect(self._inspect, signals.engine_started)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make one for *crawler*."""
        return cls(crawler)

    def _inspect(self) -> None:
        for finding in find_in_settings(self._crawler.settings):
            logger.warning("%s", finding)
        self._name(find_in_modules(self._crawler.settings))
        self._name(find_in_spider(self._crawler))
        self._name(find_in_signals(self._crawler))
        self._name(find_in_middlewares(self._crawler))
        if self._crawler.settings.getbool(HAS_WORKERS):
            # Who connects later is named then.
            watch_connections(self._crawler, self._on_connection)

    def _on_connection(self, signal: Any) -> None:
        self._name(_of_signal(self._crawler, signal))

    def _name(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding not in self._named:
                self._named.add(finding)
                logger.warning("%s", finding)
