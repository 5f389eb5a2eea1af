"""What a worker is told to be: the crawl that its supervisor has begun."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.settings import BaseSettings

from concurcrawl.compat import spider_arguments
from concurcrawl.workers.moved_pipelines import MOVED
from concurcrawl.workers.protocol.messages.lifecycle import CrawlSpec
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


def import_path(spidercls: type[Spider]) -> tuple[str, ...]:
    """Return where a worker must look for modules, the spider's own file included.

    ``scrapy runspider`` imports a file whose folder is on no path.
    """
    path = list(sys.path)
    module = sys.modules.get(spidercls.__module__)
    file = getattr(module, "__file__", None)
    if file and spidercls.__module__ != "__main__":
        depth = spidercls.__module__.count(".")
        folder = str(Path(file).resolve().parents[depth])
        if folder not in path:
            path.append(folder)
    return tuple(path)
