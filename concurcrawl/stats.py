"""Stats that several processes write as one."""

from __future__ import annotations

import warnings
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from scrapy.exceptions import ScrapyDeprecationWarning
from scrapy.statscollectors import MemoryStatsCollector, StatsCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

#: How a stat was written and which: ``("inc", "item_scraped_count")``.
StatKey = tuple[str, str]

#: Stands for an argument that was not given.
_UNSAID = object()

#: What is plain and has no parts.
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

    Stats are for people to read; an object would have to travel between processes.
    """
    return value if _is_plain(value) else repr(value)


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_is_plain, [*value.keys(), *value.values()]))
    if type(value) in (list, tuple, set, frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, SCALARS)


def note(changes: dict[StatKey, Any], how: str, key: str, value: Any) -> None:
    """Add one writing of a stat to *changes*.

    Args:
        changes: What was written since they were last sent, by way and key.
        how: ``inc`` sums up, ``max`` and ``min`` keep one, ``set`` keeps the last;
            ``start`` says what the sum of a stat begins with that nobody has written.
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
    """Do in *values* what :func:`apply` would have a collector do."""
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


class MergingStatsCollector(MemoryStatsCollector):
    """Scrapy's collector, which can also tell how each stat was written.

    Attributes:
        written: Called with way, key and value at each writing, in the process that
            does it; None to tell nobody.
        on_read: Called with the key before each reading, with None if all are read;
            None where the collector has all there is to know.
    """

    written: Callable[[str, str, Any], None] | None = None
    on_read: Callable[[str | None], None] | None = None

    # Scrapy's looks twice for each attribute, to warn of one argument: that was a
    # twentieth of what a small page costs. Here the methods look for it themselves.
    __getattribute__ = object.__getattribute__

    def get_value(self, key: str, default: Any = None, spider: Any = _UNSAID) -> Any:
        """See :meth:`StatsCollector.get_value`."""
        if spider is not _UNSAID:
            _warn_of_spider("get_value")
        if self.on_read is not None:
            self.on_read(key)
        return self._stats.get(key, default)

    def get_stats(self, spider: Any = _UNSAID) -> dict[str, Any]:
        """See :meth:`StatsCollector.get_stats`."""
        if spider is not _UNSAID:
            _warn_of_spider("get_stats")
        if self.on_read is not None:
            self.on_read(None)
        return self._stats

    def replace(
        self, values: Mapping[str, Any], keys: Container[str | None] | None
    ) -> None:
        """Hold *values* for *keys*, or for all; drop what is not in *values*."""
        for key in [*self._stats]:
            if key not in values and (keys is None or key in keys):
                del self._stats[key]
        self._stats.update(values)

    def set_value(self, key: str, value: Any, spider: Any = _UNSAID) -> None:
        """See :meth:`StatsCollector.set_value`."""
        if spider is not _UNSAID:
            _warn_of_spider("set_value")
        self._stats[key] = value
        if self.written is not None:
            self.written("set", key, value)

    def inc_value(
        self, key: str, count: int = 1, start: int = 0, spider: Any = _UNSAID
    ) -> None:
        """See :meth:`StatsCollector.inc_value`."""
        if spider is not _UNSAID:
            _warn_of_spider("inc_value")
        found = self._stats
        found[key] = found.get(key, start) + count
        if self.written is not None:
            if start:
                self.written("start", key, start)
            self.written("inc", key, count)

    def max_value(self, key: str, value: Any, spider: Any = _UNSAID) -> None:
        """See :meth:`StatsCollector.max_value`."""
        if spider is not _UNSAID:
            _warn_of_spider("max_value")
        found = self._stats
        found[key] = max(found.get(key, value), value)
        if self.written is not None:
            self.written("max", key, value)

    def min_value(self, key: str, value: Any, spider: Any = _UNSAID) -> None:
        """See :meth:`StatsCollector.min_value`."""
        if spider is not _UNSAID:
            _warn_of_spider("min_value")
        found = self._stats
        found[key] = min(found.get(key, value), value)
        if self.written is not None:
            self.written("min", key, value)


def merging(cls: type[StatsCollector]) -> type[StatsCollector]:
    """Return *cls*, a project's own collector, as one that tells how stats are written.

    What it tells is what was written, before *cls* makes anything of it; and nothing of
    the crawl's beginning and end is this one's to note.
    """
    if issubclass(cls, MergingStatsCollector):
        return cls
    ends = {
        name: vars(MemoryStatsCollector).get(name) or vars(StatsCollector)[name]
        for name in ("open_spider", "close_spider", "_persist_stats")
    }
    return type(cls.__name__, (MergingStatsCollector, cls), ends)


def _warn_of_spider(method: str) -> None:
    warnings.warn(
        f"Passing a 'spider' argument to StatsCollector.{method}() is deprecated and "
        "the argument will be removed in a future Scrapy version.",
        category=ScrapyDeprecationWarning,
        stacklevel=3,
    )
