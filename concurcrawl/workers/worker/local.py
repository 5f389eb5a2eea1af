"""Requests that stay in the worker that made them: they hold what cannot leave it.

A retry or a redirect keeps the ``meta`` of its request, and a callback may pass on a
browser page or a driver. Such a request belongs to the lease that it came of. It waits
here, by priority, and asks for its turn at its site like one without a lease. The lease
is held until the last of its local requests is done, so the supervisor counts its slot
as taken and the crawl as not over.

What they come to is sent as soon as each is done. Where a crawl can be resumed, their
requests and items are kept for the end of the lease instead: it is acknowledged with
all of them or done again with all of them, so that no item comes twice.
"""

from __future__ import annotations

import heapq
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from scrapy import Request

from concurcrawl.errors import NotShippableError
from concurcrawl.workers.protocol.messages.leases import Returned
from concurcrawl.workers.protocol.messages.results import PartialResult, RequestResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.workers.protocol.messages.directions import ToSupervisor
    from concurcrawl.workers.protocol.pickle_codec import Codec


@dataclass(slots=True)
class _Held:
    """A lease that is held for its local requests.

    Attributes:
        total: What is kept for its end.
        left: Its requests that are not done, the leased one included.
        is_begun: Whether the leased one is still being done.
        early: What came of local requests meanwhile.
        is_cut: Whether a local request was dropped because the crawl ends.
        ends_crawl: Whether a callback of it has ended the crawl.
    """

    total: RequestResult
    left: int = 1
    is_begun: bool = True
    early: list[RequestResult] = field(default_factory=list)
    is_cut: bool = False
    ends_crawl: bool = False


class LocalRequests:
    """The local requests of a worker, and the leases that are held for them."""

    def __init__(
        self,
        send: Callable[[ToSupervisor], None],
        send_outcome: Callable[[RequestResult], None],
        part_bytes: int,
    ) -> None:
        """Make one.

        Args:
            send: Sends a message to the supervisor.
            send_outcome: Sends an outcome, with what travels along.
            part_bytes: How much is kept before it is sent ahead.
        """
        self._send = send
        self._send_outcome = send_outcome
        self._part_bytes = part_bytes
        self._held: dict[int, _Held] = {}
        self._waiting: list[tuple[int, int, Request, int]] = []
        self._begun: dict[Request, int] = {}
        self._numbers = count()
        self.is_durable = False
        self._is_closing = False

    def __len__(self) -> int:
        """Return how many local requests wait."""
        return len(self._waiting)

    def __contains__(self, request: object) -> bool:
        """Return whether *request* is a local one that has begun."""
        return request in self._begun

    def leases(self) -> set[int]:
        """Return the leases that are held."""
        return set(self._held)

    def is_held(self, lease: int) -> bool:
        """Return whether *lease* is held for local requests."""
        return lease in self._held

    def expect(self, lease: int) -> bool:
        """Hold *lease* for one more request, which :meth:`add` or :meth:`drop` follows.

        Returns:
            Whether it is; not if the crawl ends.
        """
        if lease not in self._held:
            self._held[lease] = _Held(RequestResult(lease))
        held = self._held[lease]
        held.left += 1
        if self._is_closing:
            held.is_cut = True
            self.drop(lease)
        return not self._is_closing

    def add(self, request: Request, lease: int) -> None:
        """Let *request* wait for its turn."""
        if self._is_closing:
            self._held[lease].is_cut = True
            self.drop(lease)
            return
        # As Scrapy's default queues: of equals the newest first.
        heapq.heappush(
            self._waiting, (-request.priority, -next(self._numbers), request, lease)
        )

    def drop(self, lease: int) -> None:
        """Do without a request that *lease* was held for."""
        held = self._held[lease]
        held.left -= 1
        if not held.left:
            self._end(lease, held)

    def pop(self) -> tuple[Request, RequestResult] | None:
        """Begin the next local request; return it and the outcome to fill."""
        if not self._waiting:
            return None
        _, _, request, lease = heapq.heappop(self._waiting)
        self._begun[request] = lease
        return request, RequestResult(lease, is_partial=True)

    def close(self) -> None:
        """Drop what waits: the crawl ends."""
        self._is_closing = True
        waiting, self._waiting = self._waiting, []
        for _, _, _, lease in waiting:
            self._held[lease].is_cut = True
            self.drop(lease)

    def finish(self, request: Request, outcome: RequestResult) -> None:
        """Take what came of *request*, of a lease that is held."""
        assert outcome.lease_id is not None
        lease, held = outcome.lease_id, self._held[outcome.lease_id]
        is_local = self._begun.pop(request, None) is not None
        held.ends_crawl |= outcome.close_reason is not None
        held.left -= 1
        if is_local and held.is_begun:
            held.early.append(outcome)  # what is sent ahead is of the leased one
        else:
            held.is_begun = False
            early, held.early = held.early, []
            for one in (outcome, *early):
                self._tell(held, one)
        if not held.left:
            self._end(lease, held)

    def _tell(self, held: _Held, outcome: RequestResult) -> None:
        if self.is_durable:
            self._keep(held.total, outcome)
        outcome.is_partial = True
        self._send_outcome(outcome)

    def _keep(self, total: RequestResult, outcome: RequestResult) -> None:
        """Move what is applied in one step with the end of the lease to *total*."""
        page = None
        if outcome.items and outcome.page is not None:
            page = len(total.responses)
            total.responses.append(outcome.responses[outcome.page])
        total.pages.append((outcome.items, page))
        total.products += outcome.products
        total.size_bytes += outcome.size_bytes
        total.items += outcome.items
        total.state += outcome.state
        outcome.products, outcome.state, outcome.items = [], [], 0
        if total.size_bytes >= self._part_bytes:
            assert total.lease_id is not None
            self._send(PartialResult(total.lease_id, total.products))
            total.products, total.size_bytes = [], 0

    def _end(self, lease: int, held: _Held) -> None:
        del self._held[lease]
        if self.is_durable and held.is_cut and not held.ends_crawl:
            self._send(Returned((lease,)))  # it is done again when the crawl resumes
        else:
            self._send_outcome(held.total)


def encode_outline(request: Request, codec: Codec) -> bytes:
    """Return what can travel of a request that stays here, as bytes."""
    return codec.encode(
        Request(
            request.url,
            method=request.method,
            headers=request.headers,
            body=request.body,
            meta=_encodable(request.meta, codec),
            cb_kwargs=_encodable(request.cb_kwargs, codec),
            priority=request.priority,
            dont_filter=request.dont_filter,
            flags=request.flags,
        )
    )


def _encodable(values: dict[str, Any], codec: Codec) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        with suppress(NotShippableError):
            codec.encode(value)
            found[name] = value
    return found
