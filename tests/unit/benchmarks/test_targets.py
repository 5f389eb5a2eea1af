from __future__ import annotations

import dataclasses

import pytest

from benchmarks.runner.results import Results, Run, Summary, Table, summarise
from benchmarks.runner.tables import from_json, into_readme, markdown, to_json
from benchmarks.runner.targets import TARGETS, Verdict, judge
from concurcrawl.tools.compare.words import TIMES


def summary(contender: str, steady_s: float, **more: object) -> Summary:
    plain = Summary(contender=contender, status="ok", rounds=3, steady_s=steady_s)
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]  # any of them


def table(workload: str, *summaries: Summary, pages: int = 233) -> Table:
    return Table(
        workload=workload,
        about="a test",
        pages=pages,
        server="nobody",
        summaries=summaries,
    )


def verdict(results: Results, what: str, workload: str = "") -> Verdict:
    """Return the first of the workload, in the order of the table."""
    return next(
        verdict
        for verdict in judge(results)
        if what in verdict.what and workload in verdict.workload
    )


def test_nothing_measured_is_no_target_met_and_none_missed() -> None:
    verdicts = judge(Results())
    assert len(verdicts) == len(TARGETS)
    assert {verdict.met for verdict in verdicts} == {None}


def test_the_best_mode_counts_against_a_peer() -> None:
    results = Results(
        tables=(
            table(
                "throughput",
                summary("scrapy-16", 2.0),
                summary("serial", 1.0),
                summary("hybrid", 0.5),
                summary("floor", 0.1),
            ),
        )
    )
    plain = verdict(results, "best mode, as fast as plain Scrapy (16)")
    assert plain.target == f"≥ 4.00 {TIMES}"
    assert (plain.measured, plain.met) == (f"4.00 {TIMES}", True)
    floor = verdict(results, "of the time of the floor")
    assert floor.target == f"≤ 2.70 {TIMES}"
    assert (floor.measured, floor.met) == (f"5.00 {TIMES}", False)
    assert verdict(results, "Crawlee").met is None


def test_a_mode_that_lost_a_page_meets_nothing() -> None:
    fast = summary("hybrid", 0.1, status="lost", lost=1)
    results = Results(
        tables=(
            table("throughput", summary("scrapy-16", 2.0), fast),
            table("parse", summary("scrapy-16", 2.0), summary("parallel", 1.0), fast),
        )
    )
    assert verdict(results, "best mode, as fast as plain Scrapy (16)").met is None
    assert verdict(results, "`parallel`, as fast as plain Scrapy (16)").met is True


def test_latency_is_held_against_sixteen_times_the_serial_one() -> None:
    results = Results(
        tables=(
            table("latency-16", summary("serial", 48.0), summary("async", 3.0 / 0.94)),
        )
    )
    found = verdict(results, "`async`, of the ideal")
    assert (found.measured, found.met) == ("94.0 %", False)


def test_the_machinery_costs_what_the_dearest_mode_takes_above_plain_scrapy() -> None:
    modes = {"scrapy-16": 1.0, "async": 1.1, "parallel": 1.3, "hybrid": 1.2}
    small = table(
        "small",
        *(summary(name, 1.0, steady_cpu_ms_a_page=ms) for name, ms in modes.items()),
    )
    found = verdict(Results(tables=(small,)), "CPU a page above plain Scrapy")
    assert (found.measured, found.met) == ("0.300 ms", False)


def test_growth_is_a_ratio_of_pages_a_second() -> None:
    results = Results(
        tables=(
            table("growth-1000", summary("hybrid", 1.0), pages=1_000),
            table(
                "growth-100000",
                summary("hybrid", 104.0, main_rss_bytes=119_000_000),
                pages=100_000,
            ),
        )
    )
    found = verdict(results, "`hybrid`: pages/s at 100 000 small pages")
    assert (found.measured, found.met) == ("96.2 %", True)
    assert verdict(results, "supervisor").measured == "119 MB"


def test_medians_are_of_the_rounds_that_ended_and_the_worst_status_is_told() -> None:
    runs = [
        Run(contender="async", round=1, status="ok", steady_s=1.0, wall_s=2.0, cpu_s=1),
        Run(contender="async", round=2, status="ok", steady_s=3.0, wall_s=4.0, cpu_s=3),
        Run(contender="async", round=3, status="failed", reason="it burst"),
        Run(contender="curl", round=1, status="ok", steady_s=9.0),
    ]
    found = summarise("async", runs, pages=100)
    assert (found.status, found.reason, found.rounds) == ("failed", "it burst", 2)
    assert (found.steady_s, found.min_s, found.max_s) == (2.0, 1.0, 3.0)
    assert found.cpu_ms_a_page == pytest.approx(20)


def test_results_come_back_from_json_as_they_were() -> None:
    run = Run(contender="async", round=1, status="ok", steady_s=1.0)
    small = dataclasses.replace(table("small", summary("async", 1.0)), runs=(run,))
    results = Results(environment={"scrapy": "2.19.0"}, tables=(small,))
    assert from_json(to_json(results)) == results


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 0}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


def test_the_tables_go_between_the_marks_and_nothing_else_changes() -> None:
    results = Results(tables=(table("small", summary("async", 1.0)),))
    text = "a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n"
    new = into_readme(text, results)
    assert new.startswith("a\n<!-- bench:begin -->\n")
    assert new.endswith("<!-- bench:end -->\nb\n")
    assert markdown(results) in new
    assert "old" not in new
    with pytest.raises(ValueError, match="bench:begin"):
        into_readme("no marks", results)


def test_who_was_not_run_is_named_with_the_reason_below_the_table() -> None:
    absent = Summary(contender="crawlee", status="not run", reason="it is not here")
    text = markdown(Results(tables=(table("small", summary("async", 1.0), absent),)))
    assert "- `crawlee`: not run: it is not here" in text
    assert "| crawlee" not in text
