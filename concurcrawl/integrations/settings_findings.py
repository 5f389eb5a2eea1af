"""Find settings of a project that have no effect, without instantiating anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scrapy.extensions.memusage import MemoryUsage
from scrapy.utils.misc import load_object

from concurcrawl.integrations import known
from concurcrawl.integrations.finding import (
    HAS_WORKERS,
    IN_WORKERS,
    NOT_RECEIVED,
    SLOTS,
    STAYING,
    Finding,
    loaded,
    name_of,
    own_extensions,
    package_of,
)
from concurcrawl.integrations.own_files import use_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.settings import BaseSettings

#: Components that every mode replaces, and the purpose of the replacement.
_OURS = {
    "SCHEDULER": "keeps waiting requests and leases for all processes",
    "DOWNLOADER": "keeps the limits of each site over all processes",
}

#: Settings of the components that every mode replaces.
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

#: Queue classes whose order the frontier keeps.
_QUEUES = {
    "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.",
    "SCHEDULER_DISK_QUEUE": "scrapy.squeues.",
    "SCHEDULER_START_MEMORY_QUEUE": "scrapy.squeues.",
    "SCHEDULER_START_DISK_QUEUE": "scrapy.squeues.",
    "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.",
}

#: Cache storages that only one process can open.
_EXCLUSIVE = {"scrapy.extensions.httpcache.DbmCacheStorage"}

#: Packages whose middlewares are known to work in workers.
_NEED_NO_WORD = {"scrapy", "concurcrawl"}

#: The replacement of Scrapy's ``MemoryUsage`` in crawls with workers.
_MEMORY = "concurcrawl.workers.supervisor.memory.TreeMemoryUsage"


def find_in_settings(settings: BaseSettings) -> Iterator[Finding]:
    """Yield settings without effect under the mode in *settings*."""
    yield from _components(settings)
    yield from _measures(settings)
    for setting, scrapys in _QUEUES.items():
        name = name_of(settings[setting])
        if name and not name.startswith(scrapys):
            yield Finding(
                setting,
                name,
                "it is not used, because requests wait in the frontier, by priority "
                "and fairly among sites",
                "leave it out, or leave MODE out",
                is_refused=False,
            )
    storage = name_of(settings["HTTPCACHE_STORAGE"])
    is_shared = settings.getbool("HTTPCACHE_ENABLED") and settings.getbool(HAS_WORKERS)
    if is_shared and storage in _EXCLUSIVE:
        yield Finding(
            "HTTPCACHE_STORAGE",
            storage,
            "only one process can open its file, and each worker has a cache",
            "use scrapy.extensions.httpcache.FilesystemCacheStorage",
            is_refused=True,
        )
    if settings.getbool(HAS_WORKERS) and len(settings.getlist(SLOTS)) > 1:
        yield from _unshared_middlewares(settings)
        if _has_playwright(settings):
            yield from _profiles(settings)


def _unshared_middlewares(settings: BaseSettings) -> Iterator[Finding]:
    """Yield middlewares with state that several workers cannot share."""
    for setting in ("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES"):
        for key, place in settings.getdict(setting).items():
            cls = loaded(key) if place is not None else None
            if cls is None or package_of(cls) in _NEED_NO_WORD:
                continue
            packages = set(map(package_of, cls.__mro__))
            listed = [one for one in known.MIDDLEWARES if one.package in packages]
            for one in listed or known.BY_USE[use_of(cls)]:
                yield _unshared(setting, name_of(cls), one)


def find_in_modules(settings: BaseSettings) -> Iterator[Finding]:
    """Yield imported libraries with state that several workers cannot share."""
    if settings.getbool(HAS_WORKERS) and len(settings.getlist(SLOTS)) > 1:
        for one in known.LIBRARIES:
            if one.package in sys.modules:
                yield _unshared("import", one.package, one)


def _unshared(setting: str, name: str, one: known.Unshared) -> Finding:
    return Finding(setting, name, one.reason, one.remedy, one.is_refused)


def _profiles(settings: BaseSettings) -> Iterator[Finding]:
    contexts = settings.getdict("PLAYWRIGHT_CONTEXTS")
    for name, options in contexts.items():
        if isinstance(options, Mapping) and options.get("user_data_dir"):
            yield Finding(
                "PLAYWRIGHT_CONTEXTS",
                str(name),
                "only one process can use its user_data_dir, and each worker has a "
                "browser, which would continue without that profile",
                known.ONE_PROCESS,
                is_refused=True,
            )


def _has_playwright(settings: BaseSettings) -> bool:
    handlers = settings.getwithbase("DOWNLOAD_HANDLERS").values()
    return any("scrapy_playwright" in _packages_of(_inner(one)) for one in handlers)


def _packages_of(component: Any) -> set[str]:
    """Return the packages of a class and of those that it derives from."""
    cls = loaded(component)
    bases = () if cls is None else cls.__mro__
    return {name_of(component).partition(".")[0], *map(package_of, bases)}


def _inner(handler: Any) -> Any:
    """Return the project's handler, which may be wrapped for rate limiting."""
    return getattr(handler, "inner", handler)


def _components(settings: BaseSettings) -> Iterator[Finding]:
    for setting, purpose in _OURS.items():
        name = name_of(settings[setting])
        if name.startswith(("scrapy.core.", "concurcrawl.")):
            continue
        other = "leave it out, or leave MODE out"
        yield Finding(
            setting,
            name,
            f"it would not be used, because a mode has its own {setting.lower()}, "
            f"which {purpose}",
            _INSTEAD.get(name.partition(".")[0], other),
            is_refused=True,
        )


def _measures(settings: BaseSettings) -> Iterator[Finding]:
    """Yield what measures less memory than that of all processes."""
    if not settings.getbool(HAS_WORKERS):
        return
    yield from _limits_of_memory(settings)
    for cls in own_extensions(settings):
        if issubclass(cls, MemoryUsage) and not issubclass(cls, load_object(_MEMORY)):
            yield Finding(
                "EXTENSIONS",
                name_of(cls),
                "it measures the supervisor, not its workers",
                f"derive it from {_MEMORY}, which counts all processes",
                is_refused=False,
            )


def _limits_of_memory(settings: BaseSettings) -> Iterator[Finding]:
    """Yield limits that leave out workers on the machines of a cluster."""
    cluster = settings.get("CONCURCRAWL_CLUSTER")
    if not cluster or cluster == "local" or not settings.getbool("MEMUSAGE_ENABLED"):
        return
    for setting in ("MEMUSAGE_LIMIT_MB", "MEMUSAGE_WARNING_MB"):
        if settings.getint(setting):
            yield Finding(
                setting,
                settings[setting],
                "it counts the supervisor, not its workers on the cluster",
                "limit the containers or services that run there, or let "
                "CONCURCRAWL_WORKER_MAX_REQUESTS replace workers before they grow",
                is_refused=False,
            )


def find_in_extensions(settings: BaseSettings) -> Iterator[Finding]:
    """Yield extensions whose code names a signal that they would not receive.

    Only an instance shows whether it connects to the signal; a crawl checks that, see
    :mod:`~concurcrawl.integrations.crawl_findings`.
    """
    if not settings.getbool(HAS_WORKERS):
        return
    for cls in own_extensions(settings):
        for name in STAYING.values():
            if name in _names_in(cls):
                yield _unreceived(name, cls)


def _names_in(cls: type) -> set[str]:
    """Return the names that the methods of *cls* and of its bases use."""
    methods = [thing for base in cls.__mro__ for thing in vars(base).values()]
    codes = [
        getattr(getattr(method, "__func__", method), "__code__", None)
        for method in methods
    ]
    return {name for code in codes if code is not None for name in code.co_names}


def _unreceived(signal: str, cls: type) -> Finding:
    name = name_of(cls)
    return Finding(
        f"signals.{signal}", name, NOT_RECEIVED, IN_WORKERS, is_refused=False
    )
