from __future__ import annotations

from dataclasses import replace

import pytest

from concurcrawl.tools.compare import phases
from tests.support.compare.crawls_made_up import crawl
from tests.support.compare.made_up import RECORD


def test_where_the_time_goes() -> None:
    found = phases.phases_of([[RECORD], [], [replace(RECORD, queued_s=1001.0)]])
    assert found is not None
    assert (found.requests, found.queue_s) == (2, 0.5)
    assert found.first_byte_s == pytest.approx(0.2)
    assert found.body_s == pytest.approx(0.3)
    assert found.work_s == pytest.approx(0.5)
    assert found.latency_p99_s == pytest.approx(0.5)
    assert phases.phases_of([[]]) is None


def test_percentiles_are_of_all_runs_together() -> None:
    slow = replace(RECORD, downloaded_s=1011.0, done_s=1011.0)
    found = phases.phases_of([[RECORD] * 99, [slow]])
    assert found is not None
    assert found.latency_max_s == pytest.approx(10.0)
    assert found.latency_p95_s == pytest.approx(0.5)


def test_a_request_without_an_answer_waits_to_its_end() -> None:
    lost = replace(RECORD, first_byte_s=None, downloaded_s=None, error="TimeoutError")
    found = phases.phases_of([[lost]])
    assert found is not None
    assert (found.first_byte_s, found.body_s, found.work_s) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("mode", "slots", "processes", "count"),
    [("serial", 1, 1, 1), ("async", 4, 1, 5), ("parallel", 2, 2, 3)],
)
def test_lanes_hold_each_request_once_and_never_two_at_a_time(
    mode: str, slots: int, processes: int, count: int
) -> None:
    _, records = crawl(
        mode, waiting_s=0.1, cpu_s=0.02, slots=slots, processes=processes
    )
    lanes = phases.lanes(records)
    assert len(lanes) == count  # the list page was in the main process, or thread
    assert sum(len(lane.records) for lane in lanes) == len(records)
    for lane in lanes:
        for one, other in zip(lane.records, lane.records[1:], strict=False):
            assert one.done_s <= other.asked_s


def test_a_callback_that_ends_when_the_next_is_on_its_way_stays_on_its_lane() -> None:
    following = replace(RECORD, asked_s=RECORD.done_s - 0.004, done_s=1003.0)
    assert len(phases.lanes([RECORD, following])) == 1
    beside = replace(RECORD, asked_s=RECORD.done_s - 0.4, done_s=1003.0)
    assert len(phases.lanes([RECORD, beside])) == 2


def test_stragglers_are_those_who_still_work_when_others_have_no_more() -> None:
    records = [
        replace(RECORD, worker=worker, asked_s=float(n), done_s=n + 1.0)
        for worker, last in (("worker-1", 5), ("worker-2", 9))
        for n in range(last)
    ]
    assert phases.straggling_s(records) == 4.0


def test_in_flight_steps_up_and_down() -> None:
    other = replace(RECORD, asked_s=1001.2, downloaded_s=1001.5)
    next_one = replace(RECORD, asked_s=1001.5, downloaded_s=1003.0)
    assert phases.in_flight([RECORD, other, next_one]) == [
        (1001.0, 1),
        (1001.2, 2),
        (1001.5, 1),
        (1003.0, 0),
    ]


def test_throughput_counts_every_page_once() -> None:
    _, records = crawl("async", waiting_s=0.1, cpu_s=0.01, slots=4)
    rates = phases.throughput(records, bins=10)
    width_s = rates[1][0] - rates[0][0]
    assert sum(rate * width_s for _, rate in rates) == pytest.approx(len(records))
    end_s, after = rates[-1]
    assert end_s == pytest.approx(max(record.done_s for record in records))
    assert after == 0
    assert len(phases.throughput(records)) == len(records) // 5 + 1
    assert len(phases.throughput(records * 10)) == 40 + 1
    assert len(phases.throughput(records[:2])) == 1 + 1


def test_connecting_is_part_of_the_wait_where_it_is_not_told_apart() -> None:
    told = replace(RECORD, connect_s=0.05)
    found = phases.phases_of([[told, replace(told, connect_s=0.0)]])
    assert found is not None
    assert found.connect_s == pytest.approx(0.025)
    assert found.first_byte_s == pytest.approx(0.175)
    mixed = phases.phases_of([[told, RECORD]])
    assert mixed is not None
    assert mixed.connect_s is None
    assert mixed.first_byte_s == pytest.approx(0.2)
    never_answered = replace(RECORD, status=None)
    answered = phases.phases_of([[told, never_answered]])
    assert answered is not None
    assert answered.connect_s == pytest.approx(0.025)


@pytest.mark.parametrize(("worker", "work_s"), [("main", 0.3), ("worker-1", 0.5)])
def test_pipelines_are_told_apart_from_the_callback(worker: str, work_s: float) -> None:
    timed = replace(RECORD, worker=worker, pipeline_s=0.2, pipeline_cpu_s=0.1)
    found = phases.phases_of([[timed]])
    assert found is not None
    assert (found.pipeline_s, found.pipeline_cpu_s) == (0.2, 0.1)
    assert found.work_s == pytest.approx(work_s)
    mixed = phases.phases_of([[timed, RECORD]])
    assert mixed is not None
    assert (mixed.pipeline_s, mixed.pipeline_cpu_s) == (None, None)
