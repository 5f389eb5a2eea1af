"""The metrics keep Prometheus's conventions, as promtool checks them."""

from __future__ import annotations

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from concurcrawl.frontier.base import GroupState
from concurcrawl.monitor.prometheus import FAMILIES, LATENCY, exposition
from concurcrawl.monitor.snapshot import (
    CrawlCounts,
    CrawlSnapshot,
    Feed,
    Histogram,
    Process,
    Progress,
    Worker,
)
from tests.support.crawls import ROOT

WORKER = Worker(
    name="worker-1", host="a", pid=7, state="busy", in_flight=2, slots=4, done=3
)
SNAPSHOT = CrawlSnapshot(
    at_s=1000.0,
    spider='a "spider"\n',
    mode="hybrid",
    elapsed_s=10.0,
    progress=Progress(waiting=5, leased=2, done=3, pages=3, items=9),
    counts=CrawlCounts(
        requests={"2xx": 3, "5xx": 1},
        errors={"status 503": 1},
        retries={"503 Service Unavailable": 1},
        latency=Histogram(((0.1, 2), (0.5, 3)), 4, 3.25),
        callback_cpu_s=0.5,
    ),
    groups=(GroupState(name="a.example", in_flight=2, limit=8, paused_s=1.5),),
    workers=(WORKER,),
    processes=(Process(name="worker-1", pid=7, memory_bytes=100, cpu=0.5, cpu_s=2.0),),
    feeds=(Feed("items.jsonl", 9, 900),),
)

#: Endings that name a unit.
UNITS = ("seconds", "bytes", "requests", "items", "info", "state", "workers")


def test_the_text_is_read_back_as_it_was_meant() -> None:
    text = exposition(SNAPSHOT).decode()
    found = {one.name: one for one in text_string_to_metric_families(text)}
    assert found.keys() == {*(family.name for family in FAMILIES), LATENCY}
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for one in found.values()
        for sample in one.samples
    }
    assert values["concurcrawl_crawl_info", "", "hybrid", 'a "spider"\n'] == 1
    assert values["concurcrawl_requests_total", "5xx"] == 1
    assert values["concurcrawl_retries_total", "503 Service Unavailable"] == 1
    assert values["concurcrawl_start_time_seconds",] == 990
    assert values[f"{LATENCY}_bucket", "0.5"] == 3
    assert values[f"{LATENCY}_bucket", "+Inf"] == values[f"{LATENCY}_count",] == 4
    assert values[f"{LATENCY}_sum",] == 3.25


def test_what_is_not_known_is_left_out() -> None:
    names = {
        one.name
        for one in text_string_to_metric_families(
            exposition(CrawlSnapshot(at_s=1.0, spider="a")).decode()
        )
    }
    assert "concurcrawl_queue_requests" not in names
    assert "concurcrawl_callback_cpu_seconds" not in names
    assert LATENCY not in names


def test_reasons_are_bounded() -> None:
    errors = {f"Error{number}": 1 for number in range(80)}
    text = exposition(
        CrawlSnapshot(at_s=1.0, spider="a", counts=CrawlCounts(errors=errors))
    )
    reasons = re.findall(
        r'concurcrawl_errors_total\{reason="(\w+)"} (\S+)', text.decode()
    )
    assert len(reasons) == 51
    assert ("other", "30.0") in reasons


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_and_texts_are_as_promtool_wants_them(family) -> None:  # type: ignore[no-untyped-def] # a Family
    assert re.fullmatch(r"concurcrawl_[a-z]+(_[a-z]+)*", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert family.kind in ("counter", "gauge")
    assert family.text.endswith(".")
    assert not re.search(r"milli|minutes|hours|kilo|mega|percent", family.name)
    if family.kind == "gauge":
        assert family.name.endswith(UNITS)
    assert not {"le", "quantile", "job", "instance"} & set(family.labels)


def test_the_grafana_dashboard_asks_only_for_metrics_that_exist() -> None:
    board = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text("utf-8"))
    text = exposition(SNAPSHOT).decode()
    exposed = set(re.findall(r"^(concurcrawl_\w+)", text, re.MULTILINE))
    asked = [
        target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]
    names = {name for expr in asked for name in re.findall(r"\bconcurcrawl_\w+", expr)}
    assert names - exposed == set()
    assert len(names) > 12
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    counters = {f"{one.name}_total" for one in FAMILIES if one.kind == "counter"}
    for expr in asked:
        for name in counters & set(re.findall(r"\w+", expr)):
            assert re.search(rf"(rate|increase)\({name}", expr), expr
