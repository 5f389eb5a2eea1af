from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from concurcrawl.monitor.snapshot import CrawlSnapshot, counts_of
from concurcrawl.tracing.meter import FailingUrl, SlowUrl

STATS: dict[str, Any] = {
    "downloader/response_status_count/200": 7,
    "downloader/response_status_count/204": 1,
    "downloader/response_status_count/503": 2,
    "downloader/exception_count": 3,
    "downloader/exception_type_count/twisted.internet.error.TimeoutError": 2,
    "downloader/exception_type_count/scrapy.exceptions.IgnoreRequest": 1,
    "spider_exceptions/count": 4,
    "spider_exceptions/KeyError": 4,
    "retry/count": 2,
    "retry/reason_count/503 Service Unavailable": 2,
    "concurcrawl/poisoned": 1,
    "concurcrawl/latency_s/le_0.05": 3,
    "concurcrawl/latency_s/le_30": 1,
    "concurcrawl/latency_s/le_inf": 1,
    "concurcrawl/latency_s/sum": 72.5,
    "concurcrawl/callback_cpu_s": 0.25,
}


def test_counts_are_read_from_stats() -> None:
    found = counts_of(STATS)
    assert found.requests == {"2xx": 8, "5xx": 2}
    # What robots.txt forbids is no error, and the count of all is no reason.
    assert found.errors == {"status 503": 2, "TimeoutError": 2, "KeyError": 4}
    assert found.retries == {"503 Service Unavailable": 2}
    assert (found.pauses, found.dead_letters) == (2, 1)
    assert found.callback_cpu_s == 0.25
    assert found.latency is not None
    buckets = dict(found.latency.buckets)
    assert (buckets[0.025], buckets[0.05], buckets[10.0], buckets[30.0]) == (0, 3, 3, 4)
    assert (found.latency.count, found.latency.total) == (5, 72.5)


def test_stats_of_nothing_are_counts_of_nothing() -> None:
    found = counts_of({})
    assert found == type(found)()
    assert asdict(found)["latency"] is None


def test_a_snapshot_is_plain_json() -> None:
    snapshot = CrawlSnapshot(
        at_s=1.0,
        spider="a",
        slowest=(SlowUrl(1.5, 200, "http://a/"),),
        failing=(FailingUrl("http://b/", "status 404", 2, 1.0),),
    )
    values = json.loads(json.dumps(snapshot.values()))
    assert values["slowest"] == [{"latency_s": 1.5, "status": 200, "url": "http://a/"}]
    assert values["failing"][0]["times"] == 2
    assert values["memory_bytes"] == 0
