from __future__ import annotations

import pytest

from concurcrawl.tools.testsite.counts import Arrival, SeenCounts, from_json, to_json


def test_peak_in_flight_is_the_most_at_once() -> None:
    tally = SeenCounts(0)
    visits = [tally.arrived(Arrival(now)) for now in (0.0, 0.1, 0.2)]
    tally.left(visits[0], 0.2, 10)
    tally.left(visits[1], 0.2, 5)
    tally.arrived(Arrival(0.3))

    counts = tally.counts(0)

    assert (counts.peak_in_flight, counts.in_flight) == (3, 2)
    assert counts.sent_bytes == 15


def test_the_second_slides() -> None:
    tally = SeenCounts(0)
    for now in (0.5, 0.95, 1.0, 1.05, 1.2, 1.9, 5.0):
        tally.arrived(Arrival(now))

    assert tally.counts(0).peak_per_second == 5  # 0.95 ... 1.9; calendar: 4


def test_pages_agents_statuses_and_faults_are_told_apart() -> None:
    tally = SeenCounts(0)
    for agent, page, status, fault in (
        ("a", "/wiki/Peru", 200, None),
        ("b", "/wiki/Peru", 200, "slow"),
        ("a", None, 404, None),
        ("a", None, None, "garbage"),
    ):
        seen = tally.arrived(Arrival(0, agent=agent, page=page))
        tally.answered(seen, status, is_page=page is not None, fault=fault)

    counts = tally.counts(0)

    assert (counts.requests, counts.pages, counts.paths) == (4, 2, 1)
    assert counts.agents == {"a": 3, "b": 1}
    assert counts.statuses == {"200": 2, "404": 1}
    assert counts.faults == {"slow": 1, "garbage": 1}


def test_hosts_are_told_apart() -> None:
    tally = SeenCounts(0)
    for now, name in ((0.0, "a"), (0.2, "b"), (0.5, "a"), (0.6, "a")):
        seen = tally.arrived(Arrival(now, name))
        if name == "a" and now < 0.6:
            seen.host.paused(now, now + 0.3)
        if now == 0.5:
            tally.left(seen, 0.55, 0)

    counts = tally.counts(0)

    assert counts.peak_in_flight == 3
    assert counts.peak_in_flight_by_host == {"a": 2, "b": 1}
    assert counts.min_gap_s == {"a": pytest.approx(0.1)}
    assert counts.during_pause == {"a": 1, "b": 0}


def test_a_reset_keeps_only_what_is_under_way() -> None:
    tally = SeenCounts(1.0)
    visits = [tally.arrived(Arrival(0, host, "a", page="/wiki/Peru")) for host in "abb"]
    for seen in visits[:2]:
        tally.left(seen, 0, 7)

    tally.reset(3.0)
    counts = tally.counts(3.5)

    assert (counts.requests, counts.paths, counts.sent_bytes) == (0, 0, 0)
    assert (counts.in_flight, counts.peak_in_flight) == (1, 1)
    assert counts.peak_in_flight_by_host == {"b": 1}
    assert counts.cpu_s == 0.5


@pytest.mark.parametrize("agent", ["Bot/1.0 (+mailto:a@example.org)", "ç", "\udcff"])
def test_counts_survive_json(agent: str) -> None:
    tally = SeenCounts(0)
    tally.arrived(Arrival(0, agent=agent, page="/wiki/Curaçao"))
    counts = tally.counts(0.25)

    assert from_json(to_json(counts).encode()) == counts


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"requests": 1}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not the test site's counts|^Expecting"):
        from_json(text)
