"""The records of one crawl as a page that needs nothing else."""

from __future__ import annotations

import heapq
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from concurcrawl.tools.compare import charts, words
from concurcrawl.tools.compare.phases import phases_of
from concurcrawl.tools.compare.report.html import Charts, table, whole
from concurcrawl.tools.compare.runs import is_good, timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concurcrawl.tracing.record import Record

#: Rows of the slowest and of the failing requests.
_MOST = 20


def page(name: str, records: Sequence[Record]) -> str:
    """Return the page.

    Args:
        name: What the crawl is called.
        records: Of its requests, at least one.
    """
    drawn = Charts()
    shown = [charts.Shown(name, min(one.queued_s for one in records), records)]
    plot, count = charts.timeline(shown) or (None, 0)
    found = phases_of([records])
    phases = {} if found is None else {name: found}
    head = f"A crawl: {name}"
    body = [
        f"<h1>{escape(head)}</h1>",
        table("The crawl", _figures(records), "facts"),
        table("Milliseconds per request", words.phases_table(phases)),
        f'<p class="quiet">{escape(words.phases_note(phases))}</p>',
        drawn.put(
            plot,
            "Timeline",
            f"What each thread and process did with the first {count} requests, one "
            "lane each. Drag over a span to zoom; point at a bar to read what it was.",
            is_timeline=True,
        ),
        drawn.put(charts.in_flight(shown, {}), "In flight", "Requests in flight."),
        drawn.put(charts.throughput(shown), "Throughput", "Pages per second."),
        table("The slowest requests", _slowest(records)),
        table("Failures", _failures(records)),
    ]
    return whole(head, body, drawn)


def _figures(records: Sequence[Record]) -> words.Table:
    found = timing(records, 0.0)
    took_s = found.steady_s or 0.0
    rate = f"{found.requests / took_s:.1f}" if took_s else words.DASH
    workers = Counter(one.worker for one in records)
    rows: list[tuple[str, ...]] = [
        ("seconds from the first request to the last callback", f"{took_s:.2f}"),
        ("requests", str(found.requests)),
        ("requests per second", rate),
        ("failures", str(found.failures)),
        ("most requests in flight", str(found.peak_in_flight)),
        ("processes", ", ".join(f"{one}: {n}" for one, n in sorted(workers.items()))),
        ("megabytes", f"{sum(one.size_bytes for one in records) / 1e6:.1f}"),
    ]
    return ("figure", "value"), rows


def _slowest(records: Sequence[Record]) -> words.Table:
    found = heapq.nlargest(
        _MOST,
        (
            (one.first_byte_s - one.asked_s, one.url, str(one.status))
            for one in records
            if one.first_byte_s is not None
        ),
    )
    rows: list[tuple[str, ...]] = [
        (url, status, f"{seconds:.2f}") for seconds, url, status in found
    ]
    return ("URL", "status", "seconds to the first byte"), rows


def _failures(records: Sequence[Record]) -> words.Table:
    counted = Counter(
        (one.url, one.error or f"status {one.status}")
        for one in records
        if not is_good(one)
    )
    rows: list[tuple[str, ...]] = [
        (url, why, str(n)) for (url, why), n in counted.most_common(_MOST)
    ]
    return ("URL", "reason", "times"), rows
