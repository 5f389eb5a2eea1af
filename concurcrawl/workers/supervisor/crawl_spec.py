"""What a worker is told to be: the crawl that its supervisor has begun."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.settings import BaseSettings

from concurcrawl.compat import spider_arguments
from concurcrawl.workers.moved_pipelines import MOVED
from concurcrawl.workers.protocol.messages.lifecycle import CrawlSpec, ImportPath
from concurcrawl.workers.protocol.pickle_codec import HAS_JOBDIR, IS_DURABLE
from concurcrawl.workers.supervisor.attributes import scalars

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.crawler import Crawler


#: What a worker must not do, because the supervisor does it for all.
_WORKER_SETTINGS: dict[str, Any] = {
    "ADDONS": {},
    "CONCURRENT_ITEMS": 1,  # items only leave; Scrapy starts so many tasks a response
    "DOWNLOADER": "concurcrawl.workers.worker.engine.WorkerDownloader",
    "EXTENSIONS": {},
    "EXTENSIONS_BASE": {},
    "FEEDS": {},
    "ITEM_PIPELINES": {},
    "ITEM_PROCESSOR": "concurcrawl.workers.worker.scheduler.WorkerItems",
    "JOBDIR": None,
    "LOG_FILE": None,
    "LOG_INSTALL_ROOT_HANDLER": False,  # our lines go through the supervisor's
    "CONCURCRAWL_MODE": "",
    "SCHEDULER": "concurcrawl.workers.worker.scheduler.WorkerScheduler",
    "STATS_DUMP": False,
}


def describe(crawler: Crawler) -> CrawlSpec:
    """Describe *crawler* for its workers."""
    settings: dict[str, tuple[Any, int]] = {}
    args, kwargs = spider_arguments.of(crawler)
    for name in crawler.settings:
        priority = crawler.settings.getpriority(name) or 0
        is_written = priority > 0 or name == "DOWNLOAD_HANDLERS"  # see components.fill
        if is_written and name not in _WORKER_SETTINGS:
            value = crawler.settings[name]
            if isinstance(value, BaseSettings):
                value = dict(value)  # keys may be classes
            settings[name] = (value, priority)
    rank = 1 << 10  # above every source
    settings |= {name: (value, rank) for name, value in _WORKER_SETTINGS.items()}
    if pipelines := crawler.settings.getdict(MOVED):
        settings["ITEM_PIPELINES"] = (pipelines, rank)
        settings["CONCURRENT_ITEMS"] = (crawler.settings["CONCURRENT_ITEMS"], rank)
    has_jobdir = bool(crawler.settings["JOBDIR"])
    settings[HAS_JOBDIR] = (has_jobdir, rank)
    is_shared = bool(crawler.settings.get("CONCURCRAWL_FRONTIER_URL"))
    settings[IS_DURABLE] = (has_jobdir or is_shared, rank)
    addons = tuple(crawler.settings.getdict("ADDONS"))
    said = scalars(crawler.spider)
    return CrawlSpec(crawler.spidercls, settings, addons, args, kwargs, said)


def import_path(spidercls: type[Spider]) -> ImportPath:
    """Return where a worker must look for modules, the spider's own file included.

    ``scrapy runspider`` puts the folder of its file before all others while it imports
    it, and takes it away again.
    """
    path = tuple(sys.path)
    name = spidercls.__module__
    file = getattr(sys.modules.get(name), "__file__", None)
    if not file or name == "__main__" or _finds(path, name, file):
        return ImportPath(path)
    folder = str(Path(file).resolve().parents[name.count(".")])
    return ImportPath((*path, folder), folder)


def _finds(path: tuple[str, ...], name: str, file: str) -> bool:
    """Return whether module *name* is imported from *file* with this path."""
    top, _, rest = name.partition(".")
    found = PathFinder.find_spec(top, path)
    if found is None or found.origin is None:
        return False
    return bool(rest) or Path(found.origin).resolve() == Path(file).resolve()
