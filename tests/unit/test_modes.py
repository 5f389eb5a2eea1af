from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurcrawl.config import Config
from concurcrawl.cpus import usable_cpus
from concurcrawl.modes import (
    LOOP_HANDLER,
    SPARE_THREADS,
    THREADED_HANDLER,
    Mode,
    Plan,
    bound,
    hindrance,
    limits_of_a_site,
    plan,
    pool_threads,
)

CONFIG = Config(workers=3, threads=5)
MODES = list(Mode)


def planned(mode: Mode, requests: int = 16, config: Config = CONFIG) -> Plan:
    return plan(mode, config, concurrent_requests=requests)


def sentence(
    mode: Mode = Mode.ASYNC,
    *,
    requests: int = 16,
    delay_s: float = 0,
    per_domain: int = 0,
    throttled: bool = False,
) -> str | None:
    found = planned(mode, requests)
    limits = limits_of_a_site(
        found, delay_s=delay_s, per_domain=per_domain, throttled=throttled
    )
    return hindrance(found, limits)


@pytest.mark.parametrize(
    ("mode", "requests", "slots", "in_flight"),
    [
        (Mode.SERIAL, 16, (1,), 1),
        (Mode.SERIAL, 0, (1,), 1),
        (Mode.CONCURRENT, 16, (5,), 5),
        (Mode.CONCURRENT, 0, (5,), 5),
        (Mode.ASYNC, 16, (16,), 16),
        (Mode.ASYNC, 0, (0,), 0),
        (Mode.PARALLEL, 16, (1, 1, 1), 3),
        (Mode.PARALLEL, 0, (1, 1, 1), 3),
        (Mode.HYBRID, 16, (6, 5, 5), 16),
        (Mode.HYBRID, 2, (1, 1), 2),
        (Mode.HYBRID, 0, (5, 5, 5), 15),
    ],
)
def test_a_mode_is_how_many_processes_have_how_many_in_flight(
    mode: Mode, requests: int, slots: tuple[int, ...], in_flight: int
) -> None:
    found = planned(mode, requests)
    assert (found.mode, found.slots, found.in_flight) == (mode, slots, in_flight)
    assert found.settings["CONCURRENT_REQUESTS"] == in_flight


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("requests", [1, 2, 4])
def test_a_number_that_a_person_wrote_is_the_most_in_every_mode(
    mode: Mode, requests: int
) -> None:
    found = plan(mode, CONFIG, concurrent_requests=requests, is_bound=True)
    assert found.in_flight <= requests
    assert min(found.slots) >= 1
    named = bound(found)
    is_held_back = planned(mode, requests).in_flight > requests
    assert (named is not None) is is_held_back


def test_what_holds_a_mode_back_in_all_is_named() -> None:
    found = plan(Mode.CONCURRENT, CONFIG, concurrent_requests=1, is_bound=True)
    assert bound(found) == (
        "MODE=concurrent could have 5 requests in flight, but CONCURRENT_REQUESTS=1 of "
        "this project limits it; that is kept. To allow more, change it there."
    )


def test_without_a_number_parallel_has_a_process_for_each_usable_cpu() -> None:
    assert planned(Mode.PARALLEL, config=Config()).slots == (1,) * usable_cpus()


@given(requests=st.integers(1, 500), workers=st.integers(1, 50))
def test_hybrid_divides_all_requests_evenly_and_starts_no_idle_process(
    requests: int, workers: int
) -> None:
    slots = planned(Mode.HYBRID, requests, Config(workers=workers)).slots
    assert sum(slots) == requests
    assert len(slots) == min(requests, workers)
    assert min(slots) >= 1
    assert max(slots) - min(slots) <= 1


@pytest.mark.parametrize("mode", MODES)
def test_modes_with_many_in_flight_download_with_libcurl(
    mode: Mode,
) -> None:
    handlers = planned(mode).settings.get("DOWNLOAD_HANDLERS")
    of_modes = {
        "concurrent": THREADED_HANDLER,
        "async": LOOP_HANDLER,
        "hybrid": LOOP_HANDLER,
    }
    handler = of_modes.get(mode)
    assert handlers == (handler and {"http": handler, "https": handler})
    assert mode.has_curl == (mode in of_modes)


@pytest.mark.parametrize("mode", MODES)
def test_modes_with_workers_have_a_supervisor(mode: Mode) -> None:
    settings = planned(mode).settings
    supervised = [
        name for name, value in settings.items() if "concurcrawl.workers" in str(value)
    ]
    expected = ["DOWNLOADER", "SCHEDULER"] if mode in ("parallel", "hybrid") else []
    assert sorted(supervised) == expected
    assert mode.has_workers == bool(expected)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_takes_its_requests_from_the_frontier(mode: Mode) -> None:
    assert planned(mode).settings["SCHEDULER"].startswith("concurcrawl.")


@pytest.mark.parametrize(
    ("mode", "slots", "threads"),
    [
        (Mode.SERIAL, 1, 0),
        (Mode.ASYNC, 16, 16 + SPARE_THREADS),
        (Mode.PARALLEL, 1, 0),
        (Mode.CONCURRENT, 5, 5 + SPARE_THREADS),
        (Mode.HYBRID, 8, 8 + SPARE_THREADS),
        (Mode.HYBRID, 0, 5 + SPARE_THREADS),
    ],
)
def test_a_pool_has_a_thread_for_each_download_and_some_to_spare(
    mode: Mode, slots: int, threads: int
) -> None:
    assert pool_threads(mode, slots, CONFIG) == threads


def test_a_limit_that_holds_a_mode_back_is_named() -> None:
    assert sentence(per_domain=1) == (
        "MODE=async could have 16 requests in flight, but "
        "CONCURRENT_REQUESTS_PER_DOMAIN=1 of this project holds it back on each site; "
        "that is kept. If the site allows more, change it there."
    )


def test_all_that_hold_a_mode_back_are_named_together() -> None:
    found = sentence(Mode.PARALLEL, per_domain=2, delay_s=0.5, throttled=True)
    assert found == (
        "MODE=parallel could have 3 requests in flight, but "
        "CONCURRENT_REQUESTS_PER_DOMAIN=2 and DOWNLOAD_DELAY=0.5 and "
        "AUTOTHROTTLE_ENABLED=True of this project holds it back on each site; that is "
        "kept. If the site allows more, change it there."
    )


def test_any_limit_holds_back_what_has_none() -> None:
    found = sentence(requests=0, per_domain=1000)
    assert found is not None
    assert found.startswith(
        "MODE=async could have any number of requests in flight, but "
        "CONCURRENT_REQUESTS_PER_DOMAIN=1000 of this project"
    )


@pytest.mark.parametrize("polite", [{}, {"per_domain": 16}, {"per_domain": 17}])
def test_a_limit_that_holds_nothing_back_is_not_named(polite: dict[str, Any]) -> None:
    assert sentence(**polite) is None


def test_nothing_holds_serial_back() -> None:
    assert sentence(Mode.SERIAL, per_domain=1, delay_s=9, throttled=True) is None
