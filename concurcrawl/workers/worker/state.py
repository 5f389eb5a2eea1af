"""Keeps ``spider.state`` of a worker like that of all other processes."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from concurcrawl.durable.state import KEEPS_STATE, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.settings import BaseSettings

    from concurcrawl.workers.protocol.messages.state import ChangeState, SetState


class SharedState:
    """``spider.state``, where the crawl keeps it; without JOBDIR there is none."""

    def __init__(
        self, spider: Any, settings: BaseSettings, note: Callable[[bytes], None]
    ) -> None:
        """Give *spider* its state.

        Args:
            spider: The worker's spider, which opens next.
            settings: Say whether the crawl keeps the state.
            note: Called with each change that is made here, encoded.
        """
        self._spider = spider
        self._tracker: Tracker | None = None
        if settings.getbool(KEEPS_STATE):
            self._tracker = Tracker(note)
            spider.state = self._tracker.live

    def on_set(self, message: SetState) -> None:
        """Replace all of it."""
        if self._tracker is not None:
            self._tracker.replace(pickle.loads(message.payload))  # noqa: S301 - the supervisor's

    def on_change(self, message: ChangeState) -> None:
        """Apply changes of other processes."""
        if self._tracker is not None:
            self._tracker.apply(message.changes)

    def collect(self) -> None:
        """Note what the running callback has changed."""
        if self._tracker is not None:
            found = getattr(self._spider, "state", None)
            self._spider.state = self._tracker.adopt(found)
            self._tracker.collect()
