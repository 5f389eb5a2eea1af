"""Item pipelines that run in workers, as ``CONCURCRAWL_WORKER_PIPELINES`` names them.

They are the first that an item passes, so the order stays. What one of them drops, or
fails with, happens again in the supervisor: stats, signals and log lines are those of a
crawl without workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrapy.utils.misc import load_object

from concurcrawl.compat import components
from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy.settings import BaseSettings

#: Setting with the pipelines of the workers, as in ``ITEM_PIPELINES``.
MOVED = "CONCURCRAWL_MOVED_PIPELINES"

_NAME = "CONCURCRAWL_WORKER_PIPELINES"
_ALL = "ITEM_PIPELINES"


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that a pipeline in a worker did not let pass.

    Attributes:
        item: The item as the callback yielded it.
        error: What the pipeline raised.
    """

    item: Any
    error: Exception


def move(settings: BaseSettings, names: Sequence[Any], rank: str) -> None:
    """Leave the pipelines *names* out here, and note them for the workers.

    Args:
        settings: Of the crawl.
        names: Import paths, or classes.
        rank: The priority to set them with.

    Raises:
        ConfigError: If one is no item pipeline of the crawl, or not among the first,
            or if the crawl is shared over Redis.
    """
    if settings.get("CONCURCRAWL_FRONTIER_URL"):
        expected = "empty with CONCURCRAWL_FRONTIER_URL: its nodes run all pipelines"
        raise ConfigError(_NAME, settings[_NAME], expected)
    places = dict(settings.get_component_priority_dict_with_base(_ALL))
    in_order = sorted(places, key=lambda key: (places[key], str(key)))
    wanted = {_load(name, settings[_NAME]) for name in names}
    moved = [key for key in in_order if load_object(key) in wanted]
    if len(moved) < len(wanted):
        expected = f"pipelines in {_ALL}, which are {_listed(in_order)}"
        raise ConfigError(_NAME, settings[_NAME], expected)
    if moved != in_order[: len(moved)]:
        expected = (
            f"the first ones of {_ALL}, whose order is {_listed(in_order)}: an item "
            "leaves its worker once"
        )
        raise ConfigError(_NAME, settings[_NAME], expected)
    settings.set(MOVED, {key: places[key] for key in moved}, rank)
    components.add(settings, _ALL, dict.fromkeys(moved), rank)


def _load(name: Any, value: Any) -> Any:
    try:
        return load_object(name)
    except (ImportError, NameError, TypeError, ValueError) as error:
        raise ConfigError(_NAME, value, f"import paths ({error})") from error


def _listed(keys: Sequence[Any]) -> str:
    names = [key if isinstance(key, str) else key.__qualname__ for key in keys]
    return ", ".join(names) or "none"
