"""Messages about leases: requests that a worker holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Dispatch(NamedTuple):
    """Supervisor to worker: work on this request.

    Attributes:
        lease_id: The lease under which the worker holds it.
        queued_s: When it was queued, in seconds since the epoch.
        payload: The request, encoded.
    """

    lease_id: int
    queued_s: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class Recall:
    """Supervisor to worker: report leases that are not at their sites.

    Attributes:
        is_on: While it is, a lease is reported as soon as it is not at its site, and
            each request asks before it goes there.
    """

    is_on: bool


@dataclass(frozen=True, slots=True)
class Idle:
    """Worker to supervisor: these leases are not at their sites.

    They ask before they go there.
    """

    lease_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """Worker to supervisor: these leases were not begun and return to the queue."""

    lease_ids: tuple[int, ...]
