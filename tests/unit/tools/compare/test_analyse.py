from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from concurcrawl.tools.compare.cautions import cautions
from concurcrawl.tools.compare.failure import held_back, reason_in_log, why_failed
from concurcrawl.tools.compare.figures import figures
from concurcrawl.tools.compare.runs import pages_of_records, timing
from concurcrawl.tools.compare.verdict import verdict as sentences
from tests.support.compare.made_up import PAGES, RECORD, SLOTS, failed, run

if TYPE_CHECKING:
    from concurcrawl.tools.compare.figures import ModeFigures
    from concurcrawl.tools.compare.runs import Run


def row(runs: list[Run], mode: str, expected: int | None = None) -> ModeFigures:
    rows = figures(runs, SLOTS, expected)
    return next(row for row in rows if row.mode == mode)


def test_every_mode_asked_for_has_a_row_in_that_order() -> None:
    rows = figures([run("async", 1.0)], SLOTS)
    assert [(found.mode, found.status) for found in rows] == [
        ("serial", "not run"),
        ("concurrent", "not run"),
        ("async", "ok"),
        ("parallel", "not run"),
        ("hybrid", "not run"),
    ]


def test_wall_is_the_median_with_its_range() -> None:
    found = row([run("async", wall_s) for wall_s in (3.0, 1.0, 2.5)], "async")
    assert (found.rounds, found.wall_s, found.wall_min_s, found.wall_max_s) == (
        3,
        2.5,
        1.0,
        3.0,
    )
    assert found.pages_per_s == pytest.approx(10 / 2.5)


def test_speedup_divides_serial_by_the_mode_in_the_same_round() -> None:
    serial = [run("serial", 9.0), run("serial", 22.0, round=2)]
    runs = [*serial, run("parallel", 4.5), run("parallel", 11.0, round=2)]
    assert row(runs, "serial").speedup == 1.0
    assert row(runs, "serial").efficiency == 1.0
    assert row(runs, "parallel").speedup == 2.0


def test_rounds_that_vary_together_leave_a_narrow_speedup() -> None:
    slow = (1.0, 1.3, 1.1, 2.0, 1.6)
    runs = [
        run(mode, wall_s * factor, round=n)
        for mode, wall_s in (("serial", 9.0), ("async", 3.0))
        for n, factor in enumerate(slow, 1)
    ]
    found = row(runs, "async")
    assert (found.speedup_low, found.speedup, found.speedup_high) == pytest.approx(
        (3.0, 3.0, 3.0)
    )
    assert found.wall_low_s == pytest.approx(3.0)
    assert found.wall_high_s == pytest.approx(6.0)


def test_efficiency_is_the_speedup_divided_by_the_slots() -> None:
    runs = [run("serial", 12.0), run("parallel", 8.0), run("concurrent", 1.0)]
    assert row(runs, "parallel").efficiency == pytest.approx(1.5 / 2)
    assert row(runs, "concurrent").efficiency == pytest.approx(12 / 16)


def test_without_serial_there_is_no_speedup() -> None:
    found = row([run("async", 1.0)], "async")
    assert (found.speedup, found.efficiency) == (None, None)


def test_without_a_limit_there_is_no_efficiency() -> None:
    runs = [run("serial", 2.0), run("async", 1.0)]
    rows = figures(runs, {"serial": 1, "async": 0})
    assert (rows[1].speedup, rows[1].efficiency) == (2.0, None)


def test_a_failed_run_fails_its_mode_and_no_other() -> None:
    runs = [run("serial", 2.0), run("async", 1.0), failed("async", "exit code 1")]
    assert row(runs, "serial").status == "ok"
    found = row(runs, "async")
    assert (found.status, found.reason, found.wall_s) == ("failed", "exit code 1", None)


def test_a_failed_serial_is_no_reference() -> None:
    runs = [failed("serial", "x"), run("async", 1.0), run("parallel", 2.0)]
    assert row(runs, "parallel").speedup is None
    assert row(runs, "parallel").same_pages is True


def test_a_page_that_one_mode_got_is_lost_in_another() -> None:
    runs = [run("serial", 2.0, pages=PAGES[:8]), run("async", 1.0, pages=PAGES[2:])]
    assert row(runs, "serial").lost_pages == 2
    assert row(runs, "async").lost_pages == 2
    assert row(runs, "async").same_pages is False


def test_a_page_that_every_mode_lost_counts_when_it_was_expected() -> None:
    assert row([run("serial", 2.0)], "serial", expected=12).lost_pages == 2


def test_a_page_with_other_bytes_is_not_lost_but_not_the_same() -> None:
    other = (*PAGES[:-1], (PAGES[-1][0], "other"))
    found = row([run("serial", 2.0), run("async", 1.0, pages=other)], "async")
    assert (found.lost_pages, found.same_pages, found.same_items) == (0, False, True)


def test_a_run_without_pages_costs_nothing_a_page() -> None:
    assert row([run("serial", 2.0, pages=())], "serial").cpu_s_per_page is None


def test_the_worst_round_counts_for_memory_and_flight() -> None:
    runs = [
        run("async", 1.0, peak_rss_bytes=1, peak_pss_bytes=None, peak_in_flight=16),
        run("async", 1.0, peak_rss_bytes=2, peak_pss_bytes=None, peak_in_flight=15),
    ]
    found = row(runs, "async")
    assert (found.peak_rss_bytes, found.peak_pss_bytes, found.peak_in_flight) == (
        2,
        None,
        16,
    )


def test_timing_of_nothing() -> None:
    found = timing([], 1000.0)
    assert (found.startup_s, found.steady_s, found.requests) == (None, None, 0)


def test_timing_spans_the_first_request_and_the_last_callback() -> None:
    records = [
        replace(RECORD, asked_s=1003.0, downloaded_s=1004.0, done_s=1007.0),
        RECORD,
        replace(RECORD, status=503),
        replace(RECORD, status=None, downloaded_s=None, error="TimeoutError: x"),
    ]
    found = timing(records, 1000.0)
    assert (found.startup_s, found.steady_s) == (1.0, 6.0)
    assert (found.requests, found.failures, found.peak_in_flight) == (4, 2, 3)


def test_a_slot_that_is_handed_over_is_one_slot() -> None:
    records = [
        replace(RECORD, asked_s=float(n), downloaded_s=float(n + 1)) for n in range(5)
    ]
    assert timing(records, 0.0).peak_in_flight == 1


def test_a_page_asked_for_twice_is_two_pages() -> None:
    records = [RECORD, RECORD, replace(RECORD, status=302), replace(RECORD, status=404)]
    assert pages_of_records(records) == (
        ("http://127.0.0.1:1/a", "200"),
        ("http://127.0.0.1:1/a #2", "200"),
    )


WAITING = [
    run("serial", 25.0, cpu_s=2.5),
    run("concurrent", 2.5),
    run("async", 2.6),
    run("parallel", 13.0),
    run("hybrid", 2.9),
]
WORKING = [
    run("serial", 12.0, cpu_s=11.88),
    run("concurrent", 12.5),
    run("async", 12.0),
    run("parallel", 6.6),
    run("hybrid", 6.5),
]


def verdict(runs: list[Run]) -> str:
    return "\n".join(sentences(figures(runs, SLOTS), runs))


def test_where_pages_wait_concurrency_wins() -> None:
    assert verdict(WAITING) == (
        "Fastest: concurrent, 10.0 times as fast as serial (2.5 s against 25.0 s); "
        "async is level with it (within 10%).\n"
        "In serial the CPU works 10% of the time, the rest is waiting; many can wait "
        "at once: 16 at a time in one process are 10.0 times as fast, 2 processes with "
        "one each 1.9 times as fast."
    )


def test_where_pages_cost_cpu_parallelism_wins() -> None:
    assert verdict(WORKING) == (
        "Fastest: hybrid, 1.8 times as fast as serial (6.5 s against 12.0 s); parallel "
        "is level with it (within 10%).\n"
        "In serial the CPU works 99% of the time, the rest is waiting, and CPU takes "
        "more cores, not more at a time: 2 processes with one each are 1.8 times as "
        "fast, 16 at a time in one process 1.0 times as fast."
    )


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([], "No mode finished, so there is nothing to compare."),
        ([failed("serial", "x")], "No mode finished, so there is nothing to compare."),
        ([run("async", 2.0)], "Only async finished: 2.0 s."),
        (
            [run("async", 2.0), run("parallel", 4.0)],
            "Fastest: async, 2.0 times as fast as parallel (2.0 s against 4.0 s).",
        ),
        (
            [run("serial", 2.0), run("async", 4.0)],
            "Fastest: serial at 2.0 s. No other mode pays here.",
        ),
        (
            [run("serial", 2.05), run("async", 2.0)],
            (
                "No clear winner: async is the fastest at 2.0 s, but serial took only "
                "2.0 s."
            ),
        ),
        (
            # In round 1 async failed, in round 2 serial.
            [replace(run("serial", 4.0), round=1), replace(run("async", 2.0), round=2)],
            (
                "Fastest: async at 2.0 s, against 4.0 s of serial, but no round has "
                "both to compare."
            ),
        ),
    ],
)
def test_verdicts_of_few_runs(runs: list[Run], sentence: str) -> None:
    assert verdict(runs) == sentence


def warnings(runs: list[Run]) -> tuple[str, ...]:
    return cautions(figures(runs, SLOTS), runs)


def test_a_good_comparison_has_no_warnings() -> None:
    assert warnings(WAITING) == ()


def test_a_busy_test_site_is_told() -> None:
    (sentence,) = warnings([run("async", 2.0, steady_s=1.0, site_cpu_s=0.9)])
    assert sentence.startswith("The test site used 90% of a core in async")


def test_a_busy_machine_is_told() -> None:
    quiet = run("serial", 10.0, machine_cpu_s=4.0)
    (sentence,) = warnings([quiet, run("async", 10.0, machine_cpu_s=12.6)])
    assert sentence.startswith(
        "Other programs kept up to 1.0 cores busy during async: these times are too"
    )


def test_lost_pages_are_told() -> None:
    runs = [run("serial", 2.0), run("async", 1.0, pages=PAGES[:9])]
    (sentence,) = warnings(runs)
    assert sentence.startswith(
        "async lost 1 of 10 pages (Page_9.html): its time is not that of the whole "
    )


def test_of_many_lost_pages_a_few_are_named() -> None:
    runs = [run("serial", 2.0), run("async", 1.0, pages=PAGES[:4])]
    assert (
        "6 of 10 pages (Page_4.html, Page_5.html and Page_6.html, …):"
        in (warnings(runs)[0])
    )


def test_a_page_that_nobody_got_has_no_name() -> None:
    runs = [run("serial", 2.0)]
    (sentence,) = cautions(figures(runs, SLOTS, 11), runs)
    assert sentence.startswith("serial lost 1 of 11 pages: its time")


def test_other_items_are_told() -> None:
    runs = [run("serial", 2.0), run("async", 1.0, items_digest="other")]
    (sentence,) = warnings(runs)
    assert sentence.startswith("async gave other items than the reference")


def test_failed_requests_are_told() -> None:
    (sentence,) = warnings([run("serial", 2.0), run("async", 2.0, failures=3)])
    assert sentence.startswith("Requests that failed or were answered with an error: ")
    assert "async 3." in sentence


def test_processes_left_behind_are_told() -> None:
    (sentence,) = warnings([run("parallel", 2.0, strays=2)])
    assert sentence.startswith("parallel left processes behind that had to be killed: ")


LOG = """\
2026-11-22 16:00:00 [scrapy.utils.log] INFO: Scrapy 2.19.0 started (bot: scrapybot)
2026-11-22 16:00:00 [scrapy.core.scraper] ERROR: Spider error processing <GET http://x/>
Traceback (most recent call last):
  File "spider.py", line 3, in parse
    raise ValueError("no such country")
ValueError: no such country
2026-11-22 16:00:01 [scrapy.core.engine] INFO: Spider closed (finished)
"""


def test_the_reason_is_the_last_lines_that_name_an_error() -> None:
    assert reason_in_log(LOG) == (
        "Spider error processing <GET http://x/> | ValueError: no such country"
    )


def test_an_error_that_is_quoted_before_is_told_once() -> None:
    log = "future: <Task exception=KeyError('no x')>\nKeyError: 'no x'\n"
    assert reason_in_log(log) == "KeyError: 'no x'"


def test_what_a_site_says_cannot_steer_a_terminal() -> None:
    log = "ValueError: \x1b]0;owned\x07 \x9b31m\u202eevil\n"
    assert reason_in_log(log) == "ValueError: \ufffd]0;owned\ufffd \ufffd31m\ufffdevil"


def test_without_an_error_the_reason_is_the_last_line() -> None:
    assert reason_in_log("one\ntwo\n\n") == "two"
    assert reason_in_log("") == ""


@pytest.mark.parametrize(
    ("exit_code", "answered", "timeout_s", "reason"),
    [
        (0, True, None, None),
        (0, False, None, "produced no pages and no items: MODE='fast': must be x"),
        (1, True, None, "exit code 1: MODE='fast': must be x"),
        (-9, True, None, "was ended by SIGKILL: MODE='fast': must be x"),
        (-2, True, 5.0, "did not end within 5 s (--timeout)"),
    ],
)
def test_why_a_run_does_not_count(
    exit_code: int, answered: bool, timeout_s: float | None, reason: str | None
) -> None:
    assert reason == why_failed(
        exit_code=exit_code,
        answered=answered,
        timeout_s=timeout_s,
        log="MODE='fast': must be x\n",
    )


def test_an_unsteady_machine_is_told() -> None:
    runs = [run("serial", wall_s, round=n) for n, wall_s in ((1, 4.0), (2, 6.0))]
    (sentence,) = warnings(runs)
    assert sentence.startswith("The same work took from and to: serial 4.0 to 6.0 s. ")


def test_a_round_that_is_unlike_the_others_is_told() -> None:
    walls = (4.0, 4.1, 4.05, 4.9, 4.02)
    runs = [run("async", wall_s, round=n) for n, wall_s in enumerate(walls, 1)]
    (sentence,) = warnings(runs)
    assert sentence.startswith("async was unlike itself in round 4 (4.9 s)")


def test_a_limit_that_was_not_kept_is_told() -> None:
    (sentence,) = warnings([run("async", 2.0, peak_in_flight=17)])
    assert sentence.startswith("async had 17 requests in flight, more than its limit")


def test_a_setting_that_holds_a_mode_back_is_told() -> None:
    said = (
        "MODE=async could have 16, but DOWNLOAD_DELAY=1 of this project holds it back"
    )
    log = f"2026-11-22 16:00:00 [concurcrawl.addon] WARNING: {said}\n"
    assert held_back(log) == said
    assert held_back("all is well\n") is None
    assert warnings([run("async", 2.0, held_back=said)]) == (said,)


def test_modes_whose_rounds_overlap_are_not_significantly_different() -> None:
    runs = [
        run(mode, wall_s, round=n)
        for mode, walls in (
            ("serial", (9.0, 9.1, 9.2)),
            ("async", (2.0, 2.2, 2.1)),
            ("concurrent", (2.1, 2.1, 2.2)),
        )
        for n, wall_s in enumerate(walls, 1)
    ]
    assert "; async is not significantly different." in verdict(runs)


def test_what_an_error_quotes_of_a_page_steers_no_terminal() -> None:
    log = "Traceback\nValueError: \x1b]0;mine\x07\x1b[31m\x9b5m red\n"
    reason = why_failed(exit_code=1, answered=True, timeout_s=None, log=log)
    assert reason == "exit code 1: ValueError: ?]0;mine??[31m?5m red".replace(
        "?", "\N{REPLACEMENT CHARACTER}"
    )
