"""The leases of a worker: requests that the supervisor has dispatched to it."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from concurcrawl.compat.callback_cache import KeptCallbacks
from concurcrawl.tracing import collector as tracing
from concurcrawl.workers.protocol.messages.leases import Dispatch, Returned
from concurcrawl.workers.protocol.messages.results import RequestResult

if TYPE_CHECKING:
    from scrapy import Request

    from concurcrawl.workers.protocol.pickle_codec import Codec
    from concurcrawl.workers.worker.connection import Connection
    from concurcrawl.workers.worker.local import LocalRequests
    from concurcrawl.workers.worker.outbox import Outbox
    from concurcrawl.workers.worker.work import WorkInProgress

logger = logging.getLogger(__name__)


class Leases:
    """Leases that wait, are in progress, or are held for local requests."""

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        work: WorkInProgress,
        local: LocalRequests,
        codec: Codec,
        *,
        keeps_records: bool = False,
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._work = work
        self._local = local
        self._codec = codec
        self._keeps_records = keeps_records
        self._waiting: deque[Dispatch] = deque()
        self._callbacks = KeptCallbacks()

    def __len__(self) -> int:
        """Return how many requests wait, local ones included."""
        return len(self._waiting) + len(self._local)

    def on_dispatch(self, message: Dispatch) -> None:
        """Add a lease."""
        self._waiting.append(message)

    def next_request(self) -> Request | None:
        """Begin the work on the next request; return it, or None if none waits."""
        local = self._local.pop()  # first: a lease is held for it
        if local is not None:
            request, result = local
            self._begin(request, result, time.time())
            self._outbox.count_scheduled("dequeued")
            return request
        while self._waiting:
            message = self._waiting.popleft()
            found = self._decode(message)
            if found is not None:
                self._callbacks.keep(found)
                self._begin(found, RequestResult(message.lease_id), message.queued_s)
                return found
        self._work.begin_nothing()
        return None

    def lease_ids(self) -> set[int]:
        """Return all leases that are not done."""
        found = {message.lease_id for message in self._waiting}
        return found | self._work.lease_ids() | self._local.leases()

    def return_waiting(self) -> None:
        """Return the leases that are not begun, as a pause requires.

        What is begun ends during a pause.
        """
        if self._waiting:
            lease_ids = tuple(message.lease_id for message in self._waiting)
            self._connection.send(Returned(lease_ids))
            self._waiting.clear()

    def _begin(self, request: Request, result: RequestResult, queued_s: float) -> None:
        self._work.begin(request, result)
        if self._keeps_records:
            tracing.begin(request, queued_s)

    def _decode(self, message: Dispatch) -> Request | None:
        try:
            request: Request = self._codec.decode(message.payload)
        except Exception:  # a project's classes
            logger.exception("A request cannot be read back and is dropped")
            self._outbox.send(RequestResult(message.lease_id))
            return None
        return request
