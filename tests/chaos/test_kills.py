"""Some of the runs of :mod:`tests.chaos.kills`; ``make chaos`` does more."""

from __future__ import annotations

import pytest

from tests.chaos import cluster_kills
from tests.chaos.kills import DEEDS, make_plan, perform
from tests.support.crawls import MODES

SEED = 20260801
RUNS = 12


# Four parts, which processes of pytest take side by side.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(4))
def test_nothing_is_lost_or_left_whatever_is_done_to_a_crawl(
    first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = perform(SEED, range(first, RUNS, 4))
    assert failed == 0, capsys.readouterr().out


#: It restarts the scheduler, then kills a nanny.
CLUSTER_RUN = 9


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_left_when_parts_of_a_cluster_are_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = cluster_kills.perform(SEED, [CLUSTER_RUN])
    assert failed == 0, capsys.readouterr().out


def test_a_run_is_decided_by_seed_and_number() -> None:
    assert make_plan(3, 7) == make_plan(3, 7)
    assert make_plan(3, 7) != make_plan(3, 8)
    assert make_plan(4, 7) != make_plan(3, 7)


def test_all_modes_and_deeds_come_up() -> None:
    attempts = [a for n in range(200) for a in make_plan(SEED, n).attempts]
    assert {attempt.mode for attempt in attempts} == set(MODES)
    assert {deed.what for attempt in attempts for deed in attempt.deeds} == set(DEEDS)
    attempts = [a for n in range(50) for a in cluster_kills.make_plan(SEED, n).attempts]
    assert {deed.what for attempt in attempts for deed in attempt.deeds} == set(
        cluster_kills.DEEDS
    )
