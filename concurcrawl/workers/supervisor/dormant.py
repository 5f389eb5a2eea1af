"""Middlewares that a supervisor has and does not use: it has them open nothing.

Workers have all middlewares. Those of a project often open a file or a connection when
the spider has opened, and of some files only one process may have it. The supervisor
makes them too, since extensions look them up and some receive signals that only it
sends; the others receive no signal until it downloads something itself.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from pydispatch.robustapply import robustApply  # type: ignore[import-untyped]
from scrapy import signals
from scrapy.utils.defer import ensure_awaitable

from concurcrawl.workers.protocol.replayed import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

#: What says that a crawl begins or ends, in the order in which that is said.
_BEGINS = (signals.spider_opened, signals.engine_started)
_ENDS = (signals.spider_closed, signals.engine_stopped)

_LIBRARIES = ("scrapy.", "concurcrawl.")


class DormantMiddlewares:
    """Middlewares of a project, until the supervisor needs them."""

    def __init__(self, crawler: Crawler, middlewares: Iterable[Any]) -> None:
        """Tell *middlewares* nothing, except those that do something here.

        Args:
            crawler: The supervisor's, whose spider has not been opened.
            middlewares: All that it has of one kind.
        """
        self._crawler = crawler
        self._sent: list[object] = []
        self._held: list[tuple[object, Callable[..., Any]]] = []
        self._opening: list[asyncio.Future[Any]] = []
        dormant = {id(one) for one in middlewares if not self._is_used(one)}
        for signal in _BEGINS + _ENDS:
            for receiver in [*self._receivers(signal)]:
                if id(getattr(receiver, "__self__", None)) in dormant:
                    self._held.append((signal, receiver))
                    crawler.signals.disconnect(receiver, signal)
        if self._held:
            crawler.signals.connect(self._opened, signals.spider_opened)
            crawler.signals.connect(self._started, signals.engine_started)

    async def wake(self) -> None:
        """Tell them what they have missed, and all that follows."""
        self.wake_now()
        if self._opening:
            await asyncio.gather(*self._opening)
            self._opening.clear()

    def wake_now(self) -> None:
        """Do what :meth:`wake` does; what they await goes on meanwhile."""
        held, self._held = self._held, []
        for signal, receiver in held:
            self._crawler.signals.connect(receiver, signal)
            if signal in self._sent:
                told = self._call(signal, receiver)
                self._opening.append(asyncio.ensure_future(told))

    async def _call(self, signal: object, receiver: Callable[..., Any]) -> None:
        spider = self._crawler.spider
        try:
            found = robustApply(
                receiver, signal=signal, sender=self._crawler, spider=spider
            )
            await ensure_awaitable(found)
        except Exception:
            logger.exception("Error caught on signal handler: %s", receiver)

    def _opened(self) -> None:
        self._sent.append(signals.spider_opened)

    def _started(self) -> None:
        self._sent.append(signals.engine_started)

    def _is_used(self, middleware: Any) -> bool:
        if type(middleware).__module__.startswith(_LIBRARIES):
            return True
        return hasattr(middleware, "process_start") or any(
            getattr(receiver, "__self__", None) is middleware
            for signal in ELSEWHERE
            for receiver in self._receivers(signal)
        )

    def _receivers(self, signal: object) -> Iterator[Callable[..., Any]]:
        found: Iterator[Callable[..., Any]] = liveReceivers(
            getAllReceivers(self._crawler, signal)
        )
        return found
