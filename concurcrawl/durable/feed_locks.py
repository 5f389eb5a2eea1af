"""Two crawls do not write one feed at a time: the second one is refused.

A lock is a file beside the feed, which goes with the crawl: the feed itself may not be
there yet, and is not made before it has an item.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from weakref import WeakKeyDictionary

from scrapy import signals
from w3lib.url import file_uri_to_path

from concurcrawl.compat.feed_export import first_address
from concurcrawl.durable.locks import Passing
from concurcrawl.errors import FeedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

_held: WeakKeyDictionary[Crawler, list[Passing]] = WeakKeyDictionary()

#: What makes an address one that no other crawl has.
_TIMES = ("%(time)", "%(batch_time)")


def claim(crawler: Crawler, settings: BaseSettings) -> None:
    """Lock the local feeds of *crawler* until it has stopped.

    Raises:
        FeedError: If a feed is another crawl's, or two feeds are one file.
    """
    locks = _held[crawler] = []
    try:
        for path in _paths(crawler, settings):
            _claim(path, locks)
    except FeedError:
        _release(locks)
        raise
    crawler.signals.connect(_on_stopped, signals.engine_stopped)


def _on_stopped(sender: Crawler) -> None:
    _release(_held.pop(sender, []))


def _release(locks: list[Passing]) -> None:
    while locks:
        locks.pop().release()


def _claim(path: Path, locks: list[Passing]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        locks.append(Passing(path.with_name(f".{path.name}.lock")))
    except BlockingIOError:
        raise FeedError(
            str(path),
            "another crawl that runs now, or another feed of this one, writes this "
            "file; wait until that has ended, or name another file",
        ) from None
    except OSError:
        return  # the feed cannot be written there, which Scrapy will report


def _paths(crawler: Crawler, settings: BaseSettings) -> Iterator[Path]:
    jobdir = settings["JOBDIR"]
    owned = Path(jobdir).resolve() if jobdir else None
    feeds: dict[Any, Any] = settings.getdict("FEEDS")
    for uri, options in feeds.items():
        path = _path(crawler, uri, options or {})
        if path is None:
            continue
        if path.parent == owned and path.name.startswith(
            ("concurcrawl.", "spider.state", "requests.")
        ):
            raise FeedError(
                str(path), "the JOBDIR has a file of that name; name another file"
            )
        yield path


def _path(crawler: Crawler, uri: Any, options: dict[str, Any]) -> Path | None:
    """Return the file of a feed; None if it is none, or may be one or the other."""
    text = str(uri)
    if any(time in text for time in _TIMES):
        return None
    text = first_address(crawler.spider, text, options.get("uri_params"))
    scheme = urlparse(text).scheme
    if scheme == "file":
        text = file_uri_to_path(text)
    elif "://" in text or scheme == "stdout":
        return None
    path = Path(text).resolve()
    # Devices are shared by all.
    return path if path.is_file() or not path.exists() else None
