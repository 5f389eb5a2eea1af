"""Pauses, inspects and stops the engine of a worker, as the supervisor says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from concurcrawl.compat.engine import wake
from concurcrawl.workers.protocol.messages.lifecycle import (
    Inspect,
    Inspected,
    Pause,
    Ping,
    Pong,
    Stop,
)

if TYPE_CHECKING:
    from concurcrawl.workers.worker.connection import Connection
    from concurcrawl.workers.worker.crawler import WorkerCrawler
    from concurcrawl.workers.worker.leases import Leases
    from concurcrawl.workers.worker.logs import ForwardedLog
    from concurcrawl.workers.worker.products import Products


class EngineControl:
    """Does to the engine what the supervisor asks for.

    Attributes:
        is_stopping: Whether the supervisor has asked for the end.
    """

    def __init__(
        self,
        crawler: WorkerCrawler,
        connection: Connection,
        leases: Leases,
        products: Products,
        log: ForwardedLog,
    ) -> None:
        self._crawler = crawler
        self._engine: Any = crawler.engine
        self._connection = connection
        self._leases = leases
        self._products = products
        self._log = log
        self.is_stopping = False

    def pause(self, *, is_on: bool) -> None:
        """Pause the whole crawl, or go on with it."""
        self._engine.paused = is_on
        self.return_if_paused()
        self._connection.send(Pause(is_on))

    def return_if_paused(self) -> None:
        """Return leases that arrive during a pause."""
        if self._engine.paused:
            self._leases.return_waiting()

    def wake(self) -> None:
        """Let the engine ask for requests."""
        wake(self._engine)

    def on_pause(self, message: Pause) -> None:
        """Pause or unpause the engine."""
        self._engine.paused = message.is_on
        self.return_if_paused()

    def on_ping(self, _: Ping) -> None:
        """Answer that the event loop turns."""
        has_yielded = self._products.take_is_moving()
        self._connection.send(Pong(self._engine.is_downloading or has_yielded))

    def on_inspect(self, _: Inspect) -> None:
        """Answer with the requests that wait, if nothing moves."""
        self._connection.send(Inspected(self._engine.inspect()))

    def on_stop(self, message: Stop) -> None:
        """Close the spider once all requests are done."""
        self.is_stopping = True
        self._log.finish(closes_spider=self._crawler.closes_spider)
        asyncio.ensure_future(self._engine.close_spider_async(reason=message.reason))  # noqa: RUF006 - the loop ends with it
