"""The spider of a comparison, with its project, settings and environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.config import Config
from concurcrawl.cpus import usable_cpus
from concurcrawl.errors import ConfigError
from concurcrawl.modes import Mode, plan
from concurcrawl.tools.compare.options import SPIDER, is_loopback
from concurcrawl.tools.compare.setup import Setup
from concurcrawl.tuning.event_loop import quickest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy import Spider
    from scrapy.settings import BaseSettings

    from concurcrawl.limits.policy import Politeness
    from concurcrawl.tools.compare.options import CompareOptions

_SETTINGS_VARIABLE = "SCRAPY_SETTINGS_MODULE"
_OUR_SETTINGS = "concurcrawl.settings"
#: Settings that affect the speed and hold no secret; the report lists them.
_REPORTED = (
    *("AUTOTHROTTLE_ENABLED", "COMPRESSION_ENABLED", "CONCURCRAWL_MAX_ATTEMPTS"),
    *("CONCURCRAWL_RATE", "CONCURCRAWL_THREADS", "CONCURCRAWL_WORKERS"),
    *("CONCURRENT_ITEMS", "CONCURRENT_REQUESTS", "CONCURRENT_REQUESTS_PER_DOMAIN"),
    *("COOKIES_ENABLED", "DOWNLOAD_DELAY", "DOWNLOAD_TIMEOUT", "HTTPCACHE_ENABLED"),
    *("JOBDIR", "LOG_LEVEL", "METAREFRESH_ENABLED", "REDIRECT_ENABLED"),
    *("RETRY_ENABLED", "RETRY_TIMES", "ROBOTSTXT_OBEY"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlTarget:
    """A spider and how to start a crawl of it in a process of its own.

    Attributes:
        spider: Its name.
        arguments: For the spider in every crawl, as ``NAME=VALUE``.
        settings: Of every crawl, as ``NAME=VALUE``.
        environment: Variables of the crawl's process.
        saves_pages: Whether it saves its pages as files; otherwise records count.
        may_be_live: Whether it may crawl another machine.
        timeout_s: How long one crawl may take.
        setup: Slots, processes and cores of the modes.
        mode_setting: The setting that names the mode.
        facts: Spider, reactor and settings, for the report.
    """

    spider: str
    arguments: tuple[str, ...]
    settings: tuple[str, ...]
    environment: dict[str, str]
    saves_pages: bool
    may_be_live: bool
    timeout_s: float
    setup: Setup
    mode_setting: str
    facts: dict[str, str]


def find(options: CompareOptions) -> CrawlTarget:
    """Find the spider of *options* and check that it can be compared.

    Raises:
        ConfigError: If there is no such spider or project, if the project does not
            have the add-on, or if the spider starts on another machine and may not.
    """
    environment = dict(os.environ)
    if options.spider is None:
        environment[_SETTINGS_VARIABLE] = _OUR_SETTINGS
        settings = _our_settings(options.settings)
    else:
        settings, spidercls = _project(options.spider, options.settings)
        _check(spidercls, settings, options)
        environment["PYTHONPATH"] = _python_path()
    arguments = options.arguments
    if options.site is not None:
        arguments = (f"site={options.site}", *arguments)
    return CrawlTarget(
        spider=options.spider or SPIDER,
        arguments=arguments,
        settings=options.settings,
        environment=environment,
        saves_pages=options.spider in (None, SPIDER),
        may_be_live=options.may_be_live,
        timeout_s=options.timeout_s,
        setup=_setup(options.modes, settings),
        mode_setting=_mode_setting(settings),
        facts={"spider": options.spider or SPIDER, **_facts(settings)},
    )


def _mode_setting(settings: BaseSettings) -> str:
    """Return the setting that selects the mode: ``MODE`` may be the project's own."""
    own = settings.get("MODE")
    has_own = bool(own) and own not in list(Mode)
    is_set = settings.get("CONCURCRAWL_MODE") is not None
    return "CONCURCRAWL_MODE" if is_set or has_own else "MODE"


def politeness_of(options: CompareOptions) -> Politeness:
    """Return what the crawl's settings and the sites' profiles allow.

    Raises:
        ConfigError: If a setting is invalid.
    """
    from concurcrawl.limits.policy import Politeness  # only advice needs it

    if options.spider is None:
        return Politeness.from_settings(_our_settings(options.settings))
    return Politeness.from_settings(_project(options.spider, options.settings)[0])


def _setup(modes: Sequence[Mode], settings: BaseSettings) -> Setup:
    config = Config.from_settings(settings)
    name = "CONCURRENT_REQUESTS"
    requests, is_bound = settings.getint(name), bool(settings.getpriority(name))
    plans = [
        plan(mode, config, concurrent_requests=requests, is_bound=is_bound)
        for mode in modes
    ]
    return Setup(
        slots={planned.mode.value: planned.in_flight for planned in plans},
        processes={planned.mode.value: len(planned.slots) for planned in plans},
        cores=usable_cpus(),
    )


def _facts(settings: BaseSettings) -> dict[str, str]:
    """Return reactor, event loop and settings; only settings that hold no secret."""
    from scrapy.settings import Settings  # slow to import

    usual = Settings()
    changed = [
        f"{name}={settings[name]}"
        for name in _REPORTED
        if name in settings and settings[name] != usual.get(name)
    ]
    return {
        "reactor": str(settings["TWISTED_REACTOR"]).rpartition(".")[2],
        "event_loop": settings["ASYNCIO_EVENT_LOOP"] or quickest() or "asyncio's own",
        "settings": ", ".join(changed) or "as Scrapy's",
    }


def _our_settings(pairs: Sequence[str]) -> BaseSettings:
    from scrapy.settings import Settings  # slow to import

    settings = Settings()
    settings.setmodule(_OUR_SETTINGS, "project")
    _override(settings, pairs)
    return settings


def _project(name: str, pairs: Sequence[str]) -> tuple[BaseSettings, type[Spider]]:
    """Load the settings and the spider *name* of the current project."""
    from scrapy.spiderloader import get_spider_loader  # slow to import
    from scrapy.utils.project import get_project_settings, inside_project

    if not inside_project():
        raise ConfigError("--spider", name, "used inside a Scrapy project's folder")
    settings = get_project_settings()
    _override(settings, pairs)
    loader = get_spider_loader(settings)
    try:
        spidercls = loader.load(name)
    except KeyError:
        known = ", ".join(sorted(loader.list())) or "none"
        expected = f"a spider of this project ({known})"
        raise ConfigError("--spider", name, expected) from None
    spidercls.update_settings(settings)
    return settings, spidercls


def _override(settings: BaseSettings, pairs: Sequence[str]) -> None:
    for pair in pairs:
        name, _, value = pair.partition("=")
        settings.set(name, value, "cmdline")


def _check(
    spidercls: type[Spider], settings: BaseSettings, options: CompareOptions
) -> None:
    from scrapy.utils.misc import load_object  # slow to import

    from concurcrawl.addon import Addon

    add_ons = [load_object(path) for path in settings.getdict("ADDONS")]
    if not any(
        isinstance(found, type) and issubclass(found, Addon) for found in add_ons
    ):
        raise ConfigError(
            "--spider",
            options.spider,
            "in a project that has the add-on: write "
            'ADDONS = {"concurcrawl.Addon": 500} in its settings',
        )
    starts = getattr(spidercls, "start_urls", None) or ()
    live = next((url for url in starts if not is_loopback(url)), None)
    if live is not None and options.site is None and not options.may_be_live:
        raise ConfigError("--spider", options.spider, stays_here(live))


def stays_here(url: str) -> str:
    """Return the words after "must be" for a spider that requests *url*."""
    return (
        "one that stays on this machine, or allowed with --yes-live: each run crawls "
        f"the site again (it asks for {url})"
    )


def _python_path() -> str:
    """Return a module path on which the crawl finds the current project.

    Scrapy adds the project's folder by itself only while it chooses the settings
    module, and ``scrapy compare`` has chosen it already.
    """
    from scrapy.utils.conf import closest_scrapy_cfg  # slow to import

    found = closest_scrapy_cfg()
    folders = [str(Path(found).parent)] if found else []
    return os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
