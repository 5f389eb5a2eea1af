"""Limits as a site sees them: nothing of this looks into the crawl."""

from __future__ import annotations

import json
import signal
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.support.crawls import DEADLINE_S, Crawl, Result, crawl, crawling
from tests.support.servers.process import serving
from tests.support.servers.stopwatch import CRAWL_DELAY_S, PAUSE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.servers.redis import RedisServer

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")

#: What the clock of the system may be off over a gap, being set right by the network's.
#: Nothing else: requests are timed where they are received, and a crawl counts from
#: when they were sent.
CLOCK_S = 0.001

#: When a site has just asked for a pause, a request may be on its way already. And this
#: site says when it asked by a clock that a busy machine may stop for a moment.
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
    with serving("tests.support.site.server", *HOSTS) as url:
        yield url


@pytest.fixture
def limited(hosts: str) -> str:
    """The URL of a site of five hosts that has seen nothing yet."""
    ask(f"{hosts}/forget")
    return hosts


@pytest.fixture(scope="module")
def watches() -> Iterator[str]:
    with serving("tests.support.servers.stopwatch", *HOSTS) as url:
        yield url


@pytest.fixture
def timed(watches: str) -> str:
    """The URL of a site that times each request where it is received."""
    ask(f"{watches}/forget")
    return watches


def ask(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
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


def shortfall_s(visits: Sequence[Visit], delay_s: float, burst: int = 1) -> float:
    """Return how much too near two requests were, also distant ones; 0 if none."""
    came = [visit.came_s for visit in visits]
    return max(
        0.0,
        *(
            (j - i - burst + 1) * delay_s - (came[j] - came[i])
            for i in range(len(came))
            for j in range(i + burst, len(came))
        ),
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


@dataclass(frozen=True, slots=True)
class Line:
    """Requests that share a limit.

    Attributes:
        hosts: Whom they are for.
        limit: How many there may be at a time.
    """

    hosts: tuple[str, ...]
    limit: int

    def path(self, total: int, pages: int, last: int) -> str:
        """Return a page that is answered only when no more may be there.

        Then one is let go, the oldest. So a crawl comes to its end only if it uses all
        of its limit, all the time.

        Args:
            total: How many may be there on all lines.
            pages: How many will come for each host.
            last: For how many of all lines that need not hold at the end.
        """
        query = f"line={'-'.join(self.hosts)}&limit={self.limit}&total={total}"
        return f"/full?{query}&pages={pages * len(self.hosts)}&last={last}"


def crawled_in_lines(
    lines: Sequence[Line], mode: str, total: int, site: str, tmp_path: Path
) -> list[Visit]:
    """Crawl, and see that each line was always full and never more than that."""
    pages = max(line.limit for line in lines) + 4
    places = [(host, line) for line in lines for host in line.hosts]
    groups = {"-".join(line.hosts): line.hosts for line in lines if line.hosts[1:]}
    slots = {
        line.hosts[0]: {"concurrency": line.limit}
        for line in lines
        if not line.hosts[1:]
    }
    chosen = settings(
        mode,
        CONCURRENT_REQUESTS=total,
        CONCURCRAWL_THREADS=total,
        CONCURCRAWL_WORKERS=total if mode == "parallel" else 2,
        CONCURRENT_REQUESTS_PER_DOMAIN=4,
        CONCURCRAWL_HOST_GROUPS=json.dumps(groups),
        DOWNLOAD_SLOTS=json.dumps(slots),
        RETRY_ENABLED=False,
    )
    total = 1 if mode == "serial" else total
    # A worker that has one in flight may have been lent another, of another line. That
    # one waits though its site could be asked: of several lines none need be full then.
    last = 1_000_000 if mode == "parallel" and lines[1:] else 0
    given = arguments(
        hosts=" ".join(host for host, _ in places),
        path=" ".join(line.path(total, pages, last) for _, line in places),
        pages=pages,
    )
    found = crawl("limited", site, tmp_path, *chosen, *given)
    visits = seen(site)
    assert {visit.status for visit in visits} == {200}, "a line was not full"
    finished(found, pages * len(places))
    assert peak(visits) <= total
    for line in lines:
        own = [visit for visit in visits if visit.host in line.hosts]
        assert peak(own) <= line.limit
        if total >= sum(line.limit for line in lines):
            assert peak(own) == line.limit
    return visits


@pytest.mark.parametrize(
    ("mode", "total"),
    [("serial", 8), ("concurrent", 17), ("async", 17), ("parallel", 5), ("hybrid", 17)],
)
def test_no_group_of_hosts_sees_more_than_its_limit_and_all_of_it_is_used(
    mode: str, total: int, limited: str, tmp_path: Path
) -> None:
    lines = [
        Line(HOSTS[:1], 1),
        Line(HOSTS[1:2], 4),
        Line(HOSTS[2:3], 8),
        Line(HOSTS[3:5], 4),
    ]
    crawled_in_lines(lines, mode, total, limited, tmp_path)


@pytest.mark.parametrize(
    ("mode", "limit", "total"), [("async", 8, 9), ("async", 8, 6), ("parallel", 4, 5)]
)
def test_one_host_alone_is_asked_as_much_as_limit_and_total_allow(
    mode: str, limit: int, total: int, limited: str, tmp_path: Path
) -> None:
    visits = crawled_in_lines([Line(HOSTS[:1], limit)], mode, total, limited, tmp_path)
    assert peak(visits) == min(limit, total)


@pytest.mark.parametrize("mode", ["async", "hybrid"])
def test_redirects_and_retries_count(mode: str, limited: str, tmp_path: Path) -> None:
    chosen = settings(mode, CONCURRENT_REQUESTS_PER_DOMAIN=2, RETRY_TIMES=2)
    given = arguments(
        hosts=" ".join(HOSTS[:2]), path="/away?s=0.1 /broken?s=0.1", pages=4
    )
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 8)
    for visits in by_host(seen(limited)).values():
        assert len(visits) == 8
        assert peak(visits) == 2


FILES = "scrapy.pipelines.files.FilesPipeline"


@pytest.mark.parametrize(
    ("mode", "moved"), [("async", ""), ("parallel", ""), ("hybrid", FILES)]
)
def test_what_a_callback_or_a_media_pipeline_downloads_counts(
    mode: str, moved: str, limited: str, tmp_path: Path
) -> None:
    chosen = settings(
        mode,
        CONCURCRAWL_WORKER_PIPELINES=moved,
        CONCURRENT_REQUESTS=4,
        FILES_STORE=tmp_path / "files",
        DOWNLOAD_SLOTS=json.dumps({HOSTS[0]: {"concurrency": 2}}),
        ITEM_PIPELINES=json.dumps({FILES: 1}),
    )
    given = arguments(hosts=" ".join(HOSTS[:3]), pages=4, more="download file")
    found = crawl("limited", limited, tmp_path, *chosen, *given)
    finished(found, 12)
    assert found.stats["file_count"] == found.stats["file_status_count/downloaded"] == 6
    assert len([*(tmp_path / "files" / "full").iterdir()]) == 6
    visits = seen(limited)
    assert len(visits) == 24
    assert peak(visits) <= 4
    assert peak(by_host(visits)[HOSTS[0]]) == 2


# Pace ----------------------------------------------------------------------------

DELAY_S, RATE, BURST = 0.3, 10, 4


@pytest.mark.parametrize("mode", ["serial", "concurrent", "async", "hybrid"])
def test_no_two_requests_are_nearer_than_delay_rate_and_crawl_delay_allow(
    mode: str, timed: str, tmp_path: Path
) -> None:
    pages = 9
    chosen = settings(
        mode,
        CONCURCRAWL_RATE=RATE,
        CONCURCRAWL_BURST=BURST,
        DOWNLOAD_SLOTS=json.dumps({HOSTS[0]: {"delay": DELAY_S}}),
        ROBOTSTXT_OBEY=True,
    )
    # Pages of the first host take longer than its delay: they overlap.
    path = "/?s=0.02" if mode == "serial" else "/?s=0.5 /?s=0.02"
    given = arguments(hosts=" ".join(HOSTS[:3]), pages=pages, path=path)
    finished(crawl("limited", timed, tmp_path, *chosen, *given), 3 * pages)
    delayed, rated, asked = (by_host(seen(timed))[host] for host in HOSTS[:3])
    for visits in (delayed, rated, asked):
        assert [visit.path for visit in visits].index("/robots.txt") == 0
        assert len(visits) == 1 + pages
        assert shortfall_s(visits, 1 / RATE, BURST) < CLOCK_S
    assert shortfall_s(delayed, DELAY_S) < CLOCK_S
    assert shortfall_s(asked[1:], CRAWL_DELAY_S) < CLOCK_S
    if mode != "serial":
        assert peak(delayed) > 1
        assert min(gaps(rated)) < 1 / RATE  # a burst


# Back-off ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["concurrent", "async", "parallel"])
def test_a_host_that_asks_for_a_pause_gets_it_and_another_goes_on(
    mode: str, limited: str, tmp_path: Path
) -> None:
    # Slow, so that it is not over before the other host's first answer.
    path = "/busy?after=1 /hang?s=0.4"
    given = arguments(hosts=" ".join(HOSTS[:2]), pages=5, path=path)
    chosen = settings(mode, CONCURRENT_REQUESTS_PER_DOMAIN=2, RETRY_TIMES=5)
    finished(crawl("limited", limited, tmp_path, *chosen, *given), 10)
    visits = by_host(seen(limited))
    refusals = [visit for visit in visits["127.0.0.1"] if visit.status == 429]
    assert len(refusals) == 5
    for refusal in refusals:
        begins_s, ends_s = refusal.went_s + GRACE_S, refusal.went_s + 1
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


# Over two machines ---------------------------------------------------------------


def test_limits_delays_and_pauses_hold_over_two_nodes(
    timed: str, redis_frontiers: RedisServer, tmp_path: Path
) -> None:
    pages = 8
    chosen = settings(
        "async",
        CONCURRENT_REQUESTS=2,
        CONCURCRAWL_FRONTIER_URL=redis_frontiers.url,
        DOWNLOAD_SLOTS=json.dumps(
            {HOSTS[0]: {"delay": DELAY_S}, HOSTS[1]: {"concurrency": 1}}
        ),
    )
    # Either node alone could not ask the first host that often.
    path = "/?s=1.2 /?refuse=1&s=0.05"
    given = arguments(hosts=" ".join(HOSTS[:2]), pages=pages, path=path)
    with crawling("limited", timed, tmp_path / "1", *chosen, *given) as first:
        joined(first)
        first.send(signal.SIGSTOP)  # until there are two
        with crawling("limited", timed, tmp_path / "2", *chosen, *given) as second:
            joined(second)
            first.send(signal.SIGCONT)
            found = [first.finish(), second.finish()]
    assert {one.stats["finish_reason"] for one in found} == {"finished"}
    assert sum(one.items.total() for one in found) == 2 * pages
    assert all(one.stats["downloader/request_count"] for one in found)
    delayed, paused = (by_host(seen(timed))[host] for host in HOSTS[:2])
    assert len(delayed) == pages
    assert peak(delayed) > 1
    assert shortfall_s(delayed, DELAY_S) < CLOCK_S
    assert len(paused) == 2 * pages
    assert peak(paused) == 1
    for refusal, following in pairwise(paused):
        if refusal.status == 429:
            assert following.came_s - refusal.went_s > PAUSE_S - CLOCK_S


def joined(node: Crawl) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while "This node is" not in node.log:
        assert time.monotonic() < deadline_s, node.log
        time.sleep(0.01)


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
    assert slow > 0.25
    assert quick < slow / 1.5
