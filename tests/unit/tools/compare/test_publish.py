"""Everything that is written, made again from what a comparison keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.tools.compare.analyse import ComparisonResult, conclude
from concurcrawl.tools.compare.options import WAITING
from concurcrawl.tools.compare.publish import publish, read
from concurcrawl.tools.compare.report.markdown import markdown
from concurcrawl.tools.compare.setup import Setup
from concurcrawl.tracing.record import to_line
from tests.integration.test_cli import concurcrawl
from tests.support.compare.crawls_made_up import crawl

if TYPE_CHECKING:
    from pathlib import Path

SETUP = Setup(
    slots={"serial": 1, "async": 8, "parallel": 2},
    processes={"serial": 1, "async": 1, "parallel": 2},
    cores=2,
)
REPORTS = ("compare.json", "report.html", "report.md", "trace.json")


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, ComparisonResult]:
    """A comparison on disk in which async lost a page."""
    runs, records = [], {}
    for number in (1, 2, 3):
        for mode, slots in SETUP.slots.items():
            run, some = crawl(
                mode,
                waiting_s=0.1,
                cpu_s=0.01,
                slots=slots,
                processes=SETUP.processes[mode],
                pages=20,
                number=number,
            )
            if mode == "async":
                run = replace(run, pages=run.pages[:-1])
            runs.append(run)
            records[run.folder] = some
            folder = tmp_path / run.folder
            folder.mkdir(parents=True)
            lines = "".join(map(to_line, some))
            (folder / "records.jsonl").write_text(lines, encoding="utf-8")
            (folder / "pages.json").write_text(json.dumps(dict(run.pages)))
    outcome = conclude(replace(WAITING, pages=20), runs, SETUP, records)
    publish(tmp_path, {"python": "x"}, [outcome], complete=True)
    return tmp_path, outcome


def test_a_comparison_of_the_first_version_is_read(
    kept: tuple[Path, ComparisonResult],
) -> None:
    folder, outcome = kept
    document = folder / "compare.json"
    text = document.read_text(encoding="utf-8")
    assert '"site_cpu_s"' in text
    old = text.replace('"site_cpu_s"', '"mirror_cpu_s"').replace(
        '"peak_in_flight_seen_by": "test site"', '"peak_in_flight_seen_by": "mirror"'
    )
    document.write_text(old, encoding="utf-8")
    _, (again,), _ = read(folder)
    assert replace(again, runs=()) == replace(outcome, runs=())
    assert {run.site_cpu_s for run in again.runs} == {
        run.site_cpu_s for run in outcome.runs
    }


def test_all_is_made_again_from_the_records_alone(
    kept: tuple[Path, ComparisonResult],
) -> None:
    folder, outcome = kept
    environment, (again,), complete = read(folder)
    assert (environment, complete) == ({"python": "x"}, True)
    assert replace(again, runs=()) == replace(outcome, runs=())
    assert sorted(run.folder for run in again.runs) == sorted(
        run.folder for run in outcome.runs
    )
    before = {name: (folder / name).read_bytes() for name in REPORTS}
    for name in REPORTS[1:]:
        (folder / name).unlink()
    done = concurcrawl("report", str(folder))
    assert done.returncode == 0, done.stderr
    assert "async lost 1 of 20 pages" in done.stdout
    for name in REPORTS:
        if name != "report.html":  # Bokeh gives its elements new names
            assert (folder / name).read_bytes() == before[name]
    assert (folder / "report.html").exists()


def test_a_comparison_of_an_earlier_version_is_read_too(
    kept: tuple[Path, ComparisonResult],
) -> None:
    folder, _ = kept
    path = folder / "compare.json"
    values = json.loads(path.read_text())
    for experiment in values["experiments"]:
        for key in ("setup", "cost", "predictions", "phases", "karp_flatt", "sweep"):
            del experiment[key]
        for run in experiment["runs"]:
            for key in ("steady_cpu_s", "held_back", "level"):
                del run[key]
    path.write_text(json.dumps(values))
    _, (again,), _ = read(folder)
    assert again.rows[1].lost_pages == 1
    assert again.cost is not None


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"experiments": [{}]}'])
def test_a_folder_without_a_comparison_is_told(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "compare.json").write_text(content)
    with pytest.raises(ConfigError, match="must be a folder that concurcrawl compare"):
        read(tmp_path)


def test_the_trace_holds_each_request_on_a_lane_of_its_run(
    kept: tuple[Path, ComparisonResult],
) -> None:
    folder, outcome = kept
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    requests = [event for event in events if event.get("cat") == "request"]
    assert len(requests) == len(outcome.runs) * 21
    assert {event["ph"] for event in events} == {"X", "M", "C"}
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert sorted(names.values()) == sorted(run.folder for run in outcome.runs)
    lanes: dict[tuple[int, int], float] = {}
    for event in requests:
        key = (event["pid"], event["tid"])
        assert event["ts"] >= lanes.get(key, 0.0) - 1  # microseconds are rounded
        lanes[key] = event["ts"] + event["dur"]
    for event in events:
        if event["ph"] == "C":
            assert event["args"]["requests"] <= 8
    inner = [event for event in events if event.get("cat") == "phase"]
    assert {event["name"] for event in inner} == {"waiting", "body", "work"}


def test_markdown_has_the_verdict_the_table_and_no_markup_of_others(
    kept: tuple[Path, ComparisonResult],
) -> None:
    _, outcome = kept
    evil = replace(outcome.experiment, title="<b>*x*</b>|\n# y")
    text = markdown({"python": "x"}, [replace(outcome, experiment=evil)])
    assert "## \\<b\\>\\*x\\*\\</b\\>\\| \\# y (20 pages" in text
    assert "\n| mode | wall s (median) |" in text
    assert "\n> ⚠ async lost 1 of 20 pages" in text
    assert "**Fastest: async, " in text
    widths = {
        line.replace("\\|", "").count("|")
        for line in text.splitlines()
        if line.startswith(("| serial | 2", "| mode | wall"))
    }
    assert len(widths) == 1
