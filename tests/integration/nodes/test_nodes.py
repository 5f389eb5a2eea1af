"""One crawl on several nodes: each page and each item once, whatever dies."""

from __future__ import annotations

import asyncio
import csv
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.frontier.redis import admin
from concurcrawl.frontier.redis.connection import RedisConnection, parse
from concurcrawl.frontier.redis.frontier import RedisFrontier
from concurcrawl.frontier.redis.session import Member
from concurcrawl.tools.testsite.process import SiteProcess
from tests.chaos.kills import EXTRAS, PAGES, Item, expected
from tests.support.crawls import (
    DEADLINE_S,
    PROJECT,
    Crawl,
    Result,
    crawl,
    crawling,
    environment,
)
from tests.support.servers.redis import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Of all pages: the list, the extras, and each page twice.
REQUESTS = 1 + EXTRAS + 2 * PAGES

IN_DOUBT = "{concurcrawl:whole}:in_doubt"


@pytest.fixture(scope="module")
def testsite() -> Iterator[SiteProcess]:
    """A site whose pages take a moment, so that there is time to kill."""
    with SiteProcess(pages=PAGES, latency_s=0.2, log=True) as running:
        yield running


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    with redis_server(folder, "--appendonly", "yes") as server:
        yield server


@pytest.fixture
def server(_server: RedisServer, testsite: SiteProcess) -> RedisServer:
    _server.client.flushall()
    testsite.reset()
    return _server


def options(server: RedisServer, mode: str, *others: str) -> list[str]:
    return [
        *("-s", f"MODE={mode}", "-s", "CONCURCRAWL_WORKERS=1"),
        *("-s", "CONCURRENT_REQUESTS=2", "-s", "CONCURCRAWL_THREADS=2"),
        *("-s", f"CONCURCRAWL_FRONTIER_URL={server.url}"),
        *("-s", "CONCURCRAWL_FRONTIER_LEASE_S=2", "-a", f"extras={EXTRAS}"),
        *others,
    ]


@contextmanager
def nodes(
    count: int, server: RedisServer, url: str, folder: Path, *others: str
) -> Iterator[list[Crawl]]:
    modes = ("async", "hybrid", "serial")
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                crawling(
                    "whole",
                    url,
                    folder / f"node{number}",
                    *options(server, modes[number], *others),
                )
            )
            for number in range(count)
        ]


def wait_until(is_so: Callable[[], bool], crawls: list[Crawl]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, [one.log for one in crawls]
        time.sleep(0.01)


def wait_for_both(server: RedisServer, crawls: list[Crawl], requests: int) -> None:
    """Wait until both are there and *requests* are done."""
    both = "{concurcrawl:whole}:nodes"
    wait_until(lambda: server.client.zcard(both) == 2, crawls)
    wait_until(lambda: done(server) >= requests, crawls)


def done(server: RedisServer, job: str = "whole") -> int:
    return int(server.job(job).get("done", 0))


def leader_of(server: RedisServer, crawls: list[Crawl]) -> Crawl:
    leader = server.job("whole")["leader"]
    (found,) = [one for one in crawls if f"This node is {leader} " in one.log]
    return found


def items(results: list[Result]) -> Counter[Item]:
    lines = sum((result.items for result in results), Counter[str]())
    return Counter({Item(**json.loads(line)): n for line, n in lines.items()})


def test_a_node_that_is_killed_loses_and_doubles_nothing(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    with nodes(2, server, testsite.list_url, tmp_path) as running:
        wait_for_both(server, running, 14)
        victim = leader_of(server, running)
        victim.send(signal.SIGKILL)
        results = [one.finish() for one in running]
    assert sorted(result.exit_code for result in results) == [-9, 0]
    assert server.job("whole")["reason"] == "finished"
    if server.client.exists(IN_DOUBT):  # killed as it wrote: only it can tell
        with nodes(2, server, testsite.list_url, tmp_path) as running:
            results = [one.finish() for one in running]
    assert items(results) == expected()


def test_a_node_that_comes_when_all_is_over_ends_too(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    with nodes(1, server, testsite.list_url, tmp_path / "late") as (late,):
        late.send(signal.SIGSTOP)
        with nodes(1, server, testsite.list_url, tmp_path / "first") as (first,):
            found = first.finish()
        late.send(signal.SIGCONT)
        came = late.finish()
    assert items([found]) == expected()
    assert (came.exit_code, came.stats["finish_reason"]) == (0, "finished")
    assert not came.items


def test_a_node_that_was_only_slow_finds_what_it_did_refused(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    with nodes(2, server, testsite.list_url, tmp_path) as running:
        wait_for_both(server, running, 10)
        slow = running[0]
        held = f"{{concurcrawl:whole}}:leases:{name_of(slow)}"
        wait_until(lambda: server.client.hlen(held) > 0, running)
        slow.send(signal.SIGSTOP)
        nodes_key = "{concurcrawl:whole}:nodes"
        wait_until(lambda: server.client.zcard(nodes_key) == 1, running)
        slow.send(signal.SIGCONT)
        results = [one.finish() for one in running]
    assert results[0].stats["concurcrawl/leases_lost"] == 1
    assert items(results) == expected()
    assert {r.stats["finish_reason"] for r in results} == {"finished"}


def name_of(crawl: Crawl) -> str:
    return crawl.log.partition("This node is ")[2].partition(" ")[0]


def test_nodes_do_each_page_once_though_redis_is_restarted(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    with nodes(2, server, testsite.list_url, tmp_path) as running:
        wait_for_both(server, running, 10)
        server.stop()
        server.start()
        results = [one.finish() for one in running]
    assert [result.exit_code for result in results] == [0, 0]
    assert {r.stats["finish_reason"] for r in results} == {"finished"}
    assert items(results) == expected()
    for result in results:
        assert "ERROR" not in result.log
        assert result.log.count("Redis does not answer") == 1
        assert result.log.count("Redis is back") == 1
    asked = Counter(entry.path for entry in testsite.log())
    assert (len(asked), asked.total()) == (REQUESTS, REQUESTS)


def test_a_node_that_is_told_to_stop_leaves_the_rest_to_others(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    with nodes(2, server, testsite.list_url, tmp_path) as running:
        wait_for_both(server, running, 10)
        running[0].send(signal.SIGTERM)
        results = [one.finish() for one in running]
    reasons = [result.stats["finish_reason"] for result in results]
    assert reasons == ["shutdown", "finished"]
    assert items(results) == expected()


def test_a_crawl_whose_nodes_were_killed_or_lost_redis_goes_on_in_the_same_feeds(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    patience = ("-s", "CONCURCRAWL_FRONTIER_WAIT_S=1")
    with nodes(2, server, testsite.list_url, tmp_path, *patience) as running:
        wait_for_both(server, running, 20)
        running[0].send(signal.SIGKILL)
        server.stop()
        first = [one.finish() for one in running]
        server.start()
    assert first[1].stats["finish_reason"] == "frontier_unreachable"
    assert first[1].log.count("Redis has not answered") == 1
    assert "Traceback" not in first[1].log
    assert items(first).total() < expected().total()
    with nodes(2, server, testsite.list_url, tmp_path) as running:
        results = [one.finish() for one in running]
    assert {r.stats["finish_reason"] for r in results} == {"finished"}
    assert items(results) == expected()
    assert not server.client.exists(IN_DOUBT)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_node_continues_its_tables_whatever_their_dialect(
    stop: signal.Signals, server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    tables: dict[str, dict[str, Any]] = {
        "semicolon.csv": {"item_export_kwargs": {"delimiter": ";", "quoting": 1}},
        "bom.csv": {"encoding": "utf-8-sig"},
        "wide.csv": {"encoding": "utf-16"},
        "bare.csv": {"item_export_kwargs": {"include_headers_line": False}},
    }
    feeds = {str(tmp_path / n): {"format": "csv", **o} for n, o in tables.items()}
    feeds[str(tmp_path / "whole.json")] = {"format": "json"}
    feed_options = json.dumps(feeds)
    node = (*options(server, "hybrid"), "-s", "CONCURCRAWL_FRONTIER_NODE=one")
    command = [
        *(sys.executable, "-m", "scrapy", "crawl", "whole"),
        *("-a", f"site={testsite.list_url}", "-s", f"FEEDS={feed_options}", *node),
    ]
    for is_last in (False, True):
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=environment(), stdout=log, stderr=log
            )
        running = Crawl(process, tmp_path)
        try:
            if not is_last:
                wait_until(lambda: done(server) >= 20, [running])
                process.send_signal(stop)
            process.wait(DEADLINE_S)
        finally:
            process.kill()
    for name, table in tables.items():
        encoding = table.get("encoding", "utf-8")
        text = (tmp_path / name).read_bytes().decode(encoding)
        rows = [
            *csv.reader(text.splitlines(), delimiter=";" if "semi" in name else ",")
        ]
        if name != "bare.csv":
            assert rows.pop(0) == ["kind", "name"]
        assert Counter(Item(*row) for row in rows) == expected(), name
    assert "may lack or repeat items" in running.log
    assert "whole.json. JSON lines or CSV" in running.log


def test_another_node_goes_on_with_start_and_cookies_of_a_leader_that_was_killed(
    server: RedisServer, site: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    shared = options(server, "serial", "-a", f"gate={gate}")
    with crawling("begins", site, tmp_path / "1", *shared) as leader:
        # The session and five pages: start() waits at the gate now.
        wait_until(lambda: done(server, "begins") == 1 + 5, [leader])
        shared[1] = "MODE=async"
        with crawling("begins", site, tmp_path / "2", *shared) as other:
            wait_until(lambda: "This node is" in other.log, [leader, other])
            leader.send(signal.SIGKILL)
            killed = leader.finish()
            gate.touch()
            result = other.finish()
            results = [killed, result]
    if server.client.exists("{concurcrawl:begins}:in_doubt"):  # killed as it wrote
        results = [crawl("begins", site, tmp_path / "1", *shared), result]
    found = sum((one.items for one in results), Counter[str]())
    assert result.stats["finish_reason"] == "finished"
    expected = [json.dumps({"start": number}) for number in range(10)]
    expected += [json.dumps({"page": number, "who": "ann"}) for number in range(10)]
    assert found == Counter(expected)


def test_what_a_dead_node_was_writing_is_settled_here_and_told_of_elsewhere(
    server: RedisServer, site: str, tmp_path: Path
) -> None:
    feed, line = tmp_path / "items.jsonl", b'{"page": "of the dead"}\n'
    feed.write_bytes(line)
    dead = subprocess.Popen(["true"])
    dead.wait(DEADLINE_S)
    about = {"node": "ghost", "pid": dead.pid, "born_s": 0.0}
    host = socket.gethostname()
    here = {"host": host, "home": host, "files": {str(feed): (0, len(line))}}
    elsewhere = {"host": "far", "home": "far", "files": {}}

    async def die_writing() -> None:
        link = RedisConnection(parse(server.url, "concurcrawl", "idle"))
        ghost = RedisFrontier(link, Member(node="ghost", spider="idle", lease_s=3))
        await ghost.join()
        kept = ghost.keep([b"one", b"two", b"three"], {})
        await ghost.exchange()
        one, two, three = await kept
        ghost.prepare("here", json.dumps(about | here), [one])
        ghost.prepare("elsewhere", json.dumps(about | elsewhere), [two, three])
        await ghost.exchange()
        await link.close()

    asyncio.run(die_writing())
    shared = options(server, "async")
    found = crawl("idle", site, tmp_path, *shared[: shared.index("-a")])
    assert found.stats["finish_reason"] == "finished"
    assert found.stats["concurcrawl/items_in_doubt"] == 2
    assert "ERROR: 2 items were being written when their node died" in found.log
    assert found.items.total() == 1 + 10
    assert found.items[line.decode().strip()] == 1
    snapshot = admin.snapshot(parse(server.url, "concurcrawl", "idle"))
    assert snapshot is not None
    assert (snapshot.in_doubt, snapshot.undelivered) == (2, 0)


def test_a_callback_that_is_no_method_is_refused_by_name(
    server: RedisServer, site: str, tmp_path: Path
) -> None:
    shared = options(server, "async")
    found = crawl("closures", site, tmp_path, *shared[: shared.index("-a")])
    assert found.stats["finish_reason"] == "finished"
    assert found.stats["concurcrawl/not_shippable"] > 0
    assert "is no method of the spider" in found.log
    assert "Traceback" not in found.log


def test_a_stream_has_all_items_once(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    stream = ("-s", "CONCURCRAWL_FRONTIER_ITEMS=stream")
    with nodes(2, server, testsite.list_url, tmp_path, *stream) as running:
        wait_for_both(server, running, 10)
        running[1].send(signal.SIGKILL)
        results = [one.finish() for one in running]
    assert results[0].stats["finish_reason"] == "finished"
    target = parse(server.url, "concurcrawl", "whole")
    lines = list(admin.drain(target, keep=True))
    assert Counter(Item(**json.loads(line)) for line in lines) == expected()
    found = admin.snapshot(target)
    assert found is not None
    assert (found.state, found.reason, found.waiting) == ("ended", "finished", 0)
    assert (found.streamed, found.done) == (len(lines), REQUESTS)
    assert [node.is_dead for node in found.nodes].count(True) == 1
    assert list(admin.drain(target)) == lines
    assert list(admin.drain(target)) == []
    assert admin.jobs(target) == ["whole"]
    other = parse(server.url, "concurcrawl", "whole2")
    server.client.set(other.keys.one("job"), "another's")
    assert admin.purge(target) > 0
    assert server.keys() == [other.keys.one("job")]


def test_a_limit_by_count_ends_all_nodes(
    server: RedisServer, testsite: SiteProcess, tmp_path: Path
) -> None:
    limit = ("-s", "CLOSESPIDER_ITEMCOUNT=30")
    with nodes(2, server, testsite.list_url, tmp_path, *limit) as running:
        results = [one.finish() for one in running]
    reasons = {result.stats["finish_reason"] for result in results}
    assert reasons == {"closespider_itemcount"}
    assert 30 <= items(results).total() < expected().total()


@pytest.mark.parametrize("spider", ["closes", "rules", "drops"])
def test_other_spiders_do_as_alone(
    spider: str, server: RedisServer, site: str, tmp_path: Path
) -> None:
    alone = crawl(spider, site, tmp_path / "alone", "-s", "MODE=async")
    shared = options(server, "async")
    shared = shared[: shared.index("-a")]
    found = crawl(spider, site, tmp_path / "shared", *shared)
    assert found.items == alone.items
    assert found.stats["finish_reason"] == alone.stats["finish_reason"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://me:hunter2@127.0.0.1:1/0", "no Redis answers at redis://me@127.0"),
        ("{server}?password=hunter2", "CONCURCRAWL_FRONTIER_URL: must be like"),
    ],
)
def test_a_redis_that_cannot_be_used_is_one_sentence(
    url: str, sentence: str, server: RedisServer, tmp_path: Path
) -> None:
    url = url.replace("{server}", server.url)
    found = crawl(
        "whole",
        "http://127.0.0.1:1",
        tmp_path,
        *("-s", "MODE=async", "-s", f"CONCURCRAWL_FRONTIER_URL={url}"),
    )
    assert found.exit_code == 1
    assert sentence in found.log.strip().splitlines()[-1]
    assert "Traceback" not in found.log
    assert "hunter2" not in found.log


def test_a_password_is_needed_and_nowhere_shown(tmp_path: Path, site: str) -> None:
    with redis_server(tmp_path, "--requirepass", "hunter2") as locked:
        wrong = f"unix://:hunter3@{locked.socket}"
        right = f"unix://:hunter2@{locked.socket}"
        urls = [("-s", f"CONCURCRAWL_FRONTIER_URL={url}") for url in (wrong, right)]
        mode = ("-s", "MODE=async", "-s", "LOG_LEVEL=DEBUG")
        refused = crawl("pagination", site, tmp_path / "1", *mode, *urls[0])
        found = crawl("pagination", site, tmp_path / "2", *mode, *urls[1])
    assert refused.exit_code == 1
    assert "refuses this user and password" in refused.log
    assert "Traceback" not in refused.log
    assert found.stats["finish_reason"] == "finished"
    assert "hunter" not in refused.log + found.log
