"""Requests that stay in the worker that made them, because they cannot leave it.

A retry or a redirect keeps the ``meta`` of its request, and a callback may pass on a
browser page or a driver. Such a request belongs to the lease whose callback made it. It
waits here, by priority, and asks before it goes to its site like a request without a
lease. The lease is held until the last of its local requests is done, so the supervisor
counts its slot as taken and does not end the crawl.

Each result is sent as soon as its request is done. Where a crawl can be resumed, the
requests and items are kept until the lease ends instead: it is acknowledged with all of
them or done again with all of them, so that no item is delivered twice.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from concurcrawl.workers.protocol.messages.leases import Returned
from concurcrawl.workers.protocol.messages.results import PartialResult, RequestResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request

    from concurcrawl.workers.protocol.messages.directions import ToSupervisor


@dataclass(slots=True)
class _Held:
    """A lease that is held for its local requests.

    Attributes:
        total: The result that ends the lease.
        left: Requests that are not done, the leased one included.
        is_begun: Whether the leased request is still in progress.
        early: Results of local requests that were done before the leased one.
        is_cut: Whether a local request was dropped because the crawl ends.
        ends_crawl: Whether a callback of the lease has ended the crawl.
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
        send_result: Callable[[RequestResult], None],
        part_bytes: int,
        *,
        is_durable: bool,
    ) -> None:
        """Make one.

        Args:
            send: Sends a message to the supervisor.
            send_result: Sends a result, with the cookies and log lines until then.
            part_bytes: Size of products from which they are sent in a partial result.
            is_durable: Whether the crawl can be resumed.
        """
        self._send = send
        self._send_result = send_result
        self._part_bytes = part_bytes
        self._is_durable = is_durable
        self._held: dict[int, _Held] = {}
        self._waiting: list[tuple[int, int, Request, int]] = []
        self._begun: dict[Request, int] = {}
        self._numbers = count()
        self._is_closing = False

    def __len__(self) -> int:
        """Return how many local requests wait."""
        return len(self._waiting)

    def leases(self) -> set[int]:
        """Return the leases that are held."""
        return set(self._held)

    def is_held(self, lease_id: int) -> bool:
        """Return whether a lease is held for local requests."""
        return lease_id in self._held

    def expect(self, lease_id: int) -> bool:
        """Hold a lease for one more request; :meth:`add` or :meth:`drop` must follow.

        Returns:
            Whether it is held; not if the crawl ends.
        """
        if lease_id not in self._held:
            self._held[lease_id] = _Held(RequestResult(lease_id))
        held = self._held[lease_id]
        held.left += 1
        if self._is_closing:
            held.is_cut = True
            self.drop(lease_id)
        return not self._is_closing

    def add(self, request: Request, lease_id: int) -> None:
        """Add a waiting request."""
        if self._is_closing:
            self._held[lease_id].is_cut = True
            self.drop(lease_id)
            return
        # As in Scrapy's default queues, the newest of equal priority comes first.
        heapq.heappush(
            self._waiting, (-request.priority, -next(self._numbers), request, lease_id)
        )

    def drop(self, lease_id: int) -> None:
        """Give up one request that a lease is held for."""
        held = self._held[lease_id]
        held.left -= 1
        if not held.left:
            self._end(lease_id, held)

    def pop(self) -> tuple[Request, RequestResult] | None:
        """Begin the next local request; return it and the result to fill."""
        if not self._waiting:
            return None
        _, _, request, lease_id = heapq.heappop(self._waiting)
        self._begun[request] = lease_id
        return request, RequestResult(lease_id, is_partial=True)

    def close(self) -> None:
        """Drop all waiting requests: the crawl ends."""
        self._is_closing = True
        waiting, self._waiting = self._waiting, []
        for _, _, _, lease_id in waiting:
            self._held[lease_id].is_cut = True
            self.drop(lease_id)

    def finish(self, request: Request, result: RequestResult) -> None:
        """Send or keep the result of a request whose lease is held."""
        assert result.lease_id is not None
        lease_id, held = result.lease_id, self._held[result.lease_id]
        is_local = self._begun.pop(request, None) is not None
        held.ends_crawl |= result.close_reason is not None
        held.left -= 1
        if is_local and held.is_begun:
            # Partial results of the lease are those of the leased request, so its own
            # result must be sent first.
            held.early.append(result)
        else:
            held.is_begun = False
            early, held.early = held.early, []
            for one in (result, *early):
                self._send_partial(held, one)
        if not held.left:
            self._end(lease_id, held)

    def _send_partial(self, held: _Held, result: RequestResult) -> None:
        if self._is_durable:
            self._keep(held.total, result)
        result.is_partial = True
        self._send_result(result)

    def _keep(self, total: RequestResult, result: RequestResult) -> None:
        """Move to *total* what must be applied together with the end of the lease."""
        page = None
        if result.items and result.page is not None:
            page = len(total.responses)
            total.responses.append(result.responses[result.page])
        total.pages.append((result.items, page))
        total.products += result.products
        total.size_bytes += result.size_bytes
        total.items += result.items
        total.state += result.state
        result.products, result.state, result.items = [], [], 0
        if total.size_bytes >= self._part_bytes:
            assert total.lease_id is not None
            self._send(PartialResult(total.lease_id, total.products))
            total.products, total.size_bytes = [], 0

    def _end(self, lease_id: int, held: _Held) -> None:
        del self._held[lease_id]
        if self._is_durable and held.is_cut and not held.ends_crawl:
            self._send(Returned((lease_id,)))  # done again when the crawl resumes
        else:
            self._send_result(held.total)
