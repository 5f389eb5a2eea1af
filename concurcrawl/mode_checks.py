"""Read which mode is set, and refuse what cannot work with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from scrapy.spiders import Spider
from scrapy.utils.deprecate import method_is_overridden

from concurcrawl.compat import parts
from concurcrawl.compat.stack import scrapy_command
from concurcrawl.config import Config
from concurcrawl.control.enable import opens_door
from concurcrawl.errors import ConfigError
from concurcrawl.limits.policy import Politeness
from concurcrawl.modes import PLACES, Mode, Plan, plan

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

_SCRAPYS_HANDLER = "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"

#: Commands that fetch one response and show it; they ignore MODE.
_LOOKING = {"bench", "check", "fetch", "parse", "shell", "view"}


def chosen_mode(settings: BaseSettings) -> Mode | None:
    """Return the mode that is set, or None if none is.

    Raises:
        ConfigError: If ``MODE``, or ``CONCURCRAWL_MODE`` where it is set, is no mode.
    """
    name, expected = "CONCURCRAWL_MODE", f"one of {', '.join(Mode)}"
    value = settings.get(name)
    if value is None:
        name, value = "MODE", settings.get("MODE")
        expected += (
            "; if MODE is a setting of this project's own, set CONCURCRAWL_MODE, which "
            "wins (empty for none)"
        )
    if value is None or value == "":
        return None
    try:
        return Mode(value)
    except ValueError as error:
        raise ConfigError(name, value, expected) from error


def shows_progress(settings: BaseSettings) -> bool:
    """Return whether this command is to show progress.

    Raises:
        ConfigError: If ``CONCURCRAWL_PROGRESS`` is not a boolean.
    """
    if settings.get("CONCURCRAWL_PROGRESS") is None or scrapy_command() in _LOOKING:
        return False
    return Config.from_settings(settings).progress


def is_watched(settings: BaseSettings) -> bool:
    """Return whether something that shows the crawl is on for this command.

    That is metrics, the dashboard, or the control door, which ``concurcrawl dashboard``
    looks through.
    """
    if scrapy_command() in _LOOKING:
        return False
    names = ("CONCURCRAWL_METRICS", "CONCURCRAWL_DASHBOARD")
    has_door = chosen_mode(settings) is not None and opens_door(settings)
    return has_door or any(map(settings.get, names))


def read_plan(settings: BaseSettings) -> Plan | None:
    """Return what the mode means, or None without a mode.

    Raises:
        ConfigError: If a setting that the plan depends on has a wrong value.
    """
    mode = chosen_mode(settings)
    if mode is None or scrapy_command() in _LOOKING:
        return None
    name = "CONCURRENT_REQUESTS"
    value: Any = settings.get(name)
    expected = "a whole number >= 0 (requests; 0 means no limit)"
    try:
        concurrent_requests = int(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(name, value, expected) from error
    if concurrent_requests < 0:
        raise ConfigError(name, value, expected)
    planned = plan(
        mode,
        Config.from_settings(settings),
        concurrent_requests=concurrent_requests,
        is_bound=bool(settings.getpriority(name)),
        is_durable=bool(settings["JOBDIR"]),
        places=settings.getint(PLACES),
    )
    if planned.is_supervised:
        _require_asyncio(settings)
    elif cluster := Config.from_settings(settings).cluster:
        expected = f"empty with MODE={mode} without a JOBDIR, which has no workers"
        raise ConfigError("CONCURCRAWL_CLUSTER", cluster, expected)
    Politeness.from_settings(settings)  # raises if one of its settings is wrong
    return planned


def _require_asyncio(settings: BaseSettings) -> None:
    """Refuse a reactor that cannot serve the pipes between supervisor and workers.

    Raises:
        ConfigError: If the reactor is not asyncio's.
    """
    name, found = "TWISTED_REACTOR", settings["TWISTED_REACTOR"]
    wanted = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
    if settings.getbool("TWISTED_REACTOR_ENABLED") and found != wanted:
        raise ConfigError(name, found, f"{wanted!r} (Scrapy's default) with this MODE")


def require_parts(settings: BaseSettings, planned: Plan) -> None:
    """Check that the private parts which this crawl will touch exist.

    Raises:
        MovedPartError: If one is missing.
    """
    handlers = settings.getwithbase("DOWNLOAD_HANDLERS").values()
    uses = {
        "MODE": True,
        "workers": planned.is_supervised,
        "JOBDIR": settings["JOBDIR"],
        "CONCURCRAWL_FRONTIER_URL": settings.get("CONCURCRAWL_FRONTIER_URL"),
        # Not with workers: they download in another way, and the import takes time.
        "Scrapy's download handler": not (
            planned.mode.has_curl or planned.is_supervised
        )
        and _SCRAPYS_HANDLER in handlers,
    }
    parts.require(*(use for use, is_due in uses.items() if is_due))


def warn_if_without_start(spidercls: type[Spider]) -> None:
    """Warn about a spider that Scrapy would crawl without a single request."""
    # Scrapy 2.19 ends such a crawl as "finished" and logs nothing. A library with a
    # start_requests() of its own feeds its spiders in another way.
    owners = [cls for cls in spidercls.__mro__ if "start_requests" in vars(cls)]
    is_own = bool(owners) and _package_of(owners[0]) == _package_of(spidercls)
    if is_own and not method_is_overridden(spidercls, Spider, "start"):
        logger.warning(
            "%s defines start_requests() but not start(): this Scrapy no longer calls "
            "start_requests(), so nothing of it is crawled. Rename it to "
            "'async def start(self)' and yield the requests.",
            spidercls.__name__,
        )


def _package_of(cls: type) -> str:
    return cls.__module__.partition(".")[0]
