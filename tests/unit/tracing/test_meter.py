"""What a process notes of its requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.settings import Settings

from concurcrawl.monitor.snapshot import counts_of
from concurcrawl.tracing import meter
from concurcrawl.tracing.meter import CallbackMeter, DownloadMeter, Meter
from tests.support.fakes import made_crawler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def metered(*, counts: bool) -> tuple[Any, Meter, DownloadMeter]:
    settings = Settings()
    meter.enable(settings, "cmdline", counts=counts)
    (name,) = (name for name in settings if name.startswith("CONCURCRAWL_"))
    crawler = made_crawler(**{name: settings[name]})
    middleware = DownloadMeter.from_crawler(crawler)
    found = meter.meter_of(crawler)
    assert found is not None
    return crawler, found, middleware


def answer(
    middleware: DownloadMeter, url: str, latency_s: float, status: int = 200
) -> None:
    request = Request(url, meta={"download_latency": latency_s})
    response = Response(url, status=status)
    assert middleware.process_response(request, response) is response


def test_latencies_are_a_histogram_in_the_stats() -> None:
    crawler, _, middleware = metered(counts=True)
    for latency_s in (0.01, 0.02, 0.4, 99.0):
        answer(middleware, "http://a/", latency_s)
    latency = counts_of(crawler.stats.get_stats()).latency
    assert latency is not None
    buckets = dict(latency.buckets)
    assert (buckets[0.01], buckets[0.025], buckets[0.5], buckets[30.0]) == (1, 2, 3, 3)
    assert latency.count == 4
    assert latency.total == pytest.approx(99.43)


def test_without_metrics_the_stats_stay_as_they_are() -> None:
    crawler, found, middleware = metered(counts=False)
    answer(middleware, "http://a/", 0.5)
    assert counts_of(crawler.stats.get_stats()).latency is None
    assert found.slowest[0].latency_s == 0.5


def test_the_slowest_twenty_are_kept() -> None:
    _, found, middleware = metered(counts=False)
    for number in range(50):
        answer(middleware, f"http://a/{number}", (number * 7) % 50)
    assert [one.latency_s for one in found.slowest] == list(range(49, 29, -1))


def test_failures_are_kept_by_their_url_the_newest_first() -> None:
    _, found, middleware = metered(counts=False)
    answer(middleware, "http://a/1", 0.1, 404)
    answer(middleware, "http://a/2", 0.1, 500)
    answer(middleware, "http://a/1", 0.1, 503)
    middleware.process_exception(Request("http://a/3"), TimeoutError("too slow"))
    middleware.process_exception(Request("http://a/4"), IgnoreRequest("robots"))
    assert [(one.url[-1], one.reason, one.times) for one in found.failing] == [
        ("3", "TimeoutError: too slow", 1),
        ("1", "status 503", 2),
        ("2", "status 500", 1),
    ]
    for number in range(50):
        found.failed(f"http://b/{number}", "x" * 9000)
    assert len(found.failing) == 20
    assert max(len(one.reason) for one in found.failing) == 500


def test_the_cpu_of_callbacks_is_counted_also_if_one_fails() -> None:
    crawler, _, _ = metered(counts=True)
    middleware = CallbackMeter.from_crawler(crawler)
    response = Response("http://a/")

    def broken() -> Any:
        yield sum(range(300_000))
        raise ValueError("no price")

    async def slow() -> AsyncIterator[int]:
        yield sum(range(300_000))

    async def draw() -> list[int]:
        outputs = middleware.process_spider_output_async(response, slow())
        return [output async for output in outputs]

    with pytest.raises(ValueError, match="no price"):
        list(middleware.process_spider_output(response, broken()))
    spent_s = crawler.stats.get_value(meter.CALLBACK_CPU)
    assert spent_s > 0
    assert len(asyncio.run(draw())) == 1
    assert crawler.stats.get_value(meter.CALLBACK_CPU) > spent_s
