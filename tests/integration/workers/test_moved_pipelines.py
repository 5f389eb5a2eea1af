"""Pipelines that run in workers: the same items, stats, signals and log lines."""

from __future__ import annotations

import ast
import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import Result, crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

IT = "anyspider.pipelines"
PIPELINES = {
    f"{IT}.DropOdd": 1,
    f"{IT}.FailsAtFour": 2,
    f"{IT}.Where": 3,
    f"{IT}.WriteFile": 4,
}
MOVED = ",".join([*PIPELINES][:3])


def options(*more: str) -> list[str]:
    return ["-s", f"ITEM_PIPELINES={json.dumps(PIPELINES)}", *more]


def processes(result: Result) -> set[int]:
    return {json.loads(line)["process"] for line in result.items}


def without_processes(result: Result) -> tuple[Counter[str], Counter[str]]:
    """Return the items, and what the pipeline of the supervisor got."""
    items = [json.loads(line) for line in result.items.elements()]
    got = [line for line in result.pipeline.elements() if line != "closed"]
    rows = [dict(ast.literal_eval(line)) for line in got]
    for one in (*items, *rows):
        del one["process"]
    return Counter(map(str, items)), Counter(map(str, rows))


@pytest.mark.parametrize("is_durable", [False, True])
def test_what_they_drop_or_fail_with_counts_as_without_workers(
    is_durable: bool, site: str, tmp_path: Path
) -> None:
    plain = crawl("drops", site, tmp_path / "plain", *options())
    more = ["-s", "MODE=parallel", "-s", f"CONCURCRAWL_WORKER_PIPELINES={MOVED}"]
    more += ["-s", "CONCURCRAWL_WORKERS=2"]
    if is_durable:
        more += ["-s", f"JOBDIR={tmp_path / 'job'}"]
    with crawling("drops", site, tmp_path / "moved", *options(*more)) as running:
        moved = running.finish()
    assert running.process.pid not in processes(moved)
    assert without_processes(moved) == without_processes(plain)
    assert moved.comparable()["stats"] == plain.comparable()["stats"]
    assert plain.stats["item_dropped_count"] > 0
    for line in ("Dropped: odd", "Error processing", "LookupError: four"):
        assert moved.log.count(line) == plain.log.count(line) > 0, line


def test_items_of_a_page_are_in_them_together(site: str, tmp_path: Path) -> None:
    plain = crawl("pagination", site, tmp_path / "plain")
    pipelines = {f"{IT}.InCompany": 1, f"{IT}.WriteFile": 300}
    moved = crawl(
        *("pagination", site, tmp_path / "moved", "-s", "MODE=hybrid"),
        *("-s", f"ITEM_PIPELINES={json.dumps(pipelines)}"),
        *("-s", f"CONCURCRAWL_WORKER_PIPELINES={IT}.InCompany"),
    )
    assert moved.comparable() == plain.comparable()
    assert sum(plain.items.values()) > 0
