"""Messages with the results of requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from concurcrawl.tracing.record import Record
    from concurcrawl.workers.protocol.cookies import CookieChange
    from concurcrawl.workers.protocol.messages.signals import (
        Event,
        OwnEvent,
        RequestState,
        ResponseMeta,
    )


class LogLine(NamedTuple):
    """One log record, with its message and traceback as text.

    Attributes:
        record: All attributes of the record, encoded; None if they cannot be, or if it
            is one of Scrapy's whose text is enough.
    """

    logger: str
    level: int
    created_s: float
    message: str
    traceback: str | None
    record: bytes | None = None


class Product(NamedTuple):
    """An item or a request that a callback yielded.

    Attributes:
        is_item: Whether it is an item; otherwise it is a request.
        payload: The item or request, encoded.
        key: A request's fingerprint; empty for items and ``dont_filter``.
        host: Of a request's URL. With it and the following fields the supervisor can
            queue the request without decoding it; empty if it must.
        group: Group of hosts that a request belongs to.
        priority: Of a request.
        is_start: Whether a request comes from ``start()``.
    """

    is_item: bool
    payload: bytes
    key: bytes = b""
    host: str = ""
    group: str = ""
    priority: int = 0
    is_start: bool = False


class PartialResult(NamedTuple):
    """Worker to supervisor: products of a lease, sent before its result.

    They are not applied before the result arrives.

    Attributes:
        lease_id: The lease.
        products: Items and requests, in the order they were yielded.
    """

    lease_id: int
    products: list[Product]


@dataclass(slots=True)
class RequestResult:
    """Worker to supervisor: the result of a lease, or what belongs to no lease.

    It is filled while the request is worked on and sent once, when it is done.

    Attributes:
        lease_id: The lease that it ends, or None.
        responses: Metadata of the responses that events and items refer to.
        page: Index in ``responses`` of the one that the items came from; None if there
            are no items.
        page_state: Final state of its request, if receivers of items want it.
        status: HTTP status of the response that the callback got, or None.
        events: The signals to send, in order.
        products: Items and requests in the order they were yielded, without those sent
            in partial results.
        size_bytes: Approximate size of ``products``.
        items: Number of items, those in partial results included.
        stats: Stats written, by key and way of writing.
        cookies: Cookies got and dropped.
        logs: Log lines since the last result.
        close_reason: Set if a callback raised ``CloseSpider``.
        record: The request's trace, if records are kept.
        state: Changes of ``spider.state``, in order.
        worker: Name of the sender; filled in by the supervisor.
        number: Its number among the worker's results; filled in by the supervisor.
        is_partial: Whether the lease stays held, for requests local to the worker.
        pages: If the items came from several pages: for each page, in order, the
            number of its items and its index in ``responses``, or None.
    """

    lease_id: int | None = None
    responses: list[ResponseMeta] = field(default_factory=list)
    page: int | None = None
    page_state: RequestState | None = None
    status: int | None = None
    events: list[Event | OwnEvent] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    size_bytes: int = 0
    items: int = 0
    stats: dict[tuple[str, str], Any] = field(default_factory=dict)
    cookies: list[CookieChange] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    close_reason: str | None = None
    record: Record | None = None
    state: list[bytes] = field(default_factory=list)
    worker: str = ""
    number: int = 0
    is_partial: bool = False
    pages: list[tuple[int, int | None]] = field(default_factory=list)
