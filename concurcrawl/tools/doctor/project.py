"""The current project: settings and spiders, even if some cannot be imported."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING

from scrapy.addons import AddonManager
from scrapy.spiderloader import SpiderLoader, get_spider_loader
from scrapy.utils.misc import load_object
from scrapy.utils.project import get_project_settings, inside_project
from scrapy.utils.spider import iter_spider_classes

from concurcrawl.addon import Addon
from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scrapy import Spider
    from scrapy.settings import BaseSettings, Settings

#: The line that a project without the add-on lacks.
LINE = 'ADDONS = {"concurcrawl.Addon": 500}'


@dataclass(frozen=True, slots=True)
class Project:
    """A Scrapy project.

    Attributes:
        name: Its settings module.
        settings: Its settings, with those of the command line.
        spiders: The classes of its spiders, by name.
        broken: Why modules cannot be imported, by module.
    """

    name: str
    settings: Settings
    spiders: Mapping[str, type[Spider]] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    def spider(self, name: str) -> type[Spider]:
        """Return the spider *name*.

        Raises:
            ConfigError: If there is none.
        """
        if name in self.spiders:
            return self.spiders[name]
        expected = f"a spider of this project ({', '.join(self.spiders) or 'none'})"
        if self.broken:
            expected += f"; {', '.join(self.broken)} cannot be imported"
        raise ConfigError("--spider", name, expected)


def load_settings(pairs: Sequence[str]) -> tuple[str, Settings]:
    """Return the name and the settings of the current project.

    Args:
        pairs: Settings of the command line, as ``NAME=VALUE``.

    Raises:
        ConfigError: If there is no project, or its settings cannot be imported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a module that cannot be imported, see below
        is_inside = inside_project()
    if not is_inside:
        raise ConfigError(
            "folder",
            str(Path.cwd()),
            "in a Scrapy project; change to the folder with its scrapy.cfg, or name "
            "its settings in SCRAPY_SETTINGS_MODULE",
        )
    try:
        settings = get_project_settings()
    except (Exception, SystemExit) as error:
        raise ConfigError("scrapy.cfg", str(Path.cwd()), _unimported(error)) from error
    for pair in pairs:
        name, _, value = pair.partition("=")
        settings.set(name, value, "cmdline")
    return str(settings.get("SETTINGS_MODULE") or settings["BOT_NAME"]), settings


def _unimported(error: BaseException) -> str:
    return f"one whose settings can be imported ({message_of(error)})"


def load_project(name: str, settings: Settings) -> Project:
    """Load the spiders of a project.

    Args:
        name: Of the project.
        settings: Of the project; ``update_pre_crawler_settings()`` of add-ons changes
            them.
    """
    _ask_add_ons(settings)
    if load_object(settings["SPIDER_LOADER_CLASS"]) is not SpiderLoader:
        loader = get_spider_loader(settings)
        found = {name: loader.load(name) for name in sorted(loader.list())}
        return Project(name, settings, found)
    spiders: dict[str, type[Spider]] = {}
    broken: dict[str, str] = {}
    # Scrapy's loader gives up a package at the first module that fails.
    for module in _modules(settings.getlist("SPIDER_MODULES"), broken):
        try:
            classes = list(iter_spider_classes(import_module(module)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the project
            broken[module] = message_of(error)
        else:
            spiders |= {cls.name: cls for cls in classes}
    return Project(name, settings, dict(sorted(spiders.items())), broken)


def _modules(packages: Sequence[str], broken: dict[str, str]) -> Iterator[str]:
    for package in packages:
        yield package
        try:
            paths = getattr(import_module(package), "__path__", [])
        except (Exception, SystemExit):  # noqa: BLE001, S112 - named when it is loaded
            continue
        # A subpackage that fails is reported when it is imported itself, below.
        for found in walk_packages(paths, f"{package}.", onerror=broken.get):
            yield found.name


def is_ours(add_on: object) -> bool:
    """Return whether *add_on*, a class or an import path, is concurcrawl's."""
    found = load_object(add_on)  # type: ignore[arg-type]
    return isinstance(found, type) and issubclass(found, Addon)


def others(settings: BaseSettings) -> dict[object, int]:
    """Return the add-ons that are not ours, with their places."""
    add_ons = settings.getdict("ADDONS")
    return {key: at for key, at in add_ons.items() if not is_ours(key)}


def _ask_add_ons(settings: Settings) -> None:
    """Call ``update_pre_crawler_settings()`` of the other add-ons."""
    only_theirs = settings.copy()
    only_theirs.set("ADDONS", others(settings), "cmdline")
    AddonManager.load_pre_crawler_settings(only_theirs)
    for name in only_theirs:
        if name != "ADDONS" and only_theirs[name] != settings[name]:
            settings.set(name, only_theirs[name], only_theirs.getpriority(name) or 0)


def message_of(error: BaseException) -> str:
    """Return the message of *error*, in one line."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
