"""Messages about how fast and how many at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from concurcrawl.limits.limiter import FetchResult, Written


@dataclass(frozen=True, slots=True)
class Throttled:
    """Supervisor to worker: from now on ask before each request to this group."""

    group: str


@dataclass(frozen=True, slots=True)
class SlotChanged:
    """Either way: a project wrote to a slot of the downloader.

    From then on workers ask before each request to its group.

    Attributes:
        group: The group whose limits the slot shows.
        slot: The slot's name.
        written: What was written.
    """

    group: str
    slot: str
    written: Written


class RequestSent(NamedTuple):
    """Worker to supervisor: a request that asked was sent to its site.

    Attributes:
        group: Its group.
        lease_id: Its lease, or None.
        at_s: The latest time at which it can have been sent, by the monotonic clock,
            which all processes of a machine share.
    """

    group: str
    lease_id: int | None
    at_s: float


class RequestLeft(NamedTuple):
    """Worker to supervisor: a request is done at its site.

    Attributes:
        group: Its group.
        lease_id: Its lease, or None.
        result: Status, latency and Retry-After.
    """

    group: str
    lease_id: int | None
    result: FetchResult


@dataclass(frozen=True, slots=True)
class CrawlDelay:
    """Worker to supervisor: the ``Crawl-delay`` of a site's robots.txt."""

    group: str
    delay_s: float
