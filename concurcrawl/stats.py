"""Changes to stats, sent between processes and merged."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.statscollectors import StatsCollector

#: The operation and the key of a change: ``("inc", "item_scraped_count")``.
StatKey = tuple[str, str]

#: Types of plain values without parts.
SCALARS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    date,
    timedelta,
    Decimal,
    UUID,
)


def plain(value: Any) -> Any:
    """Return *value* if it is made of plain values, else its ``repr``.

    Any other object might not be picklable.
    """
    return value if _is_plain(value) else repr(value)


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_is_plain, [*value.keys(), *value.values()]))
    if type(value) in (list, tuple, set, frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, SCALARS)


def note(changes: dict[StatKey, Any], how: str, key: str, value: Any) -> None:
    """Merge one change of a stat into *changes*.

    Args:
        changes: Changes since they were last sent, by operation and key.
        how: ``inc`` adds, ``max`` and ``min`` keep one value, ``set`` keeps the last;
            ``start`` gives the initial value of a sum.
        key: The stat.
        value: The increment, or the value.
    """
    place = (how, key)
    if place not in changes or how in ("set", "start"):
        changes[place] = value
    elif how == "inc":
        changes[place] += value
    else:
        changes[place] = (max if how == "max" else min)(changes[place], value)


def apply(changes: Mapping[StatKey, Any], stats: StatsCollector) -> None:
    """Write *changes*, made in another process, into *stats*, as they were written."""
    for (how, key), value in changes.items():
        match how:
            case "start":
                stats.inc_value(key, 0, value)
            case "inc":
                stats.inc_value(key, value)
            case "max":
                stats.max_value(key, value)
            case "min":
                stats.min_value(key, value)
            case _:
                stats.set_value(key, value)


def fold(changes: Mapping[StatKey, Any], values: dict[str, Any]) -> None:
    """Apply *changes* to a plain dict, as :func:`apply` does to a collector."""
    for (how, key), value in changes.items():
        match how:
            case "start":
                values.setdefault(key, value)
            case "inc":
                values[key] = values.get(key, 0) + value
            case "max":
                values[key] = max(values.get(key, value), value)
            case "min":
                values[key] = min(values.get(key, value), value)
            case _:
                values[key] = value
