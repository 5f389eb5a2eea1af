"""What is going to be run, and how long that will take. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.runner import workloads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.runner.options import Options
    from benchmarks.runner.workloads import Workload

_WARM_UP_S = 1.0  # of each contender
_IMPORTS_S = 8.0
_FRONTIER_S = 100.0


def in_turns(workloads: Iterable[Workload]) -> list[list[Workload]]:
    """Return *workloads* in their order, but each with those it takes turns with."""
    groups: dict[str, list[Workload]] = {}
    for workload in workloads:
        groups.setdefault(workload.turns or workload.name, []).append(workload)
    return list(groups.values())


def seconds(together: Sequence[Workload]) -> tuple[float, float]:
    """Return what workloads that take turns will take at least and at most.

    On two quiet cores: they are estimates, and on other machines they are wrong.
    """
    rounds = max(workload.rounds for workload in together)
    round_s = sum(workload.round_s for workload in together)
    names = {name for one in together for name in (*one.contenders, *one.once)}
    once_s = sum(workload.once_s for workload in together) + len(names) * _WARM_UP_S
    least_s = once_s + rounds * round_s
    if any(workload.is_fixed for workload in together):
        return least_s, least_s
    # The budget has those that run once in it, and no round begins that would break it.
    budget_s = sum(workload.budget_s for workload in together)
    return least_s, max(least_s, budget_s + len(names) * _WARM_UP_S)


def lines(options: Options) -> list[str]:
    """Return the plan, with what each part and all of it will take."""
    found = []
    least_s = most_s = 0.0
    for together in in_turns(options.workloads):
        few_s, many_s = seconds(together)
        names = " and ".join(workload.name for workload in together)
        rounds = max(workload.rounds for workload in together)
        more = "" if few_s == many_s else " or more"
        found.append(f"plan: {names}: {rounds} rounds{more}, {_span(few_s, many_s)}")
        least_s, most_s = least_s + few_s, most_s + many_s
    for name, is_wanted, time_s in (
        (workloads.IMPORTS, options.imports, _IMPORTS_S),
        (workloads.FRONTIER, options.frontier, _FRONTIER_S),
    ):
        if is_wanted:
            found.append(f"plan: {name}: {_span(time_s, time_s)}")
            least_s, most_s = least_s + time_s, most_s + time_s
    if found:
        found.append(f"plan: {_span(least_s, most_s)} in all on two quiet cores")
    return found


def _span(least_s: float, most_s: float) -> str:
    few, many = _words(least_s), _words(most_s)
    return few if few == many else f"{few} to {many}"


def _words(time_s: float) -> str:
    if time_s < 90:
        return f"{math.ceil(time_s)} s"
    return f"{time_s / 60:.0f} min"
