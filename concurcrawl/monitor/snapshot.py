"""A running crawl at one moment, as plain values.

Records are made only when metrics are scraped or a page is open. They cross process
borders as JSON, so they hold plain values only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from concurcrawl.tracing.meter import BOUNDS_S, CALLBACK_CPU, LATENCY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from concurcrawl.frontier.base import GroupState
    from concurcrawl.monitor.error_log import LoggedError
    from concurcrawl.tracing.meter import FailingUrl, SlowUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a crawl is.

    Attributes:
        waiting: Requests that wait; None if the scheduler does not say.
        leased: Requests in progress.
        done: Requests that are complete.
        pages: Responses that came for a callback.
        items: Items that passed the pipelines.
        left_s: Seconds that the known requests will take; None if that is a guess.
        is_starting: Whether ``Spider.start()`` may still yield something.
        pages_per_s: Over the last ten seconds; None if it is not known yet.
        items_per_s: Likewise.
    """

    waiting: int | None = None
    leased: int = 0
    done: int = 0
    pages: int = 0
    items: int = 0
    left_s: float | None = None
    is_starting: bool = False
    pages_per_s: float | None = None
    items_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlCounts:
    """Totals since the crawl began.

    Attributes:
        requests: Answers by the class of their status, such as ``2xx``.
        errors: What went wrong, by reason: statuses from 400 on, exceptions.
        retries: Requests that were made again, by reason.
        pauses: Answers with 429 or 503, which pause their group.
        dead_letters: Requests that were given up because workers died.
        restarts: Workers that died and were replaced.
        recycled: Workers that were replaced in time.
        latency: Seconds from a request to its first byte; None if it is not measured.
        callback_cpu_s: CPU seconds of callbacks; None if it is not measured.
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    pauses: int = 0
    dead_letters: int = 0
    restarts: int = 0
    recycled: int = 0
    latency: Histogram | None = None
    callback_cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values are at most so high.

    Attributes:
        buckets: Upper bound and how many are not above it, in ascending order.
        count: How many there are.
        total: Their sum.
    """

    buckets: tuple[tuple[float, int], ...]
    count: int
    total: float


@dataclass(frozen=True, slots=True)
class Doing:
    """A request that a worker has.

    Attributes:
        url: Its URL.
        phase: ``waits``, ``downloads``, ``callback`` or ``held``.
        callback: The method that its response goes to.
    """

    url: str
    phase: str
    callback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that downloads and runs callbacks.

    Attributes:
        name: ``worker-N``, or ``main`` in a crawl of one process.
        host: The machine that it runs on.
        pid: Its process; None while it starts.
        state: ``starting``, ``idle``, ``busy``, ``blocked`` (it does not answer),
            ``standby`` or ``retiring``.
        in_flight: Requests that it is working on.
        slots: Requests that it may work on; 0 means no limit.
        done: Requests that it was given so far.
        doing: The requests that it has, those that it works on first.
        silent_s: Seconds for which it has not answered; 0 if it answers.
    """

    name: str
    host: str
    pid: int | None
    state: str
    in_flight: int
    slots: int
    done: int
    doing: tuple[Doing, ...] = ()
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What one process of the crawl takes.

    Attributes:
        name: A worker's name, ``supervisor``, ``main`` or ``fork server``.
        pid: Its id.
        memory_bytes: PSS on Linux, where processes share memory; else USS.
        cpu: CPUs that it used since the last look, 1.0 for one; None at the first.
        cpu_s: CPU seconds that it used so far.
    """

    name: str
    pid: int
    memory_bytes: int
    cpu: float | None
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of a distributed crawl.

    Attributes:
        name: Its name.
        host: The machine.
        state: ``leads``, ``live``, ``left`` or ``dead``.
        workers: Processes that it has.
        leased: Requests that it has.
        done: Requests that it has completed.
        silent_s: Seconds since it was heard of; None if it is not live.
        restarts: Workers of it that died and were replaced; None if it is not known.
    """

    name: str
    host: str
    state: str
    workers: int
    leased: int
    done: int
    silent_s: float | None
    restarts: int | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed that is being written.

    Attributes:
        uri: Where it goes, without a password.
        items: Items in it.
        size_bytes: Bytes written so far.
    """

    uri: str
    items: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlSnapshot:
    """A crawl at one moment.

    Attributes:
        at_s: The moment, in seconds since the epoch.
        spider: The spider's name.
        mode: The mode, or empty.
        job: The ``JOBDIR``, or the Redis job; empty for neither.
        state: ``running``, ``paused``, ``waiting`` (all that is left waits for time),
            ``stalled``, ``closing`` or ``finished``; seen from elsewhere also
            ``killed``, if its process is gone without an end, and ``gone``, if no node
            of it is live.
        reason: Why it ended, or empty.
        elapsed_s: Seconds since it began.
        still_s: Seconds in which nothing was done, as far as it was watched.
        progress: How far it is.
        counts: Its totals.
        groups: The busiest groups, paused ones first.
        more_groups: How many more have requests that wait.
        workers: Its workers here.
        nodes: The nodes that share it.
        processes: Its processes here.
        feeds: Its feeds here.
        errors: The last errors in the log, newest first.
        slowest: The slowest requests, slowest first.
        failing: URLs that failed, newest first.
        records: The file of its records, or empty.
        can_steer: Whether it can be paused and stopped through this page.
    """

    at_s: float
    spider: str
    mode: str = ""
    job: str = ""
    state: str = "running"
    reason: str = ""
    elapsed_s: float = 0.0
    still_s: float = 0.0
    progress: Progress = Progress()
    counts: CrawlCounts = CrawlCounts()
    groups: tuple[GroupState, ...] = ()
    more_groups: int = 0
    workers: tuple[Worker, ...] = ()
    nodes: tuple[Node, ...] = ()
    processes: tuple[Process, ...] = ()
    feeds: tuple[Feed, ...] = ()
    errors: tuple[LoggedError, ...] = ()
    slowest: tuple[SlowUrl, ...] = ()
    failing: tuple[FailingUrl, ...] = ()
    records: str = ""
    can_steer: bool = False

    @property
    def memory_bytes(self) -> int:
        """What all processes take together."""
        return sum(process.memory_bytes for process in self.processes)

    def values(self) -> dict[str, Any]:
        """Return all of it as values that JSON has."""
        more = {
            "memory_bytes": self.memory_bytes,
            "slowest": [one._asdict() for one in self.slowest],
            "failing": [one._asdict() for one in self.failing],
        }
        return asdict(self) | more


def counts_of(stats: Mapping[str, Any]) -> CrawlCounts:
    """Return what *stats*, those of Scrapy and of this package, say of a crawl."""
    return CrawlCounts(
        requests=_by_class(_below(stats, "downloader/response_status_count/")),
        errors=_errors(stats),
        retries=_below(stats, "retry/reason_count/"),
        pauses=sum(
            int(stats.get(f"downloader/response_status_count/{status}", 0))
            for status in (429, 503)
        ),
        dead_letters=int(stats.get("concurcrawl/poisoned", 0)),
        recycled=int(stats.get("concurcrawl/workers_recycled", 0)),
        latency=_latency(stats),
        callback_cpu_s=stats.get(CALLBACK_CPU),
    )


def _latency(stats: Mapping[str, Any]) -> Histogram | None:
    found = _below(stats, f"{LATENCY}/le_")
    if f"{LATENCY}/sum" not in stats:
        return None
    buckets, count = [], 0
    for bound_s in BOUNDS_S:
        count += found.get(f"{bound_s:g}", 0)
        buckets.append((bound_s, count))
    count += found.get("inf", 0)
    return Histogram(tuple(buckets), count, float(stats[f"{LATENCY}/sum"]))


def _errors(stats: Mapping[str, Any]) -> dict[str, int]:
    statuses = _below(stats, "downloader/response_status_count/")
    found = {f"status {code}": n for code, n in statuses.items() if code >= "400"}
    for key in ("downloader/exception_type_count/", "spider_exceptions/"):
        for name, times in _below(stats, key).items():
            if name.rpartition(".")[2] != "IgnoreRequest" and name != "count":
                reason = name.rpartition(".")[2]
                found[reason] = found.get(reason, 0) + times
    return found


def _by_class(statuses: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for status, times in statuses.items():
        name = f"{status[:1]}xx"
        found[name] = found.get(name, 0) + times
    return found


def _below(stats: Mapping[str, Any], prefix: str) -> dict[str, int]:
    return {
        key.removeprefix(prefix): int(value)
        for key, value in stats.items()
        if key.startswith(prefix) and isinstance(value, int | float)
    }
