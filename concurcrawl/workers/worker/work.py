"""The requests that a worker is working on, and the results they fill."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from concurcrawl.workers.protocol.messages.results import RequestResult

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

    from concurcrawl.stats import StatKey


@dataclass(slots=True, eq=False)
class Work:
    """A request in progress.

    Attributes:
        request: The request.
        result: Filled with what its middlewares and its callback produce.
        response: What its callback gets, once it is there.
        refused: Requests of its callback that cannot leave this process, and why.
        is_finished: Whether the result was handed on. What comes later belongs to no
            lease.
    """

    request: Request
    result: RequestResult
    response: Response | None = None
    refused: list[tuple[Request, Exception]] = field(default_factory=list)
    is_finished: bool = False


#: The request that the running code works on. A context variable, because nothing that
#: Scrapy calls (a stats collector, a signal receiver, a log handler) is told whose code
#: calls it. Each request is worked on in a task, whose context all inherit that its
#: callback starts.
_current: ContextVar[Work | None] = ContextVar("current_work", default=None)


class WorkInProgress:
    """All requests in progress, by request.

    Attributes:
        general: The result for what belongs to no request; it has no lease.
    """

    def __init__(self) -> None:
        self.general = RequestResult()
        self._works: dict[Request, Work] = {}

    def begin(self, request: Request, result: RequestResult) -> None:
        """Let the running task work on *request*."""
        work = self._works[request] = Work(request, result)
        _current.set(work)

    def begin_nothing(self) -> None:
        """Let the running code belong to no request."""
        _current.set(None)

    def finish(self, request: Request) -> Work | None:
        """End the work on *request*; return it, or None if there is none."""
        work = self._works.pop(request, None)
        if work is not None:
            work.is_finished = True
        return work

    def current(self) -> Work | None:
        """Return the unfinished work that the running code belongs to, if any."""
        work = _current.get()
        return None if work is None or work.is_finished else work

    def note_response(self, request: Request, response: Response) -> None:
        """Note the response that the callback of *request* gets."""
        self._works[request].response = response

    def lease_id_of(self, request: Request | None) -> int | None:
        """Return the lease of *request*; None if it was not leased, but made here."""
        work = None if request is None else self._works.get(request)
        if work is None or work.result.is_partial:
            return None
        return work.result.lease_id

    def is_leased(self, request: Request | None) -> bool:
        """Return whether *request* is in progress and was leased."""
        return self.lease_id_of(request) is not None

    def lease_ids(self) -> set[int]:
        """Return the leases of all requests in progress."""
        results = (work.result for work in self._works.values())
        return {one.lease_id for one in results if one.lease_id is not None}

    def stats(self) -> list[dict[StatKey, Any]]:
        """Return the stats that were written and not sent, by result."""
        results = [work.result for work in self._works.values()]
        return [one.stats for one in (*results, self.general)]
