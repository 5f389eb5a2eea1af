"""What the add-on writes into the settings of a crawl that can be fed and steered."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from concurcrawl.compat import components
from concurcrawl.config import PREFIX, Config
from concurcrawl.control import address
from concurcrawl.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

_ASYNCIO = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"


def enable(settings: BaseSettings, rank: str) -> None:
    """Add the extensions that the settings ask for.

    Raises:
        ConfigError: If a setting cannot be worked with.
        MissingExtraError: If Redis is to be read and its client is not installed.
    """
    config = Config.from_settings(settings)
    asked = {
        "control.announcing.Announcer": config.frontier_url,
        "control.shared.SharedControl": config.frontier_url,
        "control.staying.StayOpen": config.stay,
        "control.start_key.StartKeyReader": config.start_key,
        "control.door.ControlDoor": opens_door(settings),
    }
    chosen = [name for name, value in asked.items() if value]
    if not chosen:
        return
    _require_asyncio(settings, "CONTROL" if config.control else "START_KEY")
    if asked["control.door.ControlDoor"]:
        address.listen_of(settings)
        address.given_token(settings)
    if config.start_key:
        _check_start_key(settings, config)
    extensions = {f"concurcrawl.{name}": 0 for name in chosen}
    components.add(settings, "EXTENSIONS", extensions, rank)


def opens_door(settings: BaseSettings) -> bool:
    """Return whether the control door is switched on."""
    return Config.from_settings(settings).control not in {"", "0", "False"}


def warn_without_mode(settings: BaseSettings) -> None:
    """Name the settings that need a mode, if there is none."""
    if settings.get("MODE") or settings.get(f"{PREFIX}MODE"):
        return  # a command of Scrapy's that has no use for it
    needing = ("CONTROL", "STAY", "START_KEY", "RECORDS", "OTEL")
    names = [f"{PREFIX}{name}" for name in needing]
    found = [name for name in names if settings.get(name) not in (None, "", "0", 0)]
    if found:
        logger.warning("%s: not in effect without a MODE", ", ".join(found))


def start_key_url(settings: BaseSettings, config: Config) -> str:
    """Return the URL of the Redis with the start URLs, or nothing."""
    found = config.start_key_url or config.frontier_url or settings.get("REDIS_URL")
    return str(found or "")


def _check_start_key(settings: BaseSettings, config: Config) -> None:
    name = f"{PREFIX}START_KEY"
    if not start_key_url(settings, config):
        expected = f"set together with {name}_URL, which says in which Redis it is"
        raise ConfigError(name, config.start_key, expected)
    if find_spec("redis") is None:
        raise MissingExtraError(name, "redis-py", "redis")
    if not (settings["JOBDIR"] or config.frontier_url):
        logger.warning(
            "%s: what this crawl has read and not done is lost if it is killed; set "
            "JOBDIR to keep it",
            name,
        )


def _require_asyncio(settings: BaseSettings, name: str) -> None:
    found = settings["TWISTED_REACTOR"]
    if settings.getbool("TWISTED_REACTOR_ENABLED") and found != _ASYNCIO:
        expected = f"{_ASYNCIO!r} (Scrapy's default) with {PREFIX}{name}"
        raise ConfigError("TWISTED_REACTOR", found, expected)
