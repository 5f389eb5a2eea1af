"""The contracts of a frontier are small, and both frontiers keep them."""

from __future__ import annotations

import pytest

from concurcrawl.frontier.base import Frontier, ItemStore, QueueView, RequestQueue
from concurcrawl.frontier.redis.frontier import RedisFrontier
from concurcrawl.frontier.sqlite import SqliteFrontier
from concurcrawl.limits.host_limiter import HostLimiter

PARTS: list[type] = [RequestQueue, QueueView, ItemStore, HostLimiter]


def methods(contract: type) -> set[str]:
    return {name for name, value in vars(contract).items() if _is_method(name, value)}


def _is_method(name: str, value: object) -> bool:
    return callable(value) and not name.startswith("_")


@pytest.mark.parametrize("part", PARTS)
def test_a_contract_has_at_most_six_methods(part: type) -> None:
    assert 0 < len(methods(part)) <= 6


def test_the_contracts_have_no_method_in_common_and_a_frontier_has_none_besides() -> (
    None
):
    found = [name for part in PARTS for name in methods(part)]
    assert len(found) == len(set(found))
    assert methods(Frontier) == set()


@pytest.mark.parametrize("frontier", [SqliteFrontier, RedisFrontier])
def test_a_frontier_has_all_methods_of_its_own(frontier: type[Frontier]) -> None:
    assert set().union(*map(methods, PARTS)) <= methods(frontier)
