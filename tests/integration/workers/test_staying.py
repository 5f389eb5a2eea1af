"""What lives in one process stays there, and what needs it goes there."""

from __future__ import annotations

import dbm
import json
import re
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.limits.test_waits import ask, visits
from tests.support.crawls import DEADLINE_S, crawl, crawling
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.redis import RedisServer

ALIKE = (
    *("downloader/request_count", "retry/count", "dupefilter/filtered"),
    *("scheduler/enqueued", "scheduler/dequeued"),
)
TWO = ("-s", "CONCURCRAWL_WORKERS=2")
LENGTH = 6
CHAINED = Counter(
    [
        f'{{"page": "/hang?s=0.1&{chain}={n}"}}'
        for chain in "ab"
        for n in range(LENGTH + 1)
    ]
    + [
        f'{{"side": "/status/200?{chain}={n}"}}'
        for chain in "ab"
        for n in range(LENGTH)
    ]
)


@pytest.fixture(scope="module")
def one_site() -> Iterator[str]:
    with serving("tests.support.site.server") as url:
        yield url


def in_jobdir(folder: Path) -> list[str]:
    return ["-s", f"JOBDIR={folder / 'job'}"]


def wait_for_visits(site: str, count: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while len(visits(site)) < count:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_retry_or_redirect_with_something_live_in_meta_is_done(
    one_site: str, tmp_path: Path, redis_frontiers: RedisServer
) -> None:
    expected = crawl("live", one_site, tmp_path / "plain")
    assert expected.items.total() == 5, expected.log  # one target of three redirects
    for name, options in {
        "parallel": ["-s", "MODE=parallel", *TWO],
        "hybrid": ["-s", "MODE=hybrid", *TWO, "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=2"],
        "durable": ["-s", "MODE=async", *in_jobdir(tmp_path)],
        "shared": [
            *("-s", "MODE=parallel", *TWO),
            *("-s", f"CONCURCRAWL_FRONTIER_URL={redis_frontiers.url}"),
        ],
    }.items():
        found = crawl("live", one_site, tmp_path / name, *options)
        assert found.items == expected.items, found.log
        for key in ALIKE:
            assert found.stats[key] == expected.stats[key], (name, key)
        assert "concurcrawl/not_shippable" not in found.stats


def test_a_chain_that_was_stopped_and_killed_gives_each_item_once(
    one_site: str, tmp_path: Path
) -> None:
    options = [*TWO, *in_jobdir(tmp_path), "-a", f"length={LENGTH}", "-o"]
    for mode, how in (("hybrid", signal.SIGINT), ("parallel", signal.SIGKILL)):
        ask(f"{one_site}/forget")
        with crawling(
            "chain", one_site, tmp_path, "-s", f"MODE={mode}", *options, _feed(tmp_path)
        ) as run:
            wait_for_visits(one_site, 5)
            run.send(how)
            run.process.wait(DEADLINE_S)
            if how is signal.SIGINT:
                assert re.search(r"Waiting: \[\d+, 0\]", run.log), run.log
    found = crawl(
        "chain", one_site, tmp_path, "-s", "MODE=async", *options, _feed(tmp_path)
    )
    assert found.items == CHAINED, found.log


def _feed(folder: Path) -> str:
    return str(folder / "items.jsonl")


def test_what_lived_in_a_worker_that_died_is_named_and_the_crawl_ends(
    one_site: str, tmp_path: Path
) -> None:
    ask(f"{one_site}/forget")
    options = ("-s", "MODE=parallel", *TWO, "-a", f"length={LENGTH}")
    with crawling("chain", one_site, tmp_path, *options) as run:
        wait_for_visits(one_site, 5)
        run.workers()[0].kill()
        found = run.finish()
    assert "that could not be sent to another process" in found.log
    assert re.search(r"Waiting: \[0, \d+\]", found.log)
    assert max(found.items.values()) == 1
    assert found.items.total() < CHAINED.total()
    assert found.stats["finish_reason"] == "finished"


@pytest.mark.parametrize("mode", ["parallel", "hybrid in JOBDIR"])
def test_a_login_in_a_context_holds_for_all_requests_of_that_context(
    mode: str, one_site: str, tmp_path: Path
) -> None:
    options = ["-s", f"MODE={mode.partition(' ')[0]}", *TWO]
    if "JOBDIR" in mode:
        options += in_jobdir(tmp_path)
    found = crawl("logged_in", one_site, tmp_path, *options)
    items = [json.loads(item) for item in found.items.elements()]
    asked = [item for item in items if "context" in item]
    assert (len(items), len(asked)) == (40, 20), found.log
    assert {item["is_in"] for item in asked} == {"1"}
    assert len({(item["context"], item["process"]) for item in asked}) == 2


def test_a_file_of_a_middleware_is_opened_by_one_process_or_the_crawl_ends(
    one_site: str, tmp_path: Path
) -> None:
    seen = ("-s", f"SEEN={tmp_path / 'seen'}", "-s", "MODE=parallel")
    found = crawl("remembers", one_site, tmp_path, *seen, "-s", "CONCURCRAWL_WORKERS=1")
    assert found.items.total() == 4, found.log
    assert len((tmp_path / "seen.opened").read_text().split()) == 1
    with dbm.open(str(tmp_path / "seen"), "r") as file:
        assert len(file.keys()) == 4
    found = crawl("remembers", one_site, tmp_path, *seen, *TWO)
    assert found.exit_code == 1
    assert "Only one process can have this open" in found.log
