from __future__ import annotations

import pytest

from benchmarks.runner.noise import Look, between, is_noisy, look, parse

STAT = """\
cpu  200 50 100 9000 40 5 5 80 7 7
cpu0 100 25 50 4500 20 2 3 40 0 0
cpu1 100 25 50 4500 20 3 2 40 0 0
intr 5 0
ctxt 5000
btime 1700000000
"""


def seen(text: str = STAT, *, when_s: float = 0.0, own_cpu_s: float = 0.0) -> Look:
    return parse(text, ticks_per_s=100, when_s=when_s, own_cpu_s=own_cpu_s)


def test_the_counters_of_the_machine_are_read() -> None:
    found = seen()
    assert found.busy_s == pytest.approx(3.6)  # guests are in user already
    assert found.stolen_s == pytest.approx(0.8)
    assert (found.cpus, found.switches) == (2, 5000)


def test_what_is_neither_ours_nor_the_contenders_is_others() -> None:
    later = STAT.replace("cpu  200", "cpu  900").replace(" 80 7", " 120 7")
    later = later.replace("5000", "7000")
    noise = between(
        seen(), seen(later, when_s=10.0, own_cpu_s=1.0), known_s=4.0, load=1.5
    )
    assert noise is not None
    assert noise.others_share == pytest.approx((7.0 - 4.0 - 1.0) / 20)
    assert noise.steal_share == pytest.approx(0.4 / 20)
    assert (noise.load, noise.switches_per_s) == (1.5, 200)


def test_less_than_nothing_is_nothing() -> None:
    noise = between(seen(), seen(when_s=1.0), known_s=0.5, load=0.0)
    assert noise is not None
    assert noise.others_share == 0


def test_a_machine_that_tells_nothing_is_not_noisy() -> None:
    assert between(None, seen(), known_s=0.0, load=0.0) is None
    assert not is_noisy(None)
    assert not is_noisy(0.04)
    assert is_noisy(0.05)


def test_this_machine_can_be_read() -> None:
    first, second = look(), look()
    assert first is not None
    assert second is not None
    assert first.cpus >= 1
    assert second.switches >= first.switches
