"""What a supervisor and its workers say to each other.

What is said for each page is a named tuple: pickle knows them by heart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy import Spider
    from scrapy.http import Response

    from concurcrawl.integrations.receivers import SignalName
    from concurcrawl.limits.limiter import FetchResult, Written
    from concurcrawl.tracing.record import Record
    from concurcrawl.watchdog.stall import Waiting
    from concurcrawl.workers.protocol.cookies import CookieChange


@dataclass(frozen=True, slots=True)
class WorkerInit:
    """Supervisor to worker, first: what to be.

    Attributes:
        name: The worker's name, as it stands in the log.
        sys_path: Where to import from; set before ``crawl`` is decoded.
        slots: Requests it may have in flight.
        crawl: Encoded :class:`CrawlSpec`.
    """

    name: str
    sys_path: tuple[str, ...]
    slots: int
    crawl: bytes


@dataclass(frozen=True, slots=True)
class CrawlSpec:
    """What a worker crawls with.

    Attributes:
        spidercls: The spider's class.
        settings: Value and priority of each setting that is not Scrapy's default.
        addons: Paths or classes of the add-ons; their settings are applied already.
        args: What the spider was made with.
        kwargs: Likewise.
        attributes: The spider's attributes that are plain values.
    """

    spidercls: type[Spider]
    settings: Mapping[str, tuple[Any, int]]
    addons: tuple[Any, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    attributes: Mapping[str, Any]


class Dispatch(NamedTuple):
    """Supervisor to worker: do this request."""

    lease_id: int
    queued_s: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class Listen:
    """Supervisor to worker: these signals have receivers here, from now on.

    Attributes:
        signals: Their names in ``scrapy.signals``.
        with_response: Those of them of which a receiver takes the response.
        whole: Those of which a receiver of the project's own takes the response; also
            signals about items, which the supervisor sends by itself.
        requests: Those of which such a receiver takes the request or the response.
        own: The signals that are not Scrapy's.
    """

    signals: frozenset[str] = frozenset()
    with_response: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    requests: frozenset[str] = frozenset()
    own: tuple[SignalName, ...] = ()


@dataclass(frozen=True, slots=True)
class SetCookies:
    """Supervisor to worker: another process got or dropped these cookies."""

    changes: tuple[CookieChange, ...]


@dataclass(frozen=True, slots=True)
class SetState:
    """Supervisor to worker, first: all of ``spider.state``, pickled."""

    whole: bytes


@dataclass(frozen=True, slots=True)
class ChangeState:
    """Supervisor to worker: what others changed in ``spider.state``."""

    changes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Supervisor to worker: plain attributes of the spider changed there.

    Attributes:
        changes: Encoded pairs of a name and its
            :data:`~concurcrawl.durable.state.Change`.
    """

    changes: bytes


class ReadStats(NamedTuple):
    """Worker to supervisor: send the total of this stat, now and when it changes.

    Attributes:
        number: For the answer.
        key: The stat; None for all of them.
    """

    number: int
    key: str | None


class SetStats(NamedTuple):
    """Supervisor to worker: totals that changed, of the stats that it reads.

    Attributes:
        values: By key, encoded.
        heard: How many of the worker's outcomes are in them.
        number: That of the :class:`ReadStats` that this answers, or None.
    """

    values: bytes
    heard: int
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """Supervisor to worker: from now on ask before each request to this group."""

    group: str


@dataclass(frozen=True, slots=True)
class ChangeLimits:
    """Either way: a project wrote to a slot of the downloader.

    From then on workers ask before each request to its group.

    Attributes:
        group: The group whose limits the slot shows.
        slot: Its name.
        written: What was written.
    """

    group: str
    slot: str
    written: Written


@dataclass(frozen=True, slots=True)
class Recall:
    """Supervisor to worker: say which leases are not at their sites, or stop that.

    Attributes:
        is_on: While it is, a lease is reported as soon as it is not at its site, and
            each request asks before it goes there.
    """

    is_on: bool


@dataclass(frozen=True, slots=True)
class Look:
    """Supervisor to worker: say whether anything moves."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Worker to supervisor: what is in progress if nothing moves.

    Attributes:
        waiting: The requests in progress; None if one of them is at its site or in a
            callback, or a timer or a thread may move them.
    """

    waiting: tuple[Waiting, ...] | None


@dataclass(frozen=True, slots=True)
class Opened:
    """Worker to supervisor: it has opened a file that one process can have."""

    path: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Either way: the engine was paused, or unpaused."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class Idle:
    """Worker to supervisor: these leases are not at their sites.

    They ask before they go there.
    """

    lease_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """Worker to supervisor: these leases were not begun; let them wait again."""

    lease_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Enter:
    """A worker's question: may this request start? Answered when it may."""

    group: str
    lease_id: int | None


@dataclass(frozen=True, slots=True)
class FetchRobots:
    """A worker's question: what does this robots.txt say? It is fetched once for all.

    The answer is encoded ``(is_first, response)``; of those who ask for one robots.txt
    only the first is told that it is, so that only one counts it.
    """

    request: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's question: is this request new, or a duplicate?

    It stays in the worker. Answered with nothing if it is a duplicate.

    Attributes:
        lease_id: The lease that it came of.
        key: Its fingerprint.
        request: What can travel of it, encoded.
    """

    lease_id: int
    key: bytes
    request: bytes


Question = Enter | FetchRobots | Claim


@dataclass(frozen=True, slots=True)
class Ask:
    """Worker to supervisor: a question, with a number to answer it by."""

    number: int
    question: Question


@dataclass(frozen=True, slots=True)
class Answer:
    """Supervisor to worker: an answer, or why there is none."""

    number: int
    value: bytes = b""
    error: Exception | None = None


class Sent(NamedTuple):
    """Worker to supervisor: a request that asked was sent to its site.

    Attributes:
        group: Its group.
        lease_id: Its lease id, or None.
        at_s: When, the latest, by the monotonic clock, which is the machine's.
    """

    group: str
    lease_id: int | None
    at_s: float


class Left(NamedTuple):
    """Worker to supervisor: a request is done at its site.

    Attributes:
        group: Its group.
        lease_id: Its lease id, or None.
        visit: How it went.
    """

    group: str
    lease_id: int | None
    visit: FetchResult


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Worker to supervisor: the site's robots.txt wants this pace."""

    group: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Supervisor to worker: answer, to show that nothing blocks you."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Worker to supervisor: nothing blocks me.

    Attributes:
        is_moving: Whether something else than callbacks is in progress, or one has
            yielded something since the last time.
    """

    is_moving: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Supervisor to worker: the crawl ends; begin no more requests that stay there."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Supervisor to worker: end when what you were lent is done.

    Attributes:
        reason: Why the crawl ends, as far as that is known.
    """

    reason: str = "finished"


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to supervisor: the spider is open."""

    pid: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Worker to supervisor: I cannot start, and this is why."""

    reason: str


class LogLine(NamedTuple):
    """One log record, with its message and traceback made text.

    Attributes:
        record: The record as it was made, encoded; None if it cannot travel, or if it
            is one of Scrapy's that only its text is needed of.
    """

    logger: str
    level: int
    created_s: float
    message: str
    traceback: str | None
    record: bytes | None = None


class Whole(NamedTuple):
    """What is left of a response without its head.

    Attributes:
        encoding: That of its text, if it is one.
        certificate: In DER.
        is_wrapped: Whether the certificate was an object of Twisted's.
        own: All of it, encoded, if its class is not Scrapy's and it can travel.
    """

    body: bytes
    encoding: str | None
    certificate: bytes | None
    is_wrapped: bool
    own: bytes | None


class ResponseMeta(NamedTuple):
    """A response without its body.

    Attributes:
        kind: Its class, or the nearest of its bases that others can make.
        address: Its IP address, packed.
        whole: The rest, if a receiver of the project's own wants it.
    """

    kind: type[Response]
    url: str
    status: int
    headers: Mapping[bytes, list[bytes]]
    flags: tuple[str, ...]
    protocol: str | None
    address: bytes | None = None
    whole: Whole | None = None


class RequestState(NamedTuple):
    """What middlewares and callbacks have made of a request that was leased.

    Attributes:
        meta: Each key with its value, encoded.
        lost: The keys whose values cannot travel, as text, and their classes.
    """

    headers: Mapping[bytes, list[bytes]]
    flags: tuple[str, ...]
    meta: tuple[bytes, ...]
    lost: tuple[tuple[str, str], ...]


class OwnEvent(NamedTuple):
    """A signal of the project's own that was sent in a worker.

    Attributes:
        number: That of its :class:`SignalName`.
        about: What it carries, encoded.
        heard: Names of the receivers that the worker itself has.
        problem: Why it cannot travel, if it cannot.
    """

    number: int
    about: bytes
    heard: tuple[str, ...] = ()
    problem: str = ""


class Event(NamedTuple):
    """A signal that the supervisor sends in the worker's stead.

    Attributes:
        signal: Its name in ``scrapy.signals``.
        head: Index of the response in :attr:`RequestResult.heads`; None if there is
            none, or no receiver wants it.
        failure: For ``spider_error``, the encoded :class:`Failure`.
        request: The encoded request, if it is another than the one that was lent.
        latency_s: What Scrapy has noted as its ``download_latency``.
        state: That of the leased request, if a receiver of the project's own wants it.
        slot: What Scrapy has noted as its ``download_slot``.
    """

    signal: str
    head: int | None = None
    failure: bytes | None = None
    request: bytes | None = None
    latency_s: float | None = None
    state: RequestState | None = None
    slot: str | None = None


class Product(NamedTuple):
    """A request or an item that came of a request, encoded.

    Attributes:
        is_item: An item; else a request.
        payload: It, encoded.
        key: A request's fingerprint.
        host: Of a request's URL. With it and the following the supervisor can queue
            the request without decoding it; empty if it must.
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
    """Worker to supervisor: some of what came of a lease, ahead of its outcome.

    It counts for nothing until the outcome is there.

    Attributes:
        lease_id: The lease.
        products: Items and requests, in the order they were yielded.
    """

    lease_id: int
    products: list[Product]


@dataclass(slots=True)
class RequestResult:
    """Worker to supervisor: what came of a lease, or, without one, of the worker.

    It is filled while the request is worked on and sent once, when it is done.

    Attributes:
        lease_id: The lease it ends, or None.
        heads: The responses that somebody there is to be told of.
        page: Index of the one that the items came of; None if there are none.
        page_state: That of its request at the end, if receivers of items want it.
        status: That of the response that the callback got, or None.
        events: The signals to send, in order.
        products: The items and requests, in the order they were yielded, without
            those that went ahead in parts.
        size_bytes: What ``products`` come to, about.
        items: How many items there are, also in parts.
        stats: The stats written, by key and way of writing.
        cookies: The cookies got and dropped.
        logs: The log lines since the last outcome.
        close_reason: Set if a callback raised ``CloseSpider``.
        record: How the request went, if records are kept.
        state: What was changed in ``spider.state``, in order.
        worker: Who sent it; the supervisor fills that in.
        number: Its number among the worker's results; likewise.
        is_partial: Whether the lease is held, for requests that stay in the worker.
        pages: Where the items are of several pages: how many are of each, in order,
            and its index in ``heads``, None if there is none.
    """

    lease_id: int | None = None
    heads: list[ResponseMeta] = field(default_factory=list)
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


ToWorker = (
    WorkerInit
    | Dispatch
    | Listen
    | SetCookies
    | SetState
    | ChangeState
    | SetAttributes
    | SetStats
    | Throttled
    | ChangeLimits
    | Recall
    | Pause
    | Answer
    | Ping
    | Look
    | Drain
    | Stop
)
#: What a worker says of its requests at their sites.
Traffic = Ask | Idle | Returned | Sent | Left | SlowDown | ChangeLimits | Opened | Pause
ToSupervisor = (
    Ready | Failed | Pong | Looked | PartialResult | RequestResult | ReadStats | Traffic
)
