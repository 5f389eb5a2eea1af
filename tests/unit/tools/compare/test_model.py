from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concurcrawl.tools.compare import model, tutorial
from concurcrawl.tools.compare.analyse import ComparisonResult, conclude
from concurcrawl.tools.compare.options import WAITING
from concurcrawl.tools.compare.setup import Setup
from tests.support.compare.crawls_made_up import LIST_S, crawl

if TYPE_CHECKING:
    from collections.abc import Callable

SETUP = Setup(
    slots={"serial": 1, "concurrent": 16, "async": 16, "parallel": 2, "hybrid": 16},
    processes={"parallel": 2, "hybrid": 2},
    cores=2,
)


def compared(
    waiting_s: float,
    cpu_s: float,
    *,
    pages: int = 60,
    rounds: int = 3,
    unlike: Callable[[], float] = lambda: 1.0,
    **slower: float,
) -> ComparisonResult:
    runs, records = [], {}
    for number in range(1, rounds + 1):
        for mode, slots in SETUP.slots.items():
            run, some = crawl(
                mode,
                waiting_s=waiting_s,
                cpu_s=cpu_s,
                slots=slots,
                processes=SETUP.processes.get(mode, 1),
                pages=pages,
                number=number,
                slower=slower.get(mode, 1.0),
                unlike=unlike,
            )
            runs.append(run)
            records[run.folder] = some
    return conclude(replace(WAITING, pages=pages), runs, SETUP, records)


@given(
    waiting_s=st.floats(0, 0.5), cpu_s=st.floats(0.001, 0.5), pages=st.integers(2, 60)
)
@settings(max_examples=20)
def test_known_costs_are_found_again_and_predict_each_mode(
    waiting_s: float, cpu_s: float, pages: int
) -> None:
    found = compared(waiting_s, cpu_s, pages=pages, rounds=1)
    assert found.cost is not None
    assert found.cost.waiting_s == pytest.approx(waiting_s, abs=1e-6)
    assert found.cost.cpu_s == pytest.approx(cpu_s, abs=1e-6)
    assert found.cost.alone_s == pytest.approx(LIST_S)
    assert found.cost.pages == pages
    for mode, predicted in found.predictions.items():
        assert abs(predicted.steady_error) < 0.01, mode
        assert abs(predicted.error) < 0.01, mode


def test_known_costs_lie_within_their_intervals_although_no_two_pages_are_alike() -> (
    None
):
    waiting_s, cpu_s = 0.2, 0.02
    held = 0
    for seed in range(20):
        chance = random.Random(seed)
        found = compared(
            waiting_s,
            cpu_s,
            pages=30,
            rounds=7,
            unlike=partial(chance.uniform, 0.5, 1.5),
        )
        cost = found.cost
        assert cost is not None
        assert cost.waiting_low_s is not None
        assert cost.waiting_high_s is not None
        assert cost.cpu_low_s is not None
        assert cost.cpu_high_s is not None
        held += cost.waiting_low_s <= waiting_s <= cost.waiting_high_s
        held += cost.cpu_low_s <= cpu_s <= cost.cpu_high_s
        for mode, predicted in found.predictions.items():
            assert abs(predicted.error) < 0.1, (seed, mode)
    assert held >= 34  # of 40: 85 %


def test_pages_that_are_left_over_take_a_turn_of_their_own() -> None:
    cost = model.Cost(pages=17, waiting_s=0.2, cpu_s=0.0, alone_s=0.1, server_cpu_s=0.0)
    assert model.played_s(cost, slots=16, processes=1) == pytest.approx(0.4)
    assert model.played_s(cost, slots=0, processes=1) == pytest.approx(0.2)
    bounds = model.bounds(cost, slots=16, processes=1, cores=2)
    assert max(bounds.values()) == pytest.approx(17 * 0.2 / 16)


def test_the_test_site_has_its_place_on_the_cores() -> None:
    cost = model.Cost(
        pages=100, waiting_s=0.0, cpu_s=0.01, alone_s=0.0, server_cpu_s=0.004
    )
    bounds = model.bounds(cost, slots=16, processes=2, cores=2)
    assert bounds["cores"] == pytest.approx(0.7)
    assert max(bounds, key=bounds.__getitem__) == "cores"
    busy = replace(cost, server_cpu_s=0.02)
    bounds = model.bounds(busy, slots=16, processes=2, cores=4)
    assert max(bounds, key=bounds.__getitem__) == "the test site"


def test_what_decides_is_named() -> None:
    waits, works = compared(0.2, 0.005).predictions, compared(0.002, 0.1).predictions
    assert {mode: one.limit for mode, one in waits.items()} == {
        "serial": "in flight",
        "concurrent": "in flight",
        "async": "in flight",
        "parallel": "in flight",
        "hybrid": "in flight",
    }
    assert works["async"].limit == "CPU of a process"
    assert works["hybrid"].error == pytest.approx(0, abs=0.1)


def test_the_verdict_gives_the_reason() -> None:
    assert " ".join(compared(0.2, 0.005).verdict[1:]) == (
        "One by one a page is 98% waiting (200 ms) and 2% CPU (5 ms); many can wait at "
        "once: 16 at a time in one process are 6.8 times as fast (11.6 times without "
        "start-up), 2 processes with one each 1.8 times as fast. About 41 in flight "
        "keep one process busy; only beyond that does a second process add anything."
    )


def test_a_mode_that_is_slower_than_it_should_be_is_called_out() -> None:
    found = compared(0.2, 0.005, parallel=3.0)
    (sentence,) = found.warnings
    assert sentence.startswith("parallel took 2.9 times as long as waiting and CPU of")


def test_the_list_page_is_alone() -> None:
    _, records = crawl("serial", waiting_s=0.1, cpu_s=0.0, pages=0)
    assert model.alone(records) == ()  # nothing came after it
    _, records = crawl("serial", waiting_s=0.1, cpu_s=0.0, pages=3)
    assert model.alone(records) == (records[0],)


def test_runs_whose_requests_failed_tell_no_cost() -> None:
    run, records = crawl("serial", waiting_s=0.1, cpu_s=0.01, pages=3)
    assert model.cost_of([run], {run.folder: records}) is not None
    refused = replace(run, failures=3)
    assert model.cost_of([refused], {run.folder: records}) is None


def test_a_chain_of_pages_is_alone_but_for_its_last() -> None:
    run, records = crawl("serial", waiting_s=0.1, cpu_s=0.01, pages=5)
    chain = [replace(record, queued_s=record.asked_s - 0.001) for record in records]
    cost = model.cost_of([run], {run.folder: chain})
    assert cost is not None
    assert (cost.alone, cost.pages) == (5, 1)


@pytest.mark.parametrize(
    ("speedup", "processes", "share"),
    [(2.0, 2, 0.0), (1.0, 2, 1.0), (3.2, 4, 1 / 12), (1.0, 1, None)],
)
def test_karp_flatt(speedup: float, processes: int, share: float | None) -> None:
    found = model.karp_flatt(speedup, processes)
    assert found == (None if share is None else pytest.approx(share))


def test_karp_flatt_finds_the_share_that_amdahl_was_given() -> None:
    speedup = 1 / (0.07 + (1 - 0.07) / 8)  # by Amdahl
    assert model.karp_flatt(speedup, 8) == pytest.approx(0.07)


def test_the_tutorial_is_read_the_same_way() -> None:
    text = " ".join(tutorial.reading())
    for said in (
        "137.37 s",
        "0.59 s per page",
        "12.2 times",
        "76% of the ideal 8.59 s",
    ):
        assert said in text
    assert "7.6 times" in text
    assert "at least 8" in text
