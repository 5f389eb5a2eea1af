"""The parts of each crawl in this process, found by its crawler.

Scrapy makes schedulers, downloaders, handlers and extensions by itself and hands them
the crawler. What they need is built in one place for each kind of process, its
composition root (``app.py`` in ``local``, ``workers/supervisor``, ``workers/worker``
and ``nodes``), and found here once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

T = TypeVar("T")


class App(Protocol):
    """What downloaders and download handlers use, in every kind of process."""

    @property
    def limiter(self) -> Any:
        """A ``RequestLimiter``, which each request of http and https passes."""

    def holds_back(self) -> bool:
        """Return whether requests wait and none of them may start now."""


_apps: WeakKeyDictionary[Crawler, App] = WeakKeyDictionary()


def register(crawler: Crawler, app: App) -> None:
    """Let *app* be found by the parts that Scrapy makes for *crawler*."""
    _apps[crawler] = app


def app_of(crawler: Crawler, kind: type[T]) -> T:
    """Return what was registered for *crawler*, which must be of that kind."""
    app = _apps[crawler]
    assert isinstance(app, kind)
    return app


def find(crawler: Crawler) -> App:
    """Return what was registered for *crawler*."""
    return _apps[crawler]


def look_for(crawler: Crawler) -> App | None:
    """Return what was registered for *crawler*; None without a mode."""
    return _apps.get(crawler)
