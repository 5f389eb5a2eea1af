"""Something of a project that is not in effect, and how its components are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrapy.utils.misc import load_object
from scrapy.utils.python import global_object_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.settings import BaseSettings

#: Setting with whether requests are done in worker processes.
HAS_WORKERS = "CONCURCRAWL_HAS_WORKERS"

#: Setting with the requests in flight in each worker.
SLOTS = "CONCURCRAWL_SLOTS"

#: What the components that need no word begin with.
_KNOWN = ("scrapy.", "concurcrawl.")


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


def name_of(component: Any) -> str:
    """Return the import path of a component that a setting names or is."""
    if component is None or isinstance(component, str):
        return component or ""
    return global_object_name(component)


def package_of(cls: type) -> str:
    """Return the package that defines *cls*."""
    return cls.__module__.partition(".")[0]


def loaded(component: Any) -> type | None:
    """Return the class of a component, or None: it is Scrapy's or ours, or no class."""
    name = name_of(component)
    if not name or name.startswith(_KNOWN):  # some of which are slow to import
        return None
    try:
        found = load_object(component)
    except (ImportError, AttributeError, NameError, ValueError):
        return None  # Scrapy says what is wrong with it
    return found if isinstance(found, type) else None


def own_extensions(settings: BaseSettings) -> Iterator[type]:
    """Yield the extensions that are neither Scrapy's nor ours."""
    for key, place in settings.getdict("EXTENSIONS").items():
        cls = loaded(key) if place is not None else None
        if cls is not None:
            yield cls
