"""Limits as a site sees them: nothing of this looks into the crawl."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.crawls import MODES, Result, crawl
from tests.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")

#: What a busy machine may take from a gap: the first of two requests is on its way for
#: longer than the second. It does not add up over several gaps.
CLOCK_S = 0.05

#: When a site has just asked for a pause, a request may be on its way already.
GRACE_S = 0.05


@dataclass(frozen=True, slots=True)
class Visit:
    """A request as the site saw it."""

    host: str
    path: str
    came_s: float
    went_s: float
    status: int | None


@pytest.fixture(scope="module")
def hosts() -> Iterator[str]:
    with serving("tests.site.server", *HOSTS) as url:
        yield url


@pytest.fixture
def limited(hosts: str) -> str:
    """The URL of a site of three hosts that has seen nothing yet."""
    ask(f"{hosts}/forget")
    return hosts


def ask(url: str) -> bytes:
    with urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def seen(site: str) -> list[Visit]:
    """Return what the site was asked for, in the order of its coming."""
    return [Visit(**visit) for visit in json.loads(ask(f"{site}/log"))]


def by_host(visits: Sequence[Visit]) -> dict[str, list[Visit]]:
    found = defaultdict(list)
    for visit in visits:
        found[visit.host].append(visit)
    return found


def peak(visits: Sequence[Visit]) -> int:
    """Return the most requests at a time."""
    # Of what happens at one time, ends count first.
    changes = sorted(
        change for v in visits for change in ((v.came_s, 1), (v.went_s, -1))
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def keeps(visits: Sequence[Visit], delay_s: float, burst: int = 1) -> bool:
    """Tell whether no two requests, also not distant ones, were too near in time."""
    came = [visit.came_s for visit in visits]
    return all(
        came[j] - came[i] >= (j - i - burst + 1) * delay_s - CLOCK_S
        for i in range(len(came))
        for j in range(i + burst, len(came))
    )


def gaps(visits: Sequence[Visit]) -> list[float]:
    return [two.came_s - one.came_s for one, two in pairwise(visits)]


def settings(mode: str, **others: object) -> list[str]:
    """Return options: *mode* with plenty in flight, unless *others* say otherwise."""
    wanted = {
        "MODE": mode,
        "CONCURRENT_REQUESTS": 24,
        "CONCURCRAWL_THREADS": 24,
        "CONCURCRAWL_WORKERS": 4 if mode == "parallel" else 2,
        "RANDOMIZE_DOWNLOAD_DELAY": False,
        **others,
    }
    return [
        part for name, value in wanted.items() for part in ("-s", f"{name}={value}")
    ]


def arguments(**given: object) -> list[str]:
    return [part for name, value in given.items() for part in ("-a", f"{name}={value}")]


def finished(found: Result, count: int) -> None:
    assert found.stats.get("finish_reason") == "finished", found.log
    assert found.items.total() == count, found.log


# In flight -----------------------------------------------------------------------

#: What a mode can have in flight over all, with the settings above.
CAPACITY = {"serial": 1, "concurrent": 24, "async": 24, "parallel": 4, "hybrid": 24}


@pytest.mark.parametrize(
    ("mode", "limit", "count"),
    [
        ("serial", 1, 1),
        ("serial", 4, 3),
        ("concurrent", 1, 3),
        ("concurrent", 4, 1),
        ("concurrent", 8, 3),
        ("async", 1, 1),
        ("async", 4, 3),
        ("async", 8, 1),
        ("parallel", 1, 3),
        ("parallel", 1, 1),
        ("parallel", 4, 1),
        ("hybrid", 1, 3),
        ("hybrid", 4, 1),
        ("hybrid", 8, 3),
    ],
)
def test_a_host_never_sees_more_than_its_limit_and_all_of_it_is_used(
    mode: str, limit: int, count: int, limited: str, tmp_path: Path
) -> None:
    pages = max(4, 3 * limit)
    given = arguments(hosts=" ".join(HOSTS[:count]), pages=pages)
    chosen = settings(mode, CONCURRENT_REQUESTS_PER_DOMAIN=limit)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), pages * count)
    visits = seen(limited)
    peaks = [peak(visits) for visits in by_host(visits).values()]
    assert max(peaks) <= limit
    assert peak(visits) == min(limit * count, CAPACITY[mode])
    if limit * count <= CAPACITY[mode]:
        assert peaks == [limit] * count


@pytest.mark.parametrize("mode", MODES)
def test_all_hosts_together_never_see_more_than_the_total(
    mode: str, limited: str, tmp_path: Path
) -> None:
    totals = {"serial": 1, "concurrent": 5, "async": 6, "parallel": 3, "hybrid": 6}
    chosen = settings(
        mode, CONCURRENT_REQUESTS=6, CONCURCRAWL_THREADS=5, CONCURCRAWL_WORKERS=3
    )
    given = arguments(hosts=" ".join(HOSTS), pages=5)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 15)
    assert peak(seen(limited)) == totals[mode]


@pytest.mark.parametrize("mode", ["async", "parallel", "hybrid"])
@pytest.mark.parametrize("path", ["/away?s=0.1", "/broken?s=0.1"])
def test_redirects_and_retries_count(
    path: str, mode: str, limited: str, tmp_path: Path
) -> None:
    chosen = settings(mode, CONCURRENT_REQUESTS_PER_DOMAIN=2, RETRY_TIMES=2)
    given = arguments(path=path, pages=4)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 4)
    visits = seen(limited)
    assert len(visits) == 8
    assert peak(visits) == 2


@pytest.mark.parametrize("mode", ["async", "parallel", "hybrid"])
@pytest.mark.parametrize("limit", [2, None])
@pytest.mark.parametrize("more", ["download", "file"])
def test_what_a_callback_or_a_media_pipeline_downloads_counts(
    more: str, limit: int | None, mode: str, limited: str, tmp_path: Path
) -> None:
    chosen = settings(mode, CONCURRENT_REQUESTS=4, FILES_STORE=tmp_path / "files")
    if limit:
        chosen += ["-s", f"CONCURRENT_REQUESTS_PER_DOMAIN={limit}"]
    if more == "file":
        pipelines = {"scrapy.pipelines.files.FilesPipeline": 1}
        chosen += ["-s", f"ITEM_PIPELINES={json.dumps(pipelines)}"]
    given = arguments(hosts=" ".join(HOSTS), pages=4, more=more)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 12)
    visits = seen(limited)
    assert len(visits) == 24
    assert peak(visits) <= 4
    if limit:
        assert max(peak(visits) for visits in by_host(visits).values()) == limit


# Pace ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["async", "parallel", "hybrid"])
def test_no_two_requests_are_nearer_than_the_delay(
    mode: str, limited: str, tmp_path: Path
) -> None:
    chosen = settings(mode, DOWNLOAD_DELAY=0.2)
    given = arguments(hosts=" ".join(HOSTS[:2]), pages=8)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 16)
    for visits in by_host(seen(limited)).values():
        assert keeps(visits, 0.2)
        assert statistics.mean(gaps(visits)) < 0.3


@pytest.mark.parametrize("mode", ["async", "hybrid"])
def test_a_rate_is_kept_on_average(mode: str, limited: str, tmp_path: Path) -> None:
    chosen = settings(mode, CONCURCRAWL_RATE=10, CONCURCRAWL_BURST=4)
    finished(crawl("limited", limited, tmp_path, *chosen, *arguments(pages=20)), 20)
    visits = seen(limited)
    assert keeps(visits, 0.1, burst=4)
    assert visits[-1].came_s - visits[0].came_s < 3.2


@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_robots_txt_is_asked_once_and_its_pace_is_kept(
    mode: str, limited: str, tmp_path: Path
) -> None:
    chosen = settings(mode, ROBOTSTXT_OBEY=True)
    given = arguments(hosts=" ".join(HOSTS[1:]), pages=8)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 16)
    visits = by_host(seen(limited))
    for host in HOSTS[1:]:
        robots, *pages = visits[host]
        assert robots.path == "/robots.txt"
        assert len(pages) == 8
    assert keeps(visits["127.0.0.3"][1:], 0.2)
    assert statistics.mean(gaps(visits["127.0.0.2"][1:])) < 0.1


# Back-off ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_host_that_asks_for_a_pause_gets_it_and_another_goes_on(
    mode: str, limited: str, tmp_path: Path
) -> None:
    path = "/busy?after=1 /hang?s=0.1"
    given = arguments(hosts=" ".join(HOSTS[:2]), pages=5, path=path)
    chosen = settings(mode, CONCURRENT_REQUESTS_PER_DOMAIN=2, RETRY_TIMES=5)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 10)
    visits = by_host(seen(limited))
    refusals = [visit for visit in visits["127.0.0.1"] if visit.status == 429]
    assert len(refusals) == 5
    for refusal in refusals:
        begins_s, ends_s = refusal.went_s + GRACE_S, refusal.went_s + 1 - CLOCK_S
        during = [v for v in visits["127.0.0.1"] if begins_s < v.came_s < ends_s]
        assert during == []
    first = refusals[0].went_s
    assert any(first < visit.came_s < first + 1 for visit in visits["127.0.0.2"])


@pytest.mark.parametrize("mode", ["serial", "parallel"])
def test_a_pause_that_is_too_long_fails_what_waits_for_it(
    mode: str, limited: str, tmp_path: Path
) -> None:
    path = "/busy?after=3600 /hang?s=0.1"
    given = arguments(hosts=" ".join(HOSTS[:2]), pages=3, path=path)
    chosen = settings(mode, CONCURCRAWL_MAX_PAUSE_S=2)
    found = crawl("limited", limited, tmp_path, *chosen, *given)
    finished(found, 3)
    assert "127.0.0.1 asks for a pause of 36" in found.log
    assert "more than CONCURCRAWL_MAX_PAUSE_S=2" in found.log
    assert all(v.status == 429 for v in by_host(seen(limited))["127.0.0.1"])


# AutoThrottle --------------------------------------------------------------------


def test_autothrottle_follows_the_latency_that_all_workers_see(
    limited: str, tmp_path: Path
) -> None:
    chosen = settings(
        "parallel",
        AUTOTHROTTLE_ENABLED=True,
        AUTOTHROTTLE_START_DELAY=0.05,
        AUTOTHROTTLE_TARGET_CONCURRENCY=1,
    )
    path = "/hang?s=0.4 /hang?s=0.05"
    given = arguments(hosts=" ".join(HOSTS[:2]), pages=8, path=path)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 16)
    visits = by_host(seen(limited))
    slow, quick = (statistics.mean(gaps(visits[host])[3:]) for host in HOSTS[:2])
    assert 0.25 < slow < 0.7
    assert quick < 0.2
