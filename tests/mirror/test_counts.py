from __future__ import annotations

import pytest

from concurcrawl.mirror.counts import Tally, from_json, to_json


def test_peak_in_flight_is_the_most_at_once() -> None:
    tally = Tally(0)
    for now in (0.0, 0.1, 0.2):
        tally.arrived(now, "a", None)
    tally.left(10)
    tally.left(5)
    tally.arrived(0.3, "a", None)

    counts = tally.counts(0)

    assert (counts.peak_in_flight, counts.in_flight) == (3, 2)
    assert counts.sent_bytes == 15


def test_the_second_slides() -> None:
    tally = Tally(0)
    for now in (0.5, 0.95, 1.0, 1.05, 1.2, 1.9, 5.0):
        tally.arrived(now, "a", None)

    assert tally.counts(0).peak_per_second == 5  # 0.95 ... 1.9; calendar: 4


def test_pages_agents_and_statuses_are_told_apart() -> None:
    tally = Tally(0)
    for agent, page, status in (
        ("a", "/wiki/Peru", 200),
        ("b", "/wiki/Peru", 200),
        ("a", None, 404),
    ):
        tally.arrived(0, agent, page)
        tally.answered(status, is_page=page is not None)

    counts = tally.counts(0)

    assert (counts.requests, counts.pages, counts.paths) == (3, 2, 1)
    assert counts.agents == {"a": 2, "b": 1}
    assert counts.statuses == {"200": 2, "404": 1}


def test_a_reset_keeps_only_what_is_under_way() -> None:
    tally = Tally(1.0)
    for _ in range(2):
        tally.arrived(0, "a", "/wiki/Peru")
    tally.left(7)

    tally.reset(3.0)
    counts = tally.counts(3.5)

    assert (counts.requests, counts.paths, counts.sent_bytes) == (0, 0, 0)
    assert (counts.in_flight, counts.peak_in_flight) == (1, 1)
    assert counts.cpu_s == 0.5


def test_counts_survive_json() -> None:
    tally = Tally(0)
    tally.arrived(0, "Bot/1.0 (+mailto:a@example.org)", "/wiki/Curaçao")
    counts = tally.counts(0.25)

    assert from_json(to_json(counts)) == counts


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"requests": 1}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not the mirror's counts|^Expecting"):
        from_json(text)
