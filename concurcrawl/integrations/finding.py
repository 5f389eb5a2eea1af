"""A component of a project that has no effect, and helpers that read components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.utils.misc import load_object
from scrapy.utils.python import global_object_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.settings import BaseSettings

#: Setting that says whether requests are handled in worker processes.
HAS_WORKERS = "CONCURCRAWL_HAS_WORKERS"

#: Setting with the limit of requests in flight of each worker.
SLOTS = "CONCURCRAWL_SLOTS"

#: Prefixes of components that are never reported.
_KNOWN = ("scrapy.", "concurcrawl.")

#: Signals that stay in the worker: receivers of the first two answer while a page
#: arrives, and the parser that the third one passes may not be picklable.
STAYING = {
    signals.headers_received: "headers_received",
    signals.bytes_received: "bytes_received",
    signals.robots_parsed: "robots_parsed",
}

#: Why an extension receives none of these, and what to do.
NOT_RECEIVED = (
    "it receives nothing about downloads of workers: extensions run in the supervisor"
)
IN_WORKERS = "connect it in a downloader middleware, which workers have"


@dataclass(frozen=True, slots=True)
class Finding:
    """A component of a project that has no effect, or not the one that it should.

    Attributes:
        setting: The setting or signal that names it.
        name: Its class.
        reason: Why, as a clause.
        remedy: What to do, as a clause.
        is_refused: Whether the crawl is refused because of it.
    """

    setting: str
    name: str
    reason: str
    remedy: str
    is_refused: bool

    def __str__(self) -> str:
        return f"{self.setting}={self.name}: {self.reason}; {self.remedy}."


def name_of(component: Any) -> str:
    """Return the import path of a component that a setting names or is."""
    if component is None or isinstance(component, str):
        return component or ""
    return global_object_name(component)


def package_of(cls: type) -> str:
    """Return the package that defines *cls*."""
    return cls.__module__.partition(".")[0]


def loaded(component: Any) -> type | None:
    """Return the class of a component, or None if it is Scrapy's, ours or no class."""
    name = name_of(component)
    if not name or name.startswith(_KNOWN):  # some of which are slow to import
        return None
    try:
        found = load_object(component)
    except (ImportError, AttributeError, NameError, ValueError):
        return None  # Scrapy reports the error
    return found if isinstance(found, type) else None


def own_extensions(settings: BaseSettings) -> Iterator[type]:
    """Yield the extensions that are neither Scrapy's nor ours."""
    for key, place in settings.getdict("EXTENSIONS").items():
        cls = loaded(key) if place is not None else None
        if cls is not None:
            yield cls
