"""Crawls that are fed and steered while they run."""

from __future__ import annotations

import json
import signal
import stat
from collections import Counter
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from concurcrawl.control.server import MAX_BODY
from concurcrawl.frontier.redis import admin
from concurcrawl.frontier.redis.connection import parse
from tests.integration.control.commands import (
    forget,
    pages,
    steer,
    wait_for_door,
    wait_until,
)
from tests.support.crawls import DEADLINE_S, Crawl, crawling

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.redis import RedisServer


@pytest.fixture(autouse=True)
def _fresh(site: str) -> None:
    forget(site)


@pytest.fixture
def server(redis_frontiers: RedisServer) -> RedisServer:
    return redis_frontiers


def durable(folder: Path, mode: str, *others: str) -> list[str]:
    return [
        *("-s", f"MODE={mode}", "-s", "CONCURCRAWL_WORKERS=2"),
        *("-s", f"JOBDIR={folder}", "-s", "CONCURCRAWL_CONTROL=1"),
        *("-s", "CONCURCRAWL_STAY=1", *others),
    ]


def shared(server: RedisServer, *others: str) -> list[str]:
    return [
        *("-s", "MODE=hybrid", "-s", "CONCURCRAWL_WORKERS=1"),
        *("-s", f"CONCURCRAWL_FRONTIER_URL={server.url}"),
        *("-s", "CONCURCRAWL_FRONTIER_LEASE_S=2", *others),
    ]


def test_what_was_added_survives_a_kill_and_each_page_is_an_item_once(
    site: str, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    more = ("-o", str(tmp_path / "too.csv"))  # so that both are appended to
    urls = [f"{site}/hang?s=0.1&n={number}" for number in range(30)]
    with crawling("fed", site, tmp_path, *durable(job, "hybrid", *more)) as a:
        wait_for_door(job, a)
        (tmp_path / "urls").write_text("\n".join([*urls, urls[0]]))
        told = steer("add", job, "--file", tmp_path / "urls")
        assert told == (0, "30 taken, 1 duplicates, 0 refused")
        wait_until(lambda: len(pages(site)) > 10, a)
        a.send(signal.SIGKILL)
        a.process.wait(DEADLINE_S)
    code, said = steer("add", job, urls[0])
    assert code == 1
    assert "was killed: its process" in said
    with crawling("fed", site, tmp_path, *durable(job, "async", *more)) as b:
        wait_until(lambda: "control door is at" in b.log, b)
        told = steer("add", job, *urls, f"{site}/status/200?n=more")
        assert told == (0, "1 taken, 30 duplicates, 0 refused")
        wait_until(lambda: {*urls} <= {f"{site}{page}" for page in pages(site)}, b)
        wait_until(lambda: "/status/200?n=more" in pages(site), b)
        assert steer("stop", job) == (0, "The crawl was told to stop.")
        result = b.finish()
    assert result.stats["finish_reason"] == "stopped"
    items = [json.loads(line) for line in result.items.elements()]
    assert Counter(item["page"] for item in items) == Counter(
        [f"s=0.1&n={number}" for number in range(30)] + ["n=more"]
    )
    assert {item["by"] for item in items} == {"method"}
    assert not (job / "concurcrawl.control.json").exists()


def test_nodes_pause_go_on_and_stop_together(
    site: str, server: RedisServer, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        nodes: list[Crawl] = [
            stack.enter_context(
                crawling(
                    "fed",
                    site,
                    tmp_path / name,
                    *shared(server, *("-s", "CONCURCRAWL_STAY=1")),
                )
            )
            for name in ("a", "b")
        ]
        wait_until(lambda: server.client.zcard("{concurcrawl:fed}:nodes") == 2, *nodes)
        urls = [f"{site}/hang?s=0.05&n={number}" for number in range(1000)]
        (tmp_path / "urls").write_text("\n".join(urls))
        told = steer("add", server.url, "--job", "fed", "--file", tmp_path / "urls")
        assert told == (0, "1000 taken, 0 duplicates, 0 refused")
        host = urlsplit(site).hostname
        code, said = steer("limits", server.url, host, "--in-flight", "3")
        assert (code, said[:29]) == (0, f"{host}: 3 requests in flight"[:29])
        wait_until(lambda: len(pages(site)) > 20, *nodes)
        assert steer("pause", server.url) == (0, "The crawl is paused.")
        wait_until(lambda: all("is paused" in one.log for one in nodes), *nodes)
        wait_until(Still(site), *nodes)
        before = len(pages(site))
        code, said = steer("add", server.url, f"{site}/status/200?late")
        assert (code, said) == (0, "1 taken, 0 duplicates, 0 refused")
        assert len(pages(site)) == before
        assert steer("resume", server.url) == (0, "The crawl goes on.")
        wait_until(lambda: len(pages(site)) > before + 20, *nodes)
        assert all("Limits were changed" in one.log for one in nodes)
        assert steer("stop", server.url) == (0, "The crawl was told to stop.")
        results = [one.finish() for one in nodes]
    assert [one.stats["finish_reason"] for one in results] == ["stopped"] * 2
    assert [one.exit_code for one in results] == [0, 0]
    assert len(pages(site)) < 1000
    code, said = steer("pause", server.url)
    assert code == 1
    assert "has ended" in said


class Still:
    """Whether no request has come to a site for some looks, one after another."""

    def __init__(self, site: str, looks: int = 25) -> None:
        self._site, self._looks = site, looks
        self._counts: list[int] = []

    def __call__(self) -> bool:
        self._counts.append(len(pages(self._site)))
        last = self._counts[-self._looks :]
        return len(last) == self._looks and last[0] == last[-1]


def test_a_start_key_is_read_whole_while_a_node_is_killed(
    site: str, server: RedisServer, tmp_path: Path
) -> None:
    options = shared(
        server,
        *("-s", "CONCURCRAWL_START_KEY=fed:start_urls"),
        *("-s", "CONCURCRAWL_FRONTIER_ITEMS=stream"),
    )
    urls = [f"{site}/hang?s=0.02&n={number}" for number in range(150)]
    made = [{"url": f"{site}/status/200?n={n}", "meta": {"n": n}} for n in range(150)]
    server.client.rpush("fed:start_urls", *urls, *map(json.dumps, made), "no url")
    with (
        crawling("fed", site, tmp_path / "a", *options) as a,
        crawling("fed", site, tmp_path / "b", *options) as b,
    ):
        wait_until(lambda: len(pages(site)) > 20, a, b)
        leader = server.job("fed")["leader"]
        first, other = (a, b) if f"This node is {leader} " in a.log else (b, a)
        first.send(signal.SIGKILL)
        result = other.finish()
    assert result.stats["finish_reason"] == "finished"
    assert "An entry of fed:start_urls is refused" in a.log + b.log
    assert server.client.llen("fed:start_urls") == 0
    assert server.client.lrange("fed:start_urls:refused", 0, -1) == [b"no url"]
    items = [
        json.loads(item)
        for item in admin.drain(parse(server.url, "concurcrawl", "fed"))
    ]
    expected = [f"s=0.02&n={n}" for n in range(150)] + [f"n={n}" for n in range(150)]
    assert Counter(item["page"] for item in items) == Counter(expected)


@pytest.mark.parametrize("where", ["JOBDIR", "Redis"])
def test_dead_letters_are_put_back(
    where: str, site: str, server: RedisServer, tmp_path: Path
) -> None:
    (flag := tmp_path / "flag").touch()
    others = ("-a", f"flag={flag}", "-s", "CONCURCRAWL_MAX_ATTEMPTS=1")
    options = durable(tmp_path / "job", "parallel", *others)
    target: str | Path = tmp_path / "job"
    if where == "Redis":
        options = shared(server, "-s", "CONCURCRAWL_STAY=1", *others)
        target = server.url
    with crawling("deadly", site, tmp_path, *options) as running:
        wait_until(lambda: "is dead-lettered" in running.log, running)
        flag.unlink()
        wait_until(lambda: steer("retry", target) == (0, "1 requests wait again."))
        wait_until(lambda: "item_scraped_count" in running.log or len(pages(site)) == 2)
        assert steer("retry", target) == (0, "0 requests wait again.")
        steer("stop", target)
        result = running.finish()
    assert result.items == Counter(['{"page": "deadly"}'])


def test_bad_input_at_the_door_changes_nothing(site: str, tmp_path: Path) -> None:
    job = tmp_path / "job"
    options = durable(job, "async", "-s", "CONCURCRAWL_CONTROL=127.0.0.1:0")
    with crawling("fed", site, tmp_path, *options) as running:
        found = wait_for_door(job, running)
        assert stat.S_IMODE((job / "concurcrawl.control.json").stat().st_mode) == 0o600
        assert found["token"] not in running.log

        def ask(method: str, path: str, body: bytes = b"", **headers: str) -> Any:
            headers = {"Authorization": f"Bearer {found['token']}"} | headers
            with closing(HTTPConnection(urlsplit(found["address"]).netloc)) as one:
                one.request(method, path, body, headers)
                answer = one.getresponse()
                return answer.status, json.load(answer)

        add = b'{"urls": ["%s/status/200?n=1"]}' % site.encode()
        wrong = {"Authorization": "Bearer wrong"}
        for code, case in (
            (401, ("POST", "/v1/stop", b"", wrong)),
            (401, ("GET", "/v1/status", b"", {"Authorization": ""})),
            (403, ("POST", "/v1/stop", b"", {"Origin": "http://evil.example"})),
            (403, ("OPTIONS", "/v1/stop", b"", {"Origin": "http://evil.example"})),
            (400, ("POST", "/v1/requests", b'{"urls": [', {})),
            (400, ("POST", "/v1/requests", b'["urls"]', {})),
            (400, ("POST", "/v1/requests", b"[" * 100_000, {})),
            (400, ("POST", "/v1/requests", add.replace(b"urls", b"url"), {})),
            (400, ("POST", "/v1/requests", b'{"urls": [7]}', {})),
            (400, ("POST", "/v1/requests", b'{"urls": [{"url": "a", "x": 1}]}', {})),
            (413, ("POST", "/v1/requests", b" " * (MAX_BODY + 1), {})),
            (400, ("POST", "/v1/stop", b'{"reason": "a b"}', {})),
            (400, ("PATCH", "/v1/groups/a", b'{"in_flight": 1.5}', {})),
            (409, ("PATCH", "/v1/groups/a", b'{"in_flight": 0}', {})),
            (409, ("PATCH", "/v1/groups/wikimedia", b'{"in_flight": 99}', {})),
            (405, ("GET", "/v1/stop", b"", {})),
            (404, ("GET", "/v2/status", b"", {})),
        ):
            method, path, body, headers = case
            status, answer = ask(method, path, body, **headers)
            assert (status, sorted(answer)) == (code, ["error"]), case
        answer = ask("POST", "/v1/requests", b'{"urls": ["file:///etc/passwd"]}')
        assert answer[1]["refused"][0]["reason"].endswith("is no http or https URL")
        status, answer = ask("GET", "/v1/status")
        assert (answer["state"], answer["waiting"], answer["responses"]) == (
            *("running", 0, 0),
        )
        assert ask("GET", "/v1/openapi.json")[1]["openapi"].startswith("3.")
        assert ask("POST", "/v1/requests", add)[1]["taken"] == 1
        wait_until(lambda: pages(site) == ["/status/200?n=1"], running)
        assert steer("stop", job)[0] == 0
        result = running.finish()
    assert result.items.total() == 1
    assert "Traceback" not in result.log


def test_a_crawl_stays_for_a_while_and_finishes(site: str, tmp_path: Path) -> None:
    options = [
        "-s",
        "MODE=async",
        "-s",
        "CONCURCRAWL_STAY=1",
        "-s",
        "CONCURCRAWL_STAY_S=0.5",
    ]
    others = ["-s", "CONCURCRAWL_CONTROL=1"]
    with crawling("fed", site, tmp_path, *options, *others) as running:
        result = running.finish()
    assert result.stats["finish_reason"] == "finished"
    assert result.stats["elapsed_time_seconds"] >= 0.5
    assert "The control door is at unix:" in result.log


def test_a_door_that_cannot_be_opened_ends_the_crawl_with_a_sentence(
    site: str, tmp_path: Path
) -> None:
    taken = urlsplit(site).netloc
    options = ["-s", "MODE=async", "-s", f"CONCURCRAWL_CONTROL={taken}"]
    with crawling("fed", site, tmp_path, *options, "-s", "CONCURCRAWL_STAY=1") as one:
        result = one.finish()
    assert (result.exit_code, result.stats["finish_reason"]) == (1, "control_failed")
    assert f"CONCURCRAWL_CONTROL={taken}: the control door cannot be" in result.log
    assert "Traceback" not in result.log
