from __future__ import annotations

import json

from concurcrawl.tools.compare.analyse import conclude
from concurcrawl.tools.compare.options import WAITING, WORKING
from concurcrawl.tools.compare.report.document import document
from concurcrawl.tools.compare.setup import Setup
from tests.support.compare.made_up import failed, run

SETUP = Setup(slots={"serial": 1, "async": 16})

PROMISED = {
    *("mode", "wall_s", "pages_per_s", "speedup", "efficiency", "cpu_s_per_page"),
    *("peak_rss_bytes", "startup_s", "peak_in_flight", "pages", "lost_pages"),
    *("same_pages", "same_items"),
}


def test_modes_are_those_of_the_first_experiment_and_runs_are_all() -> None:
    first = conclude(WAITING, [run("serial", 4.0), run("async", 2.0)], SETUP)
    second = conclude(WORKING, [run("serial", 8.0), failed("async", "x")], SETUP)
    found = document({"python": "x"}, [first, second], complete=True)
    assert found["environment"] == {"python": "x", "latency_s": 0.2}
    assert [row["speedup"] for row in found["modes"]] == [1.0, 2.0]
    assert [one["name"] for one in found["experiments"]] == ["waiting", "working"]
    assert [(raw["experiment"], raw["mode"]) for raw in found["runs"]] == [
        ("waiting", "serial"),
        ("waiting", "async"),
        ("working", "serial"),
        ("working", "async"),
    ]
    assert found["experiments"][1]["modes"][1]["reason"] == "x"


def test_a_mode_has_every_figure_that_is_promised() -> None:
    outcome = conclude(WAITING, [run("serial", 4.0)], SETUP)
    for row in document({}, [outcome], complete=True)["modes"]:
        assert set(row) >= PROMISED


def test_before_the_first_run_there_is_a_document_too() -> None:
    found = document({}, [], complete=False)
    assert (found["modes"], found["runs"], found["complete"]) == ([], [], False)


def test_the_document_is_plain_json() -> None:
    outcome = conclude(WAITING, [run("serial", 4.0)], SETUP)
    found = document({}, [outcome], complete=True)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
