"""Metrics of real crawls, scraped while they run."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.monitor.seeing import METRICS, metrics_of, scrape
from tests.support.crawls import crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client.samples import Sample


def samples_of(text: str) -> dict[str, list[Sample]]:
    return {
        family.name: family.samples for family in text_string_to_metric_families(text)
    }


def sum_of(samples: list[Sample]) -> float:
    return sum(sample.value for sample in samples)


@pytest.mark.parametrize("mode", ["", "async", "parallel"])
def test_a_scrape_tells_what_the_crawl_does(
    mode: str, site: str, tmp_path: Path
) -> None:
    options = ("-s", f"MODE={mode}", "-a", "pages=400", "-a", "wait=0.1", *METRICS)
    with crawling("slow", site, tmp_path, *options) as running:
        is_there = re.compile(r"^concurcrawl_items_total [1-9]", re.MULTILINE)
        url = metrics_of(running)
        text = asyncio.run(scrape(url, lambda text: bool(is_there.search(text))))
        running.process.terminate()
        assert running.finish().exit_code == 0
    found = samples_of(text)
    assert found["concurcrawl_crawl_info"][0].labels["spider"] == "slow"
    requests = {
        s.labels["status_class"]: s.value for s in found["concurcrawl_requests"]
    }
    assert requests.keys() == {"2xx"}
    assert "concurcrawl_queue_requests" in found
    assert found["concurcrawl_leased_requests"][0].value > 0
    assert sum_of(found["concurcrawl_workers"]) >= (2 if mode == "parallel" else 1)
    assert sum_of(found["concurcrawl_memory_bytes"]) > 10_000_000
    assert found["concurcrawl_feed_items"][0].value > 0
    latency = found["concurcrawl_request_latency_seconds"]
    count = next(s.value for s in latency if s.name.endswith("_count"))
    total = next(s.value for s in latency if s.name.endswith("_sum"))
    assert count == requests["2xx"]
    assert total >= 0.1 * count
    assert "concurcrawl_callback_cpu_seconds" in found
    assert bool(found.get("concurcrawl_group_in_flight_requests")) == bool(mode)


def test_errors_and_retries_are_counted_by_their_reasons(
    site: str, tmp_path: Path
) -> None:
    with crawling("errors", site, tmp_path, "-s", "MODE=serial", *METRICS) as running:
        url = metrics_of(running)

        def is_there(text: str) -> bool:
            return "concurcrawl_retries_total{" in text

        found = samples_of(asyncio.run(scrape(url, is_there)))
        running.finish()
    assert found["concurcrawl_errors"][0].labels.keys() == {"reason"}
    (retry, *_) = found["concurcrawl_retries"]
    assert retry.labels["reason"]


def test_a_port_that_is_taken_is_named_and_the_crawl_goes_on(
    site: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("-s", "MODE=async", "-a", "pages=2")
        wanted = ("-s", f"CONCURCRAWL_METRICS={address}")
        found = crawl("slow", site, tmp_path, *options, *wanted)
    assert f"CONCURCRAWL_METRICS={address}: cannot listen there" in found.log
    assert found.stats["item_scraped_count"] == 2


def test_an_address_that_is_none_is_refused_in_one_sentence(
    site: str, tmp_path: Path
) -> None:
    wrong = ("-s", "MODE=async", "-s", "CONCURCRAWL_DASHBOARD=here")
    found = crawl("slow", site, tmp_path, *wrong)
    assert found.exit_code == 1
    assert found.log.startswith("CONCURCRAWL_DASHBOARD='here': must be host:port")
    assert len(found.log.splitlines()) == 1
