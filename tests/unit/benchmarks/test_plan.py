from __future__ import annotations

import argparse

from benchmarks.runner import options, plan, workloads


def asked(*words: str) -> options.Options:
    parser = argparse.ArgumentParser()
    options.configure(parser)
    return options.read(parser.parse_args(words))


def most_s(wanted: options.Options) -> float:
    return sum(plan.seconds(group)[1] for group in plan.in_turns(wanted.workloads))


def test_the_quick_set_is_planned_for_six_minutes_and_the_whole_for_thirty() -> None:
    quick, whole = asked("--quick"), asked()
    assert not quick.frontier
    # On machines half as fast, too.
    assert 2 * (most_s(quick) + 8) <= 6 * 60
    assert most_s(whole) + 8 + 100 <= 30 * 60
    assert len(quick.workloads) < len(whole.workloads)


def test_only_workloads_that_are_compared_take_turns() -> None:
    together = [[w.name for w in group] for group in plan.in_turns(workloads.WORKLOADS)]
    assert [names for names in together if len(names) > 1] == [
        ["throughput", "https"],
        ["hosts-2000", "hosts-10"],
        ["growth-1000", "growth-100000"],
        ["waiting-0", "waiting-1000000"],
        ["broad", "broad-10"],
    ]
    assert [name for names in together for name in names] == [*workloads.BY_NAME]


def test_fewer_pages_and_contenders_take_less_in_the_plan() -> None:
    whole = asked("--workloads", "small", "--rounds", "4")
    few = asked(
        *("--workloads", "small", "--rounds", "4", "--pages", "1000"),
        *("--contenders", "hybrid"),
    )
    assert most_s(few) < most_s(whole) / 10
    *parts, last = plan.lines(few)
    assert parts == ["plan: small: 4 rounds, 5 s"]
    assert last == "plan: 5 s in all on two quiet cores"
    assert plan.lines(asked("--workloads", "none")) == []


def test_rounds_are_as_many_as_are_asked_for_or_until_it_is_precise() -> None:
    (fixed,) = asked("--workloads", "small", "--rounds", "2").workloads
    (free,) = asked("--workloads", "small").workloads
    assert (fixed.rounds, fixed.is_fixed) == (2, True)
    assert (free.rounds, free.is_fixed) == (3, False)
    assert "3 rounds or more" in plan.lines(asked("--workloads", "small"))[0]
