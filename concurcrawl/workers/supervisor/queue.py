"""The requests of a supervisor: what waits, what workers hold, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from concurcrawl.compat.engine import wake
from concurcrawl.errors import (
    ConcurcrawlError,
    NotJsonError,
    UnreadableError,
)
from concurcrawl.frontier.base import Done, at_once
from concurcrawl.workers.supervisor.arrivals import Arrivals
from concurcrawl.workers.supervisor.claims import Claims
from concurcrawl.workers.supervisor.commits import RequestCommit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.base import Completed, Entry, Lease
    from concurcrawl.limits.admission_queue import AdmissionQueue
    from concurcrawl.local.entries import EntryMaker
    from concurcrawl.workers.protocol.messages.results import Product
    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.supervisor.arrivals import Arrived, Requests
    from concurcrawl.workers.supervisor.storage import Storage

    #: Changes of ``spider.state``, and the worker that made them.
    WorkerChanges = tuple[Sequence[bytes], str]

logger = logging.getLogger(__name__)


class WorkerQueue:
    """Pushes requests, leases them to workers and commits what came of them."""

    def __init__(
        self,
        crawler: Crawler,
        codec: Codec,
        storage: Storage,
        entries: EntryMaker,
        admissions: AdmissionQueue,
        fail: Callable[[Exception], None],
    ) -> None:
        """Make one.

        Args:
            crawler: The crawl.
            codec: Decodes requests that workers made.
            storage: Where requests are kept.
            entries: Makes entries of requests.
            admissions: Requests that wait for their sites.
            fail: Ends the crawl, which cannot be kept any more.
        """
        self._crawler = crawler
        self._stats = crawler.stats
        self._codec = codec
        self._storage = storage
        self._frontier = storage.frontier
        self._entries = entries
        self._admissions = admissions
        self._fail = fail
        self._duplicates = storage.duplicates
        self._claims = Claims()
        self._leases: dict[Request, Lease] = {}
        has_own_filter = self._duplicates.own_filter is not None
        self._arrivals = Arrivals(
            crawler,
            codec,
            self._make_entry,
            self._claims.__contains__,
            self._duplicates.note,
            is_free=not has_own_filter and storage.encoding.is_workers,
            has_start_queue=entries.has_start_queue,
        )

    def __len__(self) -> int:
        """Return how many requests wait."""
        return self._frontier.waiting()

    def push(self, request: Request) -> bool:
        """Push *request*, which the engine has scheduled.

        What belongs to a result that is being committed is pushed with that.

        Returns:
            Whether it is not known to be a duplicate.

        Raises:
            NotShippableError: If it cannot leave this process.
            NotJsonError: If it cannot leave this machine.
            sqlite3.Error: If the frontier cannot be written.
        """
        if self._arrivals.is_collecting:
            return self._arrivals.enqueue(request)
        entry = self._make_entry(request, None)
        if entry is None:
            return False
        output = self._storage.start.output_of(request)
        answers = self._storage.own_filter.prepare()
        commit = RequestCommit([entry], output=output, answers=answers)
        done = self._storage.commit(commit)
        if not isinstance(done, Done):
            # The engine wants to know now; whether it was new is known later.
            pushed = asyncio.ensure_future(self._note_later(request, done))
            self._storage.wait_for(request, pushed)
            return True
        (added,) = at_once(done).added
        if added:
            self._count("scheduler/enqueued")
        else:
            self._duplicates.note(request)  # the engine says that it is dropped
        return bool(added)

    async def add(self, request: Request) -> bool:
        """Push a request from outside; return whether it was new, once it is safe.

        Raises:
            NotShippableError: If it cannot leave this process.
            NotJsonError: If it cannot leave this machine.
        """
        entry = self._make_entry(request, None)
        if entry is None:
            return False
        answers = self._storage.own_filter.prepare()
        commit = RequestCommit([entry], answers=answers)
        (added,) = (await self._storage.commit(commit)).added
        if added:
            self._count("scheduler/enqueued")
        else:
            self._duplicates.note(request)
        return bool(added)

    async def _note_later(self, request: Request, done: Awaitable[Completed]) -> None:
        with contextlib.suppress(ConcurcrawlError):  # said where it is found
            (added,) = (await done).added
            if added:
                self._count("scheduler/enqueued")
            else:
                self._duplicates.note_dropped(request)

    def _make_entry(self, request: Request, product: Product | None) -> Entry | None:
        """Return what to push; None if the project's own filter knows it.

        Args:
            request: The request.
            product: The request as a worker sent it, if one made it.
        """
        own, encoding = self._storage.own_filter, self._storage.encoding
        if product is None:
            payload, key = encoding.encode(request), self._duplicates.key_of(request)
        else:
            is_kept = encoding.is_workers
            payload = product.payload if is_kept else encoding.encode(request)
            has_own_filter = self._duplicates.own_filter is not None
            key = None if has_own_filter else product.key or None
        if own.is_seen(request, None if product is None else product.key):
            return None
        return self._entries.make(request, payload, key)

    def acquire(self) -> Request | None:
        """Lease the next request to a worker; None if none may start now."""
        while True:
            try:
                lease = self._frontier.acquire()
                return None if lease is None else self._read(lease)
            except (UnreadableError, NotJsonError) as error:  # its lease has ended
                logger.error("%s", error)  # noqa: TRY400 - its sentence says it all
                self._stats.inc_value("concurcrawl/not_shippable")
            except sqlite3.Error as error:
                self._fail(error)
                return None

    def _read(self, lease: Lease) -> Request:
        try:
            request, payload = self._storage.encoding.decode(lease.payload)
        except (UnreadableError, NotJsonError):
            self._storage.dead_letter(lease, "", 0)
            self._frontier.ack(lease.lease_id)
            raise
        request.errback = None  # it is the worker's to call
        if payload is not lease.payload:
            lease = replace(lease, payload=payload)
        self._leases[request] = lease
        self._count("scheduler/dequeued")
        return request

    async def commit(
        self,
        lease: Lease | None,
        products: Requests,
        items: Iterable[bytes] = (),
        changes: WorkerChanges = ((), ""),
    ) -> list[int]:
        """End *lease*, push the requests and keep the items that came of it.

        The project's code runs first, then all is committed in one transaction, and
        then it is counted and signals are sent.

        Args:
            lease: The lease, or None for what came of no lease.
            products: The requests, encoded; read more than once.
            items: The items, as the delivery keeps them.
            changes: Those of ``spider.state``, and the worker that made them.

        Returns:
            The numbers of the items.

        Raises:
            LeaseLostError: If others hold the lease now; nothing was done.
            UnreadableError: If a request cannot be decoded; nothing was done.
        """
        state = self._storage.state
        self._storage.own_filter.expect(product.key for product in products)
        arrived = self._arrivals.collect(products)
        answers = self._storage.own_filter.prepare()
        prepared = None if state is None else state.prepare(*changes)
        if not (lease or arrived or items or answers or prepared):
            return []
        claims = [] if lease is None else [*self._claims.entries(lease)]
        done = await self._storage.commit(
            RequestCommit(
                chain(arrived.all_entries(), claims),
                lease,
                items,
                answers=answers,
                state=prepared,
                claims=[entry.key for entry in claims if entry.key is not None],
            )
        )
        if state is not None and prepared is not None:
            state.committed(prepared)
        self._admissions.pump_all()
        self._note_added(arrived, done.added[: len(done.added) - len(claims)])
        return done.items

    def _note_added(self, arrived: Arrived, added: Sequence[bool]) -> None:
        if count := sum(added):
            self._count("scheduler/enqueued", count)
            wake(self._crawler.engine)
        if duplicates := len(added) - count:
            self._duplicates.note_all_dropped(
                lambda: arrived.not_added(added, self._codec.decode), duplicates
            )

    async def claim(self, lease_id: int, key: bytes, request: Request) -> bool:
        """Return whether a request that a worker keeps is new, and remember it then.

        Args:
            lease_id: The lease that it came of.
            key: Its fingerprint.
            request: The request, without what cannot travel.
        """
        if key in self._claims:
            is_new = self._claims.claim_again(key, lease_id)
        else:
            is_known = await self._storage.is_known(request, key)
            is_new = not is_known and key not in self._claims
            if is_new:
                self._claims.add(key, lease_id)
        if not is_new:
            self._duplicates.note_dropped(request)
        return is_new

    def start_over(self, lease_ids: Sequence[int]) -> None:
        """Treat *lease_ids* as leased anew: the worker that had them is gone."""
        self._admissions.withdraw(set(lease_ids))
        for lease_id in lease_ids:
            self._claims.redo(lease_id)
            self._frontier.start_over(lease_id)
        self._admissions.pump_all()

    def release(self, request: Request) -> None:
        """Make *request* wait again: nothing came of it."""
        lease_id = self._leases.pop(request).lease_id
        self._claims.redo(lease_id)
        self._frontier.release(lease_id)
        self._count("scheduler/dequeued", -1)  # it will be counted again
        self._admissions.pump_all()

    def forget(self, request: Request) -> None:
        """Let go of *request*, whose lease has ended."""
        lease = self._leases.pop(request, None)
        if lease is not None:
            self._claims.drop(lease.lease_id)

    def forget_claims(self) -> None:
        """Forget what leases have claimed: others hold them now."""
        self._admissions.withdraw({one.lease_id for one in self._leases.values()})
        self._claims.clear()

    def lease_of(self, request: Request) -> Lease | None:
        """Return the lease of *request*, or None if it has none."""
        return self._leases.get(request)

    def leased(self) -> set[Request]:
        """Return the requests that workers hold."""
        return set(self._leases)

    def leased_by(self, leases: set[int]) -> list[Request]:
        """Return the requests of certain leases, which are named by their ids."""
        return [one for one, lease in self._leases.items() if id(lease) in leases]

    def _count(self, stat: str, count: int = 1) -> None:
        self._stats.inc_value(stat, count)
        self._stats.inc_value(f"{stat}/memory", count)
