"""List the components of a project that are not Scrapy's, and where each one runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from scrapy.settings import default_settings

from concurcrawl.integrations.finding import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scrapy import Spider
    from scrapy.settings import BaseSettings

#: Used in the place of a setting for base classes of spiders.
BASES = "spider"

#: Settings with a dict of components: by component, or by what the component is for.
_BY_COMPONENT = (
    *("ADDONS", "EXTENSIONS", "ITEM_PIPELINES"),
    *("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES"),
)
_BY_KEY = ("DOWNLOAD_HANDLERS", "FEED_EXPORTERS", "FEED_STORAGES")

#: Settings with one component.
_SINGLE = tuple(
    name
    for name, value in vars(default_settings).items()
    if isinstance(value, str) and value.startswith("scrapy.")
)

_LIBRARIES = ("scrapy.", "concurcrawl.", "twisted.", "builtins.")


class Place(StrEnum):
    """The processes in which a component runs."""

    HERE = "in_effect"
    SUPERVISOR = "in_supervisor"
    WORKERS = "in_each_worker"
    EVERYWHERE = "in_each_process"


#: Where components run if there are workers; all others run in each process.
_PLACES = {
    **dict.fromkeys(
        (
            *("EXTENSIONS", "ITEM_PIPELINES", "ITEM_PROCESSOR", "DUPEFILTER_CLASS"),
            *("FEED_EXPORTERS", "FEED_STORAGES", "SPIDER_LOADER_CLASS", "SCHEDULER"),
            "DOWNLOADER",
        ),
        Place.SUPERVISOR,
    ),
    **dict.fromkeys(
        (
            *("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES", "DOWNLOAD_HANDLERS"),
            *("HTTPCACHE_STORAGE", "HTTPCACHE_POLICY", "ROBOTSTXT_PARSER"),
            "REFERRER_POLICY",
        ),
        Place.WORKERS,
    ),
}


@dataclass(frozen=True, slots=True)
class Component:
    """A component that a project, a spider or an add-on has set.

    Attributes:
        setting: The setting that names it.
        name: Its import path.
        package: The distribution it comes from; empty if it is the project's own.
        version: That distribution's version; empty if it is the project's own.
    """

    setting: str
    name: str
    package: str = ""
    version: str = ""


def components(settings: BaseSettings, spidercls: type[Spider]) -> Iterator[Component]:
    """Yield the components that are not Scrapy's own, each once for each setting.

    Args:
        settings: Of the crawl, before a mode is applied.
        spidercls: Its spider. The classes of other packages that it derives from count
            as components too.
    """
    found: dict[tuple[str, str], None] = {}
    for setting, value in _written(settings):
        name = name_of(value)
        if name and not name.startswith(_LIBRARIES):
            found[setting, name] = None
    for name in foreign_bases(spidercls):
        found[BASES, name] = None
    for setting, name in found:
        yield component(setting, name)


def component(setting: str, name: str) -> Component:
    """Return the component *name* of *setting*, with the package it comes from."""
    return Component(setting, name, *_distribution(name))


def place(setting: str, *, has_workers: bool) -> Place:
    """Return where a component of *setting* runs."""
    return _PLACES.get(setting, Place.EVERYWHERE) if has_workers else Place.HERE


def foreign_bases(spidercls: type[Spider]) -> Sequence[str]:
    """Return the import paths of base classes from other packages."""
    own = spidercls.__module__.partition(".")[0]
    names = [
        name_of(cls)
        for cls in spidercls.__mro__[1:]
        if cls.__module__.partition(".")[0] != own
    ]
    names = [name for name in names if not name.startswith(_LIBRARIES)]
    return [name for name in names if _distribution(name)[0]]


def _written(settings: BaseSettings) -> Iterator[tuple[str, Any]]:
    for setting in _BY_COMPONENT:
        placed = settings.getdict(setting)
        yield from ((setting, key) for key, at in placed.items() if at is not None)
    for setting in _BY_KEY:
        yield from ((setting, value) for value in settings.getdict(setting).values())
    has_cache = settings.getbool("HTTPCACHE_ENABLED")
    for setting in _SINGLE:
        if has_cache or not setting.startswith("HTTPCACHE_"):
            yield setting, settings[setting]


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _distribution(name: str) -> tuple[str, str]:
    """Return the name and the version of the distribution that *name* is in."""
    found = _distributions().get(name.partition(".")[0])
    return (found[0], metadata.version(found[0])) if found else ("", "")
