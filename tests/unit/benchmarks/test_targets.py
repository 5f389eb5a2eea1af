from __future__ import annotations

import dataclasses

import pytest

from benchmarks.runner.results import (
    FrontierResult,
    Results,
    Run,
    Summary,
    Table,
    summarise,
)
from benchmarks.runner.tables import from_json, into_readme, markdown, to_json
from benchmarks.runner.targets import TARGETS, Verdict, judge
from concurcrawl.tools.compare.words import DASH, TIMES


def rounds(contender: str, *steady_s: float, **more: object) -> list[Run]:
    """Return a run for each of *steady_s*."""
    plain = Run(contender=contender, round=1, status="ok")
    return [
        dataclasses.replace(plain, round=number, steady_s=time_s, **more)  # type: ignore[arg-type]  # any of them
        for number, time_s in enumerate(steady_s, 1)
    ]


def table(workload: str, *runs: list[Run], pages: int = 233) -> Table:
    every = tuple(run for one in runs for run in one)
    names = dict.fromkeys(run.contender for run in every)
    return Table(
        workload=workload,
        about="a test",
        pages=pages,
        server="nobody",
        summaries=tuple(summarise(name, every, pages) for name in names),
        runs=every,
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
    assert {verdict.verdict for verdict in verdicts} == {"not measured"}
    assert {verdict.interval for verdict in verdicts} == {DASH}


def test_no_target_is_there_twice() -> None:
    names = [(target.workload, target.what) for target in TARGETS]
    assert len(set(names)) == len(names)


def test_the_best_mode_counts_against_a_peer() -> None:
    results = Results(
        tables=(
            table(
                "throughput",
                rounds("scrapy-16", 2.0, 2.2, 2.4),
                rounds("serial", 1.0, 1.0, 1.0),
                rounds("hybrid", 0.4, 0.44, 0.48),
                rounds("floor", 0.1, 0.1, 0.1),
            ),
        )
    )
    plain = verdict(results, "best mode, as fast as plain", "throughput http")
    assert plain.target == f"≥ 4.50 {TIMES}"
    assert (plain.measured, plain.interval) == (f"5.00 {TIMES}", "5.00 to 5.00")
    assert plain.verdict == "met"
    floor = verdict(results, "of the time of the floor")
    assert floor.target == f"≤ 1.70 {TIMES}"
    assert (floor.measured, floor.verdict) == (f"4.40 {TIMES}", "not met")
    assert verdict(results, "Crawlee").verdict == "not measured"


def test_an_interval_on_both_sides_of_the_bound_is_unclear() -> None:
    plain, ours = rounds("scrapy-16", 4.0, 4.6, 5.2), rounds("hybrid", 1.0, 1.0, 1.0)
    results = Results(tables=(table("throughput", plain, ours),))
    found = verdict(results, "best mode, as fast as plain", "throughput http")
    assert found.measured == f"4.60 {TIMES}"
    assert found.verdict == "unclear"
    assert "**unclear**" in markdown(results)


def test_two_rounds_have_no_interval_and_no_verdict() -> None:
    plain, ours = rounds("scrapy-16", 9.0, 9.0), rounds("hybrid", 1.0, 1.0)
    results = Results(tables=(table("throughput", plain, ours),))
    found = verdict(results, "best mode, as fast as plain", "throughput http")
    assert (found.measured, found.interval) == (f"9.00 {TIMES}", DASH)
    assert found.verdict == "unclear"


def test_nothing_is_met_while_others_use_the_machine() -> None:
    loud = rounds("hybrid", 1.0, 1.0, 1.0, others_share=0.03, steal_share=0.04)
    plain = rounds("scrapy-16", 9.0, 9.0, 9.0, others_share=0.0, steal_share=0.0)
    results = Results(tables=(table("throughput", plain, loud),))
    found = verdict(results, "best mode, as fast as plain", "throughput http")
    assert found.verdict == "noisy"
    text = markdown(results)
    assert "0 of 1 targets are met (1 noisy)" in text
    assert "during throughput (7 %). Nothing counts as met there." in text
    assert "noisy: others had 7 %" in text


def test_one_loud_round_of_three_is_not_yet_noise() -> None:
    ours = rounds("hybrid", 1.0, 1.0, 1.0, others_share=0.0, steal_share=0.0)
    ours[0] = dataclasses.replace(ours[0], others_share=0.5)
    plain = rounds("scrapy-16", 9.0, 9.0, 9.0)
    results = Results(tables=(table("throughput", plain, ours),))
    found = verdict(results, "best mode, as fast as plain", "throughput http")
    assert found.verdict == "met"


def test_a_mode_that_lost_a_page_meets_nothing() -> None:
    fast = rounds("hybrid", 0.1, 0.1, 0.1, status="lost", lost=1)
    plain = rounds("scrapy-16", 2.0, 2.0, 2.0)
    results = Results(
        tables=(
            table("throughput", plain, fast),
            table("parse", plain, rounds("parallel", 1.0, 1.0, 1.0), fast),
        )
    )
    lost = verdict(results, "best mode, as fast as plain", "throughput http")
    assert lost.verdict == "not measured"
    whole = verdict(results, "`parallel`, as fast as plain Scrapy (16)")
    assert whole.verdict == "met"


def test_latency_is_held_against_what_waiting_alone_takes() -> None:
    ideal_s = 4.0  # 20 times 200 ms
    fast, slow = ideal_s / 0.94, ideal_s / 0.84
    for time_s, measured, word in (
        (fast, "94.0 %", "met"),
        (slow, "84.0 %", "not met"),
    ):
        latency = table("latency-256", rounds("hybrid-256", *[time_s] * 3), pages=5120)
        found = verdict(Results(tables=(latency,)), "`hybrid`, of the ideal", "256")
        assert (found.measured, found.verdict) == (measured, word)


def test_supervisor_and_workers_are_told_apart() -> None:
    ours = rounds("hybrid", *[1.0] * 3, steady_cpu_s=6.0, steady_main_cpu_s=1.0)
    bare = rounds("libcurl", *[1.0] * 3, steady_cpu_s=1.0)
    results = Results(tables=(table("small", ours, bare, pages=10_000),))
    assert verdict(results, "CPU of the supervisor").measured == "0.100 ms"
    assert verdict(results, "CPU of the supervisor").verdict == "met"
    assert verdict(results, "CPU of the workers").measured == "0.400 ms"
    assert verdict(results, "CPU of the workers").verdict == "not met"


def test_https_is_compared_with_http_round_by_round() -> None:
    results = Results(
        tables=(
            table("throughput", rounds("hybrid", 0.9, 1.8, 2.7)),
            table("https", rounds("hybrid", 1.0, 2.0, 3.0)),
        )
    )
    found = verdict(results, "of that by http")
    assert (found.measured, found.interval) == ("90.0 %", "90.0 to 90.0")
    assert found.verdict == "met"


def test_many_hosts_are_compared_with_ten() -> None:
    results = Results(
        tables=(
            table("hosts-2000", rounds("hybrid-redis-broad", 10.0, 10.0, 10.0)),
            table("hosts-10", rounds("hybrid-redis-broad", 8.5, 8.5, 8.5)),
        )
    )
    found = verdict(
        results, "over Redis: pages/s, of that with 10 hosts", "2 000 hosts"
    )
    assert (found.target, found.measured) == ("≥ 80.0 %", "85.0 %")
    assert found.verdict == "met"


def test_growth_is_a_ratio_of_pages_a_second() -> None:
    large = rounds("hybrid", 104.0, 104.0, 104.0, main_rss_bytes=119_000_000)
    results = Results(
        tables=(
            table("growth-1000", rounds("hybrid", 1.0, 1.0, 1.0), pages=1_000),
            table("growth-100000", large, pages=100_000),
        )
    )
    found = verdict(results, "`hybrid`: pages/s with 100 000")
    assert (found.measured, found.verdict) == ("96.2 %", "met")
    assert verdict(results, "supervisor of `hybrid` at").measured == "119 MB"


def test_a_frontier_with_many_groups_has_an_interval_of_its_rounds() -> None:
    where = "SQLite in a file without a name"
    found = FrontierResult(where=where, groups=100_000, samples_us=(30.0, 31.0, 38.0))
    few = FrontierResult(where=where, groups=1, samples_us=(99.0,))
    results = Results(frontier=(few, found))
    embedded = verdict(results, "take and complete")
    assert (embedded.measured, embedded.verdict) == ("31 µs", "met")


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
    small = table("small", rounds("async", 1.0, 2.0, others_share=0.1, steal_share=0.0))
    alone = FrontierResult(where="Redis", samples_us=(1.0, 2.0), samples_bytes=(3.0,))
    results = Results(
        environment={"scrapy": "2.19.0"},
        tables=(small,),
        frontier=(alone,),
        imports_s={"scrapy": [0.1, 0.2]},
    )
    assert from_json(to_json(results)) == results


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 0}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


def test_the_tables_go_between_the_marks_and_nothing_else_changes() -> None:
    results = Results(tables=(table("small", rounds("async", 1.0)),))
    text = "a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n"
    new = into_readme(text, results)
    assert new.startswith("a\n<!-- bench:begin -->\n")
    assert new.endswith("<!-- bench:end -->\nb\n")
    assert markdown(results) in new
    assert "old" not in new
    with pytest.raises(ValueError, match="bench:begin"):
        into_readme("no marks", results)


def test_every_ratio_has_its_interval_beside_it() -> None:
    plain, ours = rounds("scrapy-16", 2.0, 2.0, 2.0), rounds("async", 1.0, 0.8, 0.5)
    text = markdown(Results(tables=(table("small", plain, ours),)))
    assert f"| 2.50 (2.00{DASH}4.00) |" in text


def test_who_was_not_run_is_named_with_the_reason_below_the_table() -> None:
    absent = Summary(contender="crawlee", status="not run", reason="it is not here")
    one = table("small", rounds("async", 1.0))
    one = dataclasses.replace(one, summaries=(*one.summaries, absent))
    text = markdown(Results(tables=(one,)))
    assert "- `crawlee`: not run: it is not here" in text
    assert "| crawlee" not in text
