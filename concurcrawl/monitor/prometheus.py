"""A snapshot in the words of Prometheus.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for
what only grows. Nothing is counted here: a scrape reads what the crawl knows anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from concurcrawl.monitor.snapshot import CrawlSnapshot

__all__ = ["CONTENT_TYPE_LATEST", "FAMILIES", "exposition"]

#: Values of one label, with their numbers.
Values = list[tuple[tuple[str, ...], float]]

#: Reasons that are told apart; a project could have any number of exceptions.
_MOST_REASONS = 50

STATES = ("running", "paused", "waiting", "stalled", "closing", "finished")


class Family(NamedTuple):
    """A metric.

    Attributes:
        name: Its name, without ``_total``.
        kind: ``counter`` or ``gauge``.
        text: What it is, for HELP and the manual.
        labels: Names of its labels.
        read: Returns its values.
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[CrawlSnapshot], Values]


def _one(
    read: Callable[[CrawlSnapshot], float | None],
) -> Callable[[CrawlSnapshot], Values]:
    def values(snapshot: CrawlSnapshot) -> Values:
        value = read(snapshot)
        return [] if value is None else [((), float(value))]

    return values


def _each(
    read: Callable[[CrawlSnapshot], Mapping[str, float]],
) -> Callable[[CrawlSnapshot], Values]:
    def values(snapshot: CrawlSnapshot) -> Values:
        found = sorted(read(snapshot).items(), key=lambda pair: (-pair[1], pair[0]))
        kept, rest = found[:_MOST_REASONS], found[_MOST_REASONS:]
        if rest:
            kept.append(("other", sum(value for _, value in rest)))
        return [((label,), float(value)) for label, value in kept]

    return values


def _workers(snapshot: CrawlSnapshot) -> dict[str, float]:
    found: dict[str, float] = {}
    for worker in snapshot.workers:
        found[worker.state] = found.get(worker.state, 0) + 1
    return found


def _info(snapshot: CrawlSnapshot) -> Values:
    return [((snapshot.spider, snapshot.mode, snapshot.job), 1.0)]


FAMILIES = (
    Family(
        "concurcrawl_crawl_info",
        "gauge",
        "The crawl: always 1, told by its labels.",
        ("spider", "mode", "crawl_job"),
        _info,
    ),
    Family(
        "concurcrawl_crawl_state",
        "gauge",
        "1 for the state that the crawl is in, 0 for the others.",
        ("state",),
        lambda s: [((state,), float(state == s.state)) for state in STATES],
    ),
    Family(
        "concurcrawl_start_time_seconds",
        "gauge",
        "When the crawl began, in seconds since the epoch.",
        (),
        _one(lambda s: s.at_s - s.elapsed_s),
    ),
    Family(
        "concurcrawl_pages",
        "counter",
        "Responses that came for a callback.",
        (),
        _one(lambda s: s.progress.pages),
    ),
    Family(
        "concurcrawl_requests",
        "counter",
        "Answers of sites, by the class of their status.",
        ("status_class",),
        _each(lambda s: s.counts.requests),
    ),
    Family(
        "concurcrawl_completed_requests",
        "counter",
        "Requests of the queue that are done.",
        (),
        _one(lambda s: s.progress.done),
    ),
    Family(
        "concurcrawl_items",
        "counter",
        "Items that passed the pipelines.",
        (),
        _one(lambda s: s.progress.items),
    ),
    Family(
        "concurcrawl_errors",
        "counter",
        "Statuses from 400 on, and exceptions of downloads and callbacks, by reason.",
        ("reason",),
        _each(lambda s: s.counts.errors),
    ),
    Family(
        "concurcrawl_retries",
        "counter",
        "Requests that were made again, by reason.",
        ("reason",),
        _each(lambda s: s.counts.retries),
    ),
    Family(
        "concurcrawl_pauses",
        "counter",
        "Answers with status 429 or 503, for which a group of hosts is paused.",
        (),
        _one(lambda s: s.counts.pauses),
    ),
    Family(
        "concurcrawl_dead_letters",
        "counter",
        "Requests that were given up because workers died while they did them.",
        (),
        _one(lambda s: s.counts.dead_letters),
    ),
    Family(
        "concurcrawl_queue_requests",
        "gauge",
        "Requests that wait; over Redis, those of the whole job.",
        (),
        _one(lambda s: s.progress.waiting),
    ),
    Family(
        "concurcrawl_leased_requests",
        "gauge",
        "Requests in progress at this supervisor or process.",
        (),
        _one(lambda s: s.progress.leased),
    ),
    Family(
        "concurcrawl_group_in_flight_requests",
        "gauge",
        "Requests in flight of the 20 busiest groups of hosts.",
        ("group",),
        lambda s: [((g.name,), float(g.in_flight)) for g in s.groups],
    ),
    Family(
        "concurcrawl_group_limit_requests",
        "gauge",
        "How many requests a group lets be in flight; groups without a limit are out.",
        ("group",),
        lambda s: [((g.name,), float(max(0, g.limit))) for g in s.groups if g.limit],
    ),
    Family(
        "concurcrawl_group_waiting_requests",
        "gauge",
        "Requests that wait in a group, counted up to 1000.",
        ("group",),
        lambda s: [((g.name,), float(g.waiting)) for g in s.groups],
    ),
    Family(
        "concurcrawl_group_pause_seconds",
        "gauge",
        "How much longer a group is paused.",
        ("group",),
        lambda s: [((g.name,), g.paused_s) for g in s.groups],
    ),
    Family(
        "concurcrawl_callback_cpu_seconds",
        "counter",
        "CPU time of callbacks, in all processes.",
        (),
        _one(lambda s: s.counts.callback_cpu_s),
    ),
    Family(
        "concurcrawl_workers",
        "gauge",
        "Processes that download and run callbacks, by state.",
        ("state",),
        _each(_workers),
    ),
    Family(
        "concurcrawl_worker_restarts",
        "counter",
        "Workers that died and were replaced.",
        (),
        _one(lambda s: s.counts.restarts),
    ),
    Family(
        "concurcrawl_workers_recycled",
        "counter",
        "Workers that were replaced before they grew too large.",
        (),
        _one(lambda s: s.counts.recycled),
    ),
    Family(
        "concurcrawl_memory_bytes",
        "gauge",
        "Memory of each process of the crawl, shared pages divided among them.",
        ("process",),
        lambda s: [((p.name,), float(p.memory_bytes)) for p in s.processes],
    ),
    Family(
        "concurcrawl_cpu_seconds",
        "counter",
        "CPU time of each process of the crawl.",
        ("process",),
        lambda s: [((p.name,), p.cpu_s) for p in s.processes],
    ),
    Family(
        "concurcrawl_feed_bytes",
        "gauge",
        "Bytes written to each feed file that is open.",
        ("feed",),
        lambda s: [((f.uri,), float(f.size_bytes)) for f in s.feeds],
    ),
    Family(
        "concurcrawl_feed_items",
        "gauge",
        "Items in each feed file that is open.",
        ("feed",),
        lambda s: [((f.uri,), float(f.items)) for f in s.feeds],
    ),
)

#: The only one that is no single number.
LATENCY = "concurcrawl_request_latency_seconds"
LATENCY_TEXT = "Time from a request to the first byte of its answer."


class _OneSnapshot(Collector):
    """Collects from one snapshot."""

    def __init__(self, snapshot: CrawlSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield each metric that has a value."""
        for family in FAMILIES:
            values = family.read(self._snapshot)
            if values:
                yield _metric(family, values)
        latency = self._snapshot.counts.latency
        if latency is not None:
            found = HistogramMetricFamily(LATENCY, LATENCY_TEXT)
            buckets = [(f"{bound_s:g}", float(n)) for bound_s, n in latency.buckets]
            buckets.append(("+Inf", float(latency.count)))
            found.add_metric([], buckets, latency.total)
            yield found


def _metric(family: Family, values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    cls = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    found = cls(family.name, family.text, labels=family.labels)
    for labels, value in values:
        found.add_metric(list(labels), value)
    return found


def exposition(snapshot: CrawlSnapshot) -> bytes:
    """Return *snapshot* in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OneSnapshot(snapshot))
    return generate_latest(registry)
