from __future__ import annotations

import pytest

from concurcrawl.tools.testsite.counts import Arrival, SeenCounts
from concurcrawl.tools.testsite.log import LogEntry, RequestLog, from_json_lines


def test_an_entry_tells_a_request_from_its_arrival_to_its_end() -> None:
    log = RequestLog()
    tally = SeenCounts(0, log)
    first = tally.arrived(Arrival(1.0, "a", "Bot/1.0", "/wiki/Peru?x", "/wiki/Peru"))
    second = tally.arrived(Arrival(1.5, "b", "Bot/1.0", "/nothing"))
    tally.answered(second, 404, fault=None)
    tally.left(second, 2.0, 10)
    tally.answered(first, 429, fault="429")

    assert from_json_lines(log.to_json_lines()) == [
        LogEntry(
            t=1.0, done=None, path="/wiki/Peru?x", group="a", agent="Bot/1.0",
            status=429, fault="429", in_flight_at_arrival=1,
        ),
        LogEntry(
            t=1.5, done=2.0, path="/nothing", group="b", agent="Bot/1.0",
            status=404, fault=None, in_flight_at_arrival=2,
        ),
    ]  # fmt: skip


def test_the_oldest_make_room() -> None:
    log = RequestLog(most=3)
    tally = SeenCounts(0, log)
    for number in range(5):
        tally.arrived(Arrival(float(number)))

    assert [entry.t for entry in from_json_lines(log.to_json_lines())] == [2, 3, 4]


def test_an_endless_path_is_cut() -> None:
    log = RequestLog()
    SeenCounts(0, log).arrived(Arrival(0, path="/" * 10_000, agent="x" * 10_000))

    (entry,) = from_json_lines(log.to_json_lines())
    assert len(entry.path) == len(entry.agent) == 500


def test_a_reset_empties_it() -> None:
    log = RequestLog()
    tally = SeenCounts(0, log)
    tally.arrived(Arrival(0))
    tally.reset(0)

    assert log.to_json_lines() == ""


@pytest.mark.parametrize("agent", ["Curaçao", "\udcff", "a\u2028b", '"\n'])
def test_any_text_of_a_header_survives(agent: str) -> None:
    log = RequestLog()
    SeenCounts(0, log).arrived(Arrival(0, agent=agent))

    (entry,) = from_json_lines(log.to_json_lines().encode().decode())
    assert entry.agent == agent


@pytest.mark.parametrize("text", ["[]", "{}", "1", '{"t": 1}', "no log"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not the test site's log|^Expecting"):
        from_json_lines(text)
