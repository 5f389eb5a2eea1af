"""Each plugin in every mode: as in plain Scrapy, refused, or named at the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugins.cases import CASES, Case
from tests.plugins.running import Outcome, Servers
from tests.plugins.verdicts import AsPlain, Named, Refused
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.servers.redis import RedisServer

PROJECT = Path(__file__).parent / "project"

BY_NAME = {case.name: case for case in CASES}

#: One test process has all of a case, so that plain Scrapy runs once for it.
CELLS = [
    pytest.param(
        case,
        setup,
        id=f"{case.name}-{setup.replace(' ', '')}",
        marks=pytest.mark.xdist_group(case.plain or case.name),
    )
    for case in CASES
    for setup in case.crawled
]


@pytest.fixture(scope="session")
def shop() -> Iterator[str]:
    with serving("tests.plugins.site") as url:
        yield url


@pytest.fixture
def servers(shop: str, redis_frontiers: RedisServer) -> Servers:
    return Servers(PROJECT, shop, redis_frontiers)


@pytest.fixture(scope="session")
def plain(
    tmp_path_factory: pytest.TempPathFactory, shop: str, _one_redis: RedisServer
) -> Callable[[Case], Outcome]:
    """What came of a case in plain Scrapy, which is crawled once."""
    known: dict[str, Outcome] = {}
    servers = Servers(PROJECT, shop, _one_redis)

    def run(case: Case) -> Outcome:
        name = case.plain or case.name
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            known[name] = servers.run(BY_NAME[name], "", folder)
        return known[name]

    return run


@pytest.mark.parametrize(("case", "setup"), CELLS)
def test_a_plugin_is_in_effect_or_named(
    case: Case,
    setup: str,
    servers: Servers,
    plain: Callable[[Case], Outcome],
    tmp_path: Path,
) -> None:
    found = servers.run(case, setup, tmp_path)
    assert not found.left, found.log
    match case.verdict(setup):
        case AsPlain():
            expected = plain(case)
            assert expected.visits, expected.log
            assert expected.exit_code == 0, expected.log
            assert found.comparable() == expected.comparable(), found.log
            # Load may bring two requests closer together, but never all of them.
            assert found.span_s >= case.span_s
        case Refused(part):
            assert found.exit_code == 1, found.log
            assert part in found.log
            assert not found.visits
        case Named(part):
            assert found.exit_code == 0, found.log
            warnings = [line for line in found.log.splitlines() if "WARNING" in line]
            assert len([line for line in warnings if part in line]) == 1, found.log
            assert found.visits
