"""Plain attributes of the spider: what changes in the supervisor reaches all workers.

Pipelines and extensions set flags on the spider of the supervisor, and callbacks read
them in the workers. Only changes travel, so that what a callback has set in its own
process stays until the supervisor's value changes as well.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter, OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any

from scrapy import Spider, signals
from scrapy.utils.asyncio import create_looping_call

from concurcrawl.durable.state import KEEPS_STATE, Change, difference
from concurcrawl.stats import SCALARS
from concurcrawl.workers.protocol.messages.state import SetAttributes
from concurcrawl.workers.protocol.pickle_codec import Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from scrapy.crawler import Crawler
    from scrapy.utils.asyncio import AsyncioLoopingCall
    from twisted.internet.task import LoopingCall

logger = logging.getLogger(__name__)

#: How often the attributes are compared with those that workers know.
_INTERVAL_S = 0.25

_CONTAINERS = (
    *(list, tuple, set, frozenset, dict),
    *(deque, Counter, OrderedDict, defaultdict),
)

#: What a value may hold in all, its parts counted one by one, and the characters or
#: bytes in them. More would be compared and sent again and again.
_MOST_VALUES = 1000
_MOST_CHARACTERS = 1 << 16

_MISSING: Any = object()


def scalars(spider: Spider | None) -> dict[str, Any]:
    """Return the attributes of *spider* that may differ where it is made anew.

    A time, a name made at random, what was read from the environment or set by an
    extension: callbacks are to find one value, wherever they run. Only plain values:
    two objects may share anything else.
    """
    return {
        name: value
        for name, value in _attributes(spider)
        if isinstance(value, SCALARS) and not name.startswith("__")
    }


def _attributes(spider: Spider | None) -> Iterable[tuple[str, Any]]:
    """Return all attributes of *spider* that Scrapy's own class does not have."""
    found: dict[str, Any] = {}
    for cls in reversed(type(spider).__mro__):
        if cls not in Spider.__mro__:
            found |= vars(cls)
    found |= vars(spider)
    return found.items()


class AttributeWatch:
    """Finds what changes on the spider of the supervisor."""

    def __init__(self, crawler: Crawler) -> None:
        """Begin with the attributes as they are, which workers are made with."""
        self._send: Callable[[SetAttributes], None] = lambda _: None
        self._crawler = crawler
        self._codec = Codec()
        self._refused: set[str] = set()
        self._known: dict[str, Any] = {}
        self._known = self._snapshot()
        self._at_start = dict(self._known)
        self._loop: AsyncioLoopingCall | LoopingCall | None = None

    def start(self, send: Callable[[SetAttributes], None]) -> None:
        """Look from time to time, first when all that opens with the spider is open.

        Args:
            send: Called with what changed.
        """
        self._send = send
        self._crawler.signals.connect(self.look, signals.engine_started)
        self._loop = create_looping_call(self.look)
        self._loop.start(_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Look no longer."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """Send what has changed since the last look, if anything has."""
        now = self._snapshot()
        changes = list(self._changes(self._known, now))
        self._known = now
        if changes:
            self._send(SetAttributes(self._codec.encode(changes)))

    def since_start(self) -> SetAttributes | None:
        """Return what a worker that starts now must be sent, if anything."""
        changes = list(self._changes(self._at_start, self._known))
        return SetAttributes(self._codec.encode(changes)) if changes else None

    def _snapshot(self) -> dict[str, Any]:
        """Return the plain attributes as copies; what did not change is not copied."""
        found: dict[str, Any] = {}
        keeps_state = self._crawler.settings.getbool(KEEPS_STATE)
        for name, value in _attributes(self._crawler.spider):
            if name.startswith("__") or (keeps_state and name == "state"):
                continue
            known = self._known.get(name, _MISSING)
            if _are_equal(known, value):
                found[name] = known
            elif is_plain(value):
                found[name] = copy.deepcopy(value)
            elif name in self._known and type(value) is type(known):
                self._warn_of_size(name)
        return found

    def _changes(
        self, before: Mapping[str, Any], now: Mapping[str, Any]
    ) -> Iterator[tuple[str, Change]]:
        for name, value in now.items():
            known = before.get(name, _MISSING)
            if not _are_equal(known, value):
                yield name, _change(known, value)
        spider = self._crawler.spider
        for name in before:
            if name not in now and not hasattr(spider, name):
                yield name, ("gone",)

    def _warn_of_size(self, name: str) -> None:
        if name in self._refused:
            return
        self._refused.add(name)
        logger.warning(
            "spider.%s is no longer passed on to callbacks, which run in other "
            "processes: it holds over %d values or %d characters, or something that "
            "is no plain value.",
            name,
            _MOST_VALUES,
            _MOST_CHARACTERS,
        )


def is_plain(value: Any) -> bool:
    """Return whether *value* is made of plain values and is small enough to be sent."""
    values, characters = _MOST_VALUES, _MOST_CHARACTERS
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) in _CONTAINERS:
            values -= len(one)
            if values >= 0:
                waiting += [*one, *one.values()] if isinstance(one, dict) else one
        elif isinstance(one, str | bytes):
            characters -= len(one)
        elif not isinstance(one, SCALARS):
            return False
        if values < 0 or characters < 0:
            return False
    return True


def _are_equal(known: Any, value: Any) -> bool:
    if known is value:
        # Of a container this is no copy, so it holds nothing that could change.
        return True
    if type(known) is not type(value):
        return False
    if type(value) not in _CONTAINERS and not isinstance(value, SCALARS):
        return False
    try:
        return bool(known == value)
    except Exception:  # noqa: BLE001 - a container may hold anything
        return False


def _change(known: Any, value: Any) -> Change:
    """Return how *known* became *value*: containers by what came and went in them.

    Anything else by value: a number may be a counter or a point in time.
    """
    if isinstance(value, SCALARS) or known is _MISSING:
        return ("put", value)
    return difference(known, value) or ("put", value)
