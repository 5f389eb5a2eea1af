"""Find receivers and spider methods of a crawl that have no effect under its mode."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.utils.python import global_object_name

from concurcrawl.config import CLOSED_IN_WORKERS
from concurcrawl.integrations.finding import (
    HAS_WORKERS,
    IN_WORKERS,
    NOT_RECEIVED,
    STAYING,
    Finding,
    package_of,
)
from concurcrawl.integrations.own_state import gathered
from concurcrawl.integrations.receivers import (
    SCRAPYS,
    name_signal,
    own_signals,
    receivers_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler

#: Methods that show that an object must be closed.
_WAYS_TO_CLOSE = ("close", "quit", "kill", "terminate", "shutdown", "disconnect")

#: Signals that only the supervisor sends, because it alone sees all processes, and by
#: which a middleware may count. A receiver of request_scheduled can drop requests.
_SENT_TO_SUPERVISOR = {
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


def find_in_signals(crawler: Crawler) -> Iterator[Finding]:
    """Yield receivers that do not receive what workers send."""
    for signal in (*STAYING, *own_signals(crawler)):
        yield from find_of_signal(crawler, signal)


def find_of_signal(crawler: Crawler, signal: Any) -> Iterator[Finding]:
    """Yield receivers of *signal* that do not receive what workers send."""
    if not crawler.settings.getbool(HAS_WORKERS):
        return
    if signal in STAYING:
        setting, reason, remedy = (
            f"signals.{STAYING[signal]}",
            NOT_RECEIVED,
            IN_WORKERS,
        )
    elif signal not in SCRAPYS and name_signal(signal) is None:
        setting = f"signal {signal!r}"
        reason = (
            "it does not receive those that workers send, because no module has this "
            "signal as an attribute by which another process could find it"
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


def find_in_spider(crawler: Crawler) -> Iterator[Finding]:
    """Yield attributes that ``closed()`` needs and that only workers have."""
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
            "it is called in the supervisor only, but each worker has a spider of its "
            f"own, which opens its own self.{', self.'.join(opened)}",
            f"set {CLOSED_IN_WORKERS}=1 to have it called at the end of each worker as "
            "well",
            is_refused=False,
        )
    listeners = _connected_methods(crawler)
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


def _connected_methods(crawler: Crawler) -> set[str]:
    """Return the names of the spider's methods that are connected to signals."""
    return {
        receiver.__name__
        for signal in SCRAPYS
        for receiver in receivers_of(crawler, signal)
        if getattr(receiver, "__self__", None) is crawler.spider
    }


def _is_open(name: str, value: Any) -> bool:
    """Return whether an attribute of a spider holds an object that must be closed."""
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
    """Yield receivers of middlewares for signals that only the supervisor sends."""
    if not crawler.settings.getbool(HAS_WORKERS):
        return
    engine: Any = crawler.engine
    managers = (engine.downloader.middleware, engine.scraper.spidermw)
    middlewares = {
        id(one)
        for manager in managers
        for one in manager.middlewares
        if package_of(type(one)) not in _NEED_NO_WORD
        and any(hasattr(one, hook) for hook in _HOOKS)
    }
    for name, signal in _SENT_TO_SUPERVISOR.items():
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
