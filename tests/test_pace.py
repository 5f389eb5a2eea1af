"""How many at a time and how fast, as a person wrote it, seen from the site."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.crawls import MODES, crawl
from tests.servers.process import serving
from tests.test_waits import ask, peak, visits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def one_site() -> Iterator[str]:
    with serving("tests.site.server") as url:
        yield url


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("spider", "options"),
    [
        ("one_at_a_time", ("-s", "CONCURRENT_REQUESTS=1")),
        ("one_at_a_time", ("-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1")),
        ("one_at_a_time", ("-a", "max_concurrent_requests=1")),
        ("one_at_a_time_by_attribute", ()),
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


@pytest.mark.parametrize("mode", MODES)
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
