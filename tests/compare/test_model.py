from __future__ import annotations

from dataclasses import replace

import pytest

from concurcrawl.compare import model, tutorial
from concurcrawl.compare.analyse import Outcome, conclude
from concurcrawl.compare.options import WAITING
from concurcrawl.compare.setup import Setup
from tests.compare.crawls_made_up import LIST_S, crawl

SETUP = Setup(
    slots={"serial": 1, "concurrent": 16, "async": 16, "parallel": 2, "hybrid": 16},
    processes={"parallel": 2, "hybrid": 2},
    cores=2,
)


def compared(waiting_s: float, cpu_s: float, **slower: float) -> Outcome:
    runs, records = [], {}
    for number in (1, 2, 3):
        for mode, slots in SETUP.slots.items():
            run, some = crawl(
                mode,
                waiting_s=waiting_s,
                cpu_s=cpu_s,
                slots=slots,
                processes=SETUP.processes.get(mode, 1),
                number=number,
                slower=slower.get(mode, 1.0),
            )
            runs.append(run)
            records[run.folder] = some
    return conclude(replace(WAITING, pages=60), runs, SETUP, records)


@pytest.mark.parametrize(
    ("waiting_s", "cpu_s"), [(0.2, 0.005), (0.05, 0.02), (0.002, 0.1), (0.0, 0.01)]
)
def test_known_costs_are_found_again_and_predict_each_mode(
    waiting_s: float, cpu_s: float
) -> None:
    found = compared(waiting_s, cpu_s)
    assert found.cost is not None
    assert found.cost.waiting_s == pytest.approx(waiting_s, abs=0.002)
    assert found.cost.cpu_s == pytest.approx(cpu_s, rel=0.05)
    assert found.cost.alone_s == pytest.approx(LIST_S)
    assert found.cost.pages == 60
    for mode, predicted in found.predictions.items():
        assert abs(predicted.error) < 0.1, mode


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
        "once: 16 at a time in one process are 6.8 times as fast, 2 processes with one "
        "each 1.8 times. About 41 in flight keep one process busy; only beyond that "
        "does a second process add anything."
    )


def test_a_mode_that_is_slower_than_it_should_be_is_called_out() -> None:
    found = compared(0.2, 0.005, parallel=3.0)
    (sentence,) = found.warnings
    assert sentence.startswith("parallel took 2.7 times as long as waiting and CPU of")


def test_the_list_page_is_alone() -> None:
    _, records = crawl("serial", waiting_s=0.1, cpu_s=0.0, pages=0)
    assert model.alone(records) == ()  # nothing came after it
    _, records = crawl("serial", waiting_s=0.1, cpu_s=0.0, pages=3)
    assert model.alone(records) == (records[0],)


@pytest.mark.parametrize(
    ("speedup", "processes", "share"),
    [(2.0, 2, 0.0), (1.0, 2, 1.0), (3.2, 4, 1 / 12), (1.0, 1, None)],
)
def test_karp_flatt(speedup: float, processes: int, share: float | None) -> None:
    found = model.karp_flatt(speedup, processes)
    assert found == (None if share is None else pytest.approx(share))


def test_karp_flatt_finds_the_share_that_amdahl_was_given() -> None:
    assert model.karp_flatt(model.amdahl(0.07, 8), 8) == pytest.approx(0.07)


def test_the_tutorial_is_read_the_same_way() -> None:
    text = " ".join(tutorial.reading())
    for said in ("137.37 s", "0.59 s a page", "12.2 times", "76% of the ideal 8.59 s"):
        assert said in text
    assert "7.6 times" in text
    assert "at least 8" in text
