"""Which worker has what requests share that exists in one process only.

A browser context, with the login in it, say: requests that name the same one go to the
same worker.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy import Request

logger = logging.getLogger(__name__)

W = TypeVar("W")

#: A key of ``meta`` and its value.
StickyKey = tuple[str, Hashable]

#: Keys that a log line names.
_NAMED = 3


def sticky_key(request: Request, names: Sequence[str]) -> StickyKey | None:
    """Return the first of *names* that is in the meta of *request*, and its value."""
    for name in names:
        value = request.meta.get(name)
        if value is not None:
            return name, value if isinstance(value, Hashable) else repr(value)
    return None


class StickyWorkers(Generic[W]):
    """The worker of each key: the first that was leased a request with it."""

    def __init__(self) -> None:
        self._workers: dict[StickyKey, W] = {}
        self._has_warned = False

    def find(self, key: StickyKey | None) -> W | None:
        """Return the worker of *key*, if it has one."""
        return None if key is None else self._workers.get(key)

    def bind(self, key: StickyKey | None, worker: W) -> None:
        """Make *worker* that of *key*, unless it has one."""
        if key is not None:
            self._workers.setdefault(key, worker)

    def release(self, worker: W, name: str) -> None:
        """Take *worker*, whose name is *name*, for gone, and name what it had."""
        gone = [key for key, one in self._workers.items() if one is worker]
        for key in gone:
            del self._workers[key]
        if gone:
            logger.warning(
                "With %s is gone what requests with %s shared there (a login, say). "
                "Those that follow go to another worker, which begins anew.",
                name,
                _shown(gone),
            )

    def warn_of_wait(self, key: StickyKey, name: str) -> None:
        """Say once that requests wait for a worker while another has free capacity."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Requests with %s wait for %s, which has what they share, while other "
                "workers are free. If they share nothing, leave %s out of "
                "CONCURCRAWL_STICKY_META.",
                _shown([key]),
                name,
                key[0],
            )


def _shown(keys: Sequence[StickyKey]) -> str:
    named = ", ".join(f"{name}={value!r}" for name, value in keys[:_NAMED])
    more = len(keys) - _NAMED
    return f"{named} and {more} more" if more > 0 else named
