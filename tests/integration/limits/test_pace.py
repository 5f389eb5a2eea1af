"""How many at a time and how fast, as a person wrote it, seen from the site."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.integration.limits.test_waits import ask, peak, setup, visits
from tests.support.crawls import crawl
from tests.support.servers.process import serving

__all__ = ["setup"]  # the fixture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def one_site() -> Iterator[str]:
    with serving("tests.support.site.server") as url:
        yield url


@pytest.mark.parametrize(
    ("spider", "options", "mode"),
    [
        ("one_at_a_time", ("-s", "CONCURRENT_REQUESTS=1"), "concurrent"),
        ("one_at_a_time", ("-s", "CONCURRENT_REQUESTS=1"), "parallel"),
        ("one_at_a_time", ("-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1"), "async"),
        ("one_at_a_time", ("-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1"), "hybrid"),
        ("one_at_a_time", ("-a", "max_concurrent_requests=1"), "async"),
        ("one_at_a_time", ("-a", "max_concurrent_requests=1"), "hybrid"),
        ("one_at_a_time_by_attribute", (), "serial"),
        ("one_at_a_time_by_attribute", (), "concurrent"),
        ("one_at_a_time_by_attribute", (), "parallel"),
    ],
)
def test_one_at_a_time_is_one_at_a_time_in_every_mode(
    spider: str, options: tuple[str, ...], mode: str, one_site: str, tmp_path: Path
) -> None:
    ask(f"{one_site}/forget")
    found = crawl(spider, one_site, tmp_path, "-s", f"MODE={mode}", *options)
    assert found.items.total() == 8
    assert peak(visits(one_site)) == 1
    assert "8 of this project holds it back" not in found.log


@pytest.mark.parametrize("mode", ["concurrent", "async", "hybrid"])
def test_answers_that_are_not_to_adjust_a_delay_do_not(
    mode: str, one_site: str, tmp_path: Path
) -> None:
    ask(f"{one_site}/forget")
    found = crawl("looks_away", one_site, tmp_path, "-s", f"MODE={mode}")
    assert found.items.total() == 7
    came = sorted(visit["came_s"] for visit in visits(one_site))[1:]
    gaps = [later - earlier for earlier, later in pairwise(came)]
    # With the 3 s of the first page the first gaps would be seconds.
    assert sum(gaps) < 2.5


@pytest.mark.parametrize(
    ("spider", "setup"),
    [
        ("slowed_by_middleware", "concurrent"),
        ("slowed_by_middleware", "parallel"),
        ("slowed_by_middleware", "hybrid over Redis"),
        ("slowed_by_extension", "async"),
        ("slowed_by_extension", "hybrid"),
        ("slowed_by_extension", "serial in JOBDIR"),
    ],
    indirect=["setup"],
)
def test_a_delay_that_is_written_to_a_slot_counts_from_the_next_request(
    spider: str, setup: list[str], one_site: str, tmp_path: Path
) -> None:
    ask(f"{one_site}/forget")
    found = crawl(spider, one_site, tmp_path, *setup, "-s", "CONCURRENT_REQUESTS=1")
    assert found.items.total() == 7
    assert "Traceback" not in found.log
    came = sorted(visit["came_s"] for visit in visits(one_site))
    # Of the first some are asked for before the first response is looked at.
    gaps = [later - earlier for earlier, later in pairwise(came[3:])]
    assert min(gaps) > 0.3  # 0.5 s when they were sent


@pytest.mark.parametrize(
    "setup", ["async", "hybrid", "hybrid over Redis"], indirect=True
)
def test_a_slot_that_a_middleware_chooses_has_a_pace_of_its_own(
    setup: list[str], one_site: str, tmp_path: Path
) -> None:
    # With the minute that is between two requests of the host it would never end.
    found = crawl("grouped", one_site, tmp_path, *setup)
    assert found.items.total() == 7
    assert "Traceback" not in found.log


@pytest.mark.parametrize("setup", ["concurrent", "hybrid"], indirect=True)
def test_a_slot_of_scrapys_own_that_an_extension_puts_in_counts(
    setup: list[str], one_site: str, tmp_path: Path
) -> None:
    ask(f"{one_site}/forget")
    found = crawl("single", one_site, tmp_path, *setup)
    assert found.items.total() == 7
    assert peak(visits(one_site)) == 1


@pytest.mark.parametrize(
    "setup",
    ["serial", "async", "parallel", "serial in JOBDIR", "hybrid over Redis"],
    indirect=True,
)
def test_the_scheduler_is_empty_when_nothing_waits_for_a_delay(
    setup: list[str], one_site: str, tmp_path: Path
) -> None:
    found = crawl("lazy", one_site, tmp_path, *setup)
    assert found.stats["finish_reason"] == "enough"
    assert found.items.total() == 12
    waited = re.findall(r"(\d+) requests wait", found.log)
    assert len(waited) >= 3
    assert set(waited) == {"0"}
