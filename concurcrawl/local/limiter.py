"""The limiter of the process that has the frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from concurcrawl.limits.handler import RequestLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Request

    from concurcrawl.frontier.base import Lease
    from concurcrawl.limits.admission_queue import AdmissionQueue
    from concurcrawl.limits.limiter import FetchResult
    from concurcrawl.local.pace import Pace


class LocalLimiter(RequestLimiter):
    """Admits requests that this process downloads itself.

    Attributes:
        inside: Requests that have entered and not left, and their groups.
        waiting: Requests that wait to enter.
    """

    def __init__(
        self,
        pace: Pace,
        admissions: AdmissionQueue,
        lease_of: Callable[[Request], Lease | None],
    ) -> None:
        """Make one.

        Args:
            pace: Knows the group of a request.
            admissions: Admits requests.
            lease_of: Returns the lease of a request; None if it has none.
        """
        self._pace = pace
        self._admissions = admissions
        self._lease_of = lease_of
        self.inside: dict[Request, str] = {}
        self.waiting: set[Request] = set()

    @override
    async def enter(self, request: Request) -> bool:
        group, lease = self._pace.group_of(request), self._lease_of(request)
        self.waiting.add(request)
        try:
            await self._admissions.enter(group, _id_of(lease))
        finally:
            self.waiting.discard(request)
        self.inside[request] = group
        return self._pace.entered(group, lease)

    @override
    def sent(self, request: Request, at_s: float) -> None:
        lease_id = _id_of(self._lease_of(request))
        self._admissions.sent(self.inside[request], lease_id, at_s)

    @override
    def leave(self, request: Request, result: FetchResult) -> None:
        group = self.inside.pop(request)
        self._admissions.leave(group, _id_of(self._lease_of(request)), result)


def _id_of(lease: Lease | None) -> int | None:
    return None if lease is None else lease.lease_id
