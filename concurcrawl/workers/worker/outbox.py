"""Fills the results of a worker and sends them."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from concurcrawl import stats
from concurcrawl.workers.protocol.messages.results import (
    LogLine,
    PartialResult,
    Product,
    RequestResult,
)

if TYPE_CHECKING:
    from concurcrawl.workers.protocol.cookies import SharedCookies
    from concurcrawl.workers.worker.connection import Connection
    from concurcrawl.workers.worker.totals import Totals
    from concurcrawl.workers.worker.work import WorkInProgress

#: Products of one request are sent in parts of this size, so that a page with very many
#: links fills no process's memory.
PART_BYTES = 1 << 18

#: Seconds that a log line or a stat without a request waits for others to go with it.
_LINGER_S = 0.1

#: Whether the running code got a robots.txt that was downloaded for another request.
#: A context variable, because Scrapy's middleware counts the download after it has
#: returned and passes no request to the stats collector.
robots_are_shared: ContextVar[bool] = ContextVar("robots_are_shared", default=False)

_ROBOTS_STATS = ("robotstxt/re", "robotstxt/exception")


class Outbox:
    """Fills the result of the current request, and sends results.

    Invariant: a result is sent at most once. What is added after that, or outside of
    any request, goes into the general result, which has no lease.
    """

    def __init__(
        self,
        connection: Connection,
        work: WorkInProgress,
        cookies: SharedCookies,
        totals: Totals,
    ) -> None:
        self._connection = connection
        self._work = work
        self._cookies = cookies
        self._totals = totals
        self._flush_is_due = False

    def here(self) -> RequestResult:
        """Return the result of the request that the running code belongs to."""
        work = self._work.current()
        if work is not None:
            return work.result
        self._schedule_flush()
        return self._work.general

    def add(self, product: Product) -> None:
        """Add an item or a request to the result; send a part of it if it is large."""
        result = self.here()
        result.items += product.is_item
        # What came from no request is sent soon and is applied by itself. What came
        # from a local request is sent after the result of its lease.
        lease_id = None if result.is_partial else result.lease_id
        if result.size_bytes >= PART_BYTES and lease_id is not None:
            self._connection.send(PartialResult(lease_id, result.products))
            result.products, result.size_bytes = [], 0
        result.products.append(product)
        result.size_bytes += len(product.payload)

    def add_change(self, change: bytes) -> None:
        """Add a change of ``spider.state`` to the result."""
        self.here().state.append(change)

    def write_stat(self, how: str, key: str, value: Any) -> None:
        """Add a written stat to the result."""
        if robots_are_shared.get() and str(key).startswith(_ROBOTS_STATS):
            return  # the worker that downloaded it has counted it
        stats.note(self.here().stats, how, key, stats.plain(value))

    def count_scheduled(self, how: str) -> None:
        """Count a local request as Scrapy's scheduler counts the others.

        Args:
            how: ``enqueued`` or ``dequeued``.
        """
        self.write_stat("inc", f"scheduler/{how}", 1)
        self.write_stat("inc", f"scheduler/{how}/memory", 1)

    def log(self, line: LogLine) -> None:
        """Send a log line with the next result."""
        self._work.general.logs.append(line)
        self._schedule_flush()

    def send(self, result: RequestResult) -> None:
        """Send *result*, with all cookies and log lines since the last one."""
        general = self._work.general
        result.cookies += self._cookies.changes()
        result.logs, general.logs = general.logs + result.logs, []
        self._connection.send(result)
        self._totals.sent(result.stats)

    def flush(self) -> None:
        """Send the general result now; after :meth:`close` it waits for the end."""
        self._flush_is_due = False
        if self._connection.is_open:  # a timer may be left from before close()
            general, self._work.general = self._work.general, RequestResult()
            self.send(general)

    async def close(self) -> None:
        """Send what is due and keep the rest for :meth:`send_last`."""
        self.flush()
        await self._connection.close()

    def send_last(self) -> None:
        """Send what was added since :meth:`close`, when the loop has ended."""
        self._connection.send_last(self._work.general)

    def _schedule_flush(self) -> None:
        if not self._flush_is_due and self._connection.is_open:
            self._flush_is_due = True
            asyncio.get_running_loop().call_later(_LINGER_S, self.flush)
