"""Requests of a crawl in one process: the objects themselves, over a frontier."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from concurcrawl.compat.callback_cache import KeptCallbacks
from concurcrawl.compat.engine import in_progress
from concurcrawl.frontier.base import at_once
from concurcrawl.local.packing import Packer
from concurcrawl.local.waiting import WaitingRequests
from concurcrawl.tracing import collector

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import Frontier, Lease
    from concurcrawl.local.duplicates import Duplicates
    from concurcrawl.local.entries import EntryMaker
    from concurcrawl.local.records import RecordOutput


class LocalQueue:
    """Pushes requests and leases them to the engine.

    A request is leased when the engine gets it and done when the engine has let go of
    it, which is after its callback's output was processed. Nothing leaves the process:
    the frontier has a number for each request.
    """

    def __init__(
        self,
        crawler: Crawler,
        frontier: Frontier,
        duplicates: Duplicates,
        entries: EntryMaker,
        records: RecordOutput,
    ) -> None:
        self._crawler = crawler
        self._frontier = frontier
        self._duplicates = duplicates
        self._entries = entries
        self._records = records
        self._clocks_pipelines = collector.clocks_pipelines(crawler.settings)
        self._leases: dict[Request, Lease] = {}
        self._requests = WaitingRequests(Packer(crawler.spider))
        self._names = count()
        self._callbacks = KeptCallbacks()

    def push(self, request: Request) -> bool:
        """Push *request*; return whether it is new."""
        if not request.dont_filter and self._duplicates.is_seen(request):
            self._duplicates.note_filtered(request)
            return False
        name = next(self._names)
        key = self._duplicates.key_of(request)
        entry = self._entries.make(request, b"%d" % name, key)
        (added,) = at_once(self._frontier.push([entry]))
        if added:
            self._requests.add(name, request)
            self._crawler.stats.inc_value("scheduler/enqueued")
            self._crawler.stats.inc_value("scheduler/enqueued/memory")
        else:
            self._duplicates.note(request)  # the engine says that it is dropped
        return bool(added)

    def acquire(self) -> Request | None:
        """Lease the next request; None if none may start now."""
        self.ack_done()
        lease = self._frontier.acquire()
        if lease is None:
            return None
        request = self._requests.pop(int(lease.payload))
        self._callbacks.keep(request)
        if self._records.is_open:
            collector.begin(
                request, lease.queued_s, has_pipelines=self._clocks_pipelines
            )
        self._leases[request] = lease
        self._crawler.stats.inc_value("scheduler/dequeued")
        self._crawler.stats.inc_value("scheduler/dequeued/memory")
        return request

    def ack_done(self) -> None:
        """End the leases of requests that the engine has let go of."""
        engine = self._crawler.engine
        if engine.scheduler is None or not self._leases:  # None: it has closed
            return
        for request in self._leases.keys() - in_progress(engine):
            self._frontier.ack(self._leases.pop(request).lease_id)
            self._records.write(collector.end(request, "main"))

    def close(self) -> None:
        """Forget what waits."""
        self._requests.close()

    def lease_of(self, request: Request) -> Lease | None:
        """Return the lease of *request*, or None if it has none."""
        return self._leases.get(request)
