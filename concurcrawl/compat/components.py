"""Add Scrapy components (extensions, middlewares, …) to the settings of a crawl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.utils.misc import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.settings import BaseSettings


def add(
    settings: BaseSettings, name: str, components: Mapping[Any, Any], rank: str
) -> None:
    """Add *components* to those of the setting *name*, in the place of their likes.

    Args:
        settings: Of the crawl.
        name: A setting that is a dict.
        components: Places by class or import path; None switches one off.
        rank: The priority to set them with.
    """
    settings.set(name, {**settings.getdict(name), **components}, rank)


def is_on(settings: BaseSettings, name: str, path: str) -> bool:
    """Return whether a component of Scrapy's own is not switched off.

    Args:
        settings: Of the crawl.
        name: A setting that is a dict; its defaults are in the one with ``_BASE``.
        path: Import path of the component's class.
    """
    keys = {path, load_object(path)}
    merged = {**settings.getdict(f"{name}_BASE"), **settings.getdict(name)}
    found = [merged[key] for key in keys & merged.keys()]
    return bool(found) and None not in found


def fill(settings: BaseSettings, name: str, components: Mapping[Any, Any]) -> None:
    """Add *components* where Scrapy's default is all that is set.

    What a project, a spider or another add-on sets stays, also if it comes later.

    Args:
        settings: Of the crawl.
        name: A setting that is a dict by keys that are no components, such as schemes.
        components: What to use in the place of Scrapy's defaults, by key.
    """
    written: BaseSettings = settings[name]
    defaults = settings[f"{name}_BASE"]
    for key, component in components.items():
        if str(defaults.get(key, "scrapy.")).startswith("scrapy."):
            written.set(key, component, "default")


def replace(settings: BaseSettings, scrapys: type, ours: type, rank: str) -> None:
    """Put *ours* in the place of a downloader middleware of Scrapy's own.

    Not if the project has moved that or switched it off.
    """
    name = "DOWNLOADER_MIDDLEWARES"
    path = f"{scrapys.__module__}.{scrapys.__name__}"
    place = settings.getdict(f"{name}_BASE").get(path)
    if place is not None and not {path, scrapys} & settings.getdict(name).keys():
        add(settings, name, {path: None, ours: place}, rank)
