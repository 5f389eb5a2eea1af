"""A stats collector that records the operation of each change."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from scrapy.exceptions import ScrapyDeprecationWarning
from scrapy.statscollectors import MemoryStatsCollector, StatsCollector
from typing_extensions import override

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

#: Stands for an argument that was not given.
_UNSAID = object()


@touches(
    "scrapy.statscollectors",
    *("StatsCollector._stats", "StatsCollector._persist_stats"),
    "StatsCollector.__getattribute__",
)
class MergingStatsCollector(MemoryStatsCollector):
    """Scrapy's collector, which can also tell how each stat was written.

    Touches: ``StatsCollector._stats``, ``._persist_stats()`` and ``.__getattribute__``,
    which looks for a deprecated argument in each call (Scrapy 2.19.0). If one moves,
    stats are lost, or the crawl ends with an AttributeError. Wished for: a public dict,
    and the end of that argument.

    Attributes:
        written: Called with way, key and value at each writing, in the process that
            does it; None for no call.
        on_read: Called with the key before each reading, with None if all are read;
            None where the collector has all there is to know.
    """

    written: Callable[[str, str, Any], None] | None = None
    on_read: Callable[[str | None], None] | None = None

    # Scrapy's looks twice for each attribute, to warn of one argument: that was a
    # twentieth of what a small page costs. Here the methods look for it themselves.
    __getattribute__ = object.__getattribute__

    @override
    def get_value(self, key: str, default: Any = None, spider: Any = _UNSAID) -> Any:
        if spider is not _UNSAID:
            _warn_of_spider("get_value")
        if self.on_read is not None:
            self.on_read(key)
        return self._stats.get(key, default)

    @override
    def get_stats(self, spider: Any = _UNSAID) -> dict[str, Any]:
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

    @override
    def set_value(self, key: str, value: Any, spider: Any = _UNSAID) -> None:
        if spider is not _UNSAID:
            _warn_of_spider("set_value")
        self._stats[key] = value
        if self.written is not None:
            self.written("set", key, value)

    @override
    def inc_value(
        self, key: str, count: int = 1, start: int = 0, spider: Any = _UNSAID
    ) -> None:
        if spider is not _UNSAID:
            _warn_of_spider("inc_value")
        found = self._stats
        found[key] = found.get(key, start) + count
        if self.written is not None:
            if start:
                self.written("start", key, start)
            self.written("inc", key, count)

    @override
    def max_value(self, key: str, value: Any, spider: Any = _UNSAID) -> None:
        if spider is not _UNSAID:
            _warn_of_spider("max_value")
        found = self._stats
        found[key] = max(found.get(key, value), value)
        if self.written is not None:
            self.written("max", key, value)

    @override
    def min_value(self, key: str, value: Any, spider: Any = _UNSAID) -> None:
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
