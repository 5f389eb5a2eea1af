"""Completes the result of a request that is done, and hands it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concurcrawl.tracing import collector as tracing

if TYPE_CHECKING:
    from scrapy import Request

    from concurcrawl.workers.worker.local import LocalRequests
    from concurcrawl.workers.worker.outbox import Outbox
    from concurcrawl.workers.worker.reports import Reports
    from concurcrawl.workers.worker.state import SharedState
    from concurcrawl.workers.worker.work import Work, WorkInProgress


class Finisher:
    """Adds to a result what is known at its end, and sends it.

    The result of a lease that is held for local requests goes to those.
    """

    def __init__(
        self,
        name: str,
        work: WorkInProgress,
        outbox: Outbox,
        local: LocalRequests,
        reports: Reports,
        state: SharedState,
    ) -> None:
        self._name = name
        self._work = work
        self._outbox = outbox
        self._local = local
        self._reports = reports
        self._state = state

    def finish(self, request: Request) -> None:
        """End the work on *request*, once; its result is sent."""
        self._state.collect()
        work = self._work.finish(request)
        if work is None:
            return
        result = work.result
        result.record = tracing.end(request, self._name)
        self._add_response(work)
        assert result.lease_id is not None
        if self._local.is_held(result.lease_id):
            self._local.finish(request, result)
        else:
            self._outbox.send(result)

    def _add_response(self, work: Work) -> None:
        response, result = work.response, work.result
        if response is None:
            return
        result.status = response.status
        if result.items:
            self._reports.add_page(result, work.request, response)
            if result.is_partial:
                result.page_state = None  # it is applied to the leased request
