from __future__ import annotations

import pytest

from concurcrawl.tools.testsite.hosts import GRACE_S, HostTally, host_name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.2:8080", "127.0.0.2"),
        ("127.0.0.2", "127.0.0.2"),
        ("LocalHost:80", "localhost"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("", ""),
    ],
)
def test_a_host_is_named_without_its_port(header: str, name: str) -> None:
    assert host_name(header) == name


def test_the_shortest_gap_is_kept() -> None:
    host = HostTally()
    host.arrived(1.0)
    assert host.min_gap_s is None
    for now_s in (3.0, 3.5, 5.0):
        host.arrived(now_s)

    assert host.min_gap_s == 0.5


def test_the_peak_is_the_most_at_once() -> None:
    host = HostTally()
    for now_s in (1.0, 2.0):
        host.arrived(now_s)
    host.left()
    host.arrived(3.0)

    assert (host.in_flight, host.peak_in_flight) == (2, 2)


@pytest.mark.parametrize(
    ("arrival_s", "counted"),
    [
        (10.0 + GRACE_S - 0.01, 0),  # it was on its way
        (10.0 + GRACE_S + 0.01, 1),
        (11.9, 1),
        (12.0, 0),  # it is over
        (13.0, 0),
    ],
)
def test_who_comes_during_a_pause_is_counted(arrival_s: float, counted: int) -> None:
    host = HostTally()
    host.paused(10.0, 12.0)
    host.arrived(arrival_s)

    assert host.during_pause == counted


def test_pauses_overlap() -> None:
    host = HostTally()
    host.paused(10.0, 20.0)
    host.paused(11.0, 12.0)
    for arrival_s in (11.5, 15.0, 19.0, 21.0):
        host.arrived(arrival_s)

    assert host.during_pause == 3  # each once


def test_a_reset_forgets_pauses_and_gaps_but_not_who_is_there() -> None:
    host = HostTally()
    host.arrived(9.0)
    host.arrived(9.5)
    host.paused(10.0, 20.0)
    host.reset()
    host.arrived(15.0)

    assert host.min_gap_s is None
    assert host.during_pause == 0
    assert (host.in_flight, host.peak_in_flight) == (3, 3)
