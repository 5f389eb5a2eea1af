"""``concurcrawl dashboard``: the page of a crawl that runs in another process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import aiohttp
import pytest

from concurcrawl.control.address import TOKEN
from tests.integration.control.commands import steer, wait_for_door, wait_until
from tests.integration.monitor.seeing import events, press
from tests.support.crawls import DEADLINE_S, ROOT, Crawl, crawling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.servers.redis import RedisServer

LONG = ("-a", "pages=2000", "-a", "wait=0.1", "-s", "CONCURRENT_REQUESTS=4")
SECRET = "a-token-of-the-door"


@contextmanager
def dashboard(*words: object) -> Iterator[str]:
    """Run the command; yield where its page is."""
    with showing(*words) as (page, _):
        yield page


@contextmanager
def showing(*words: object) -> Iterator[tuple[str, IO[str]]]:
    """Run the command; yield where its page is, and what it prints after that."""
    command = [sys.executable, "-m", "concurcrawl", "dashboard", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("The dashboard is at http://"), line
            yield line.split()[4], process.stdout
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 130


async def seen(
    page: str, until: Callable[[dict[str, Any]], bool]
) -> tuple[str, dict[str, Any]]:
    async for kind, snapshot in events(page):
        if kind == "end" or until(snapshot):
            return kind, snapshot
    raise AssertionError("the events ended without a last one")


async def drive(page: str) -> dict[str, Any]:
    """Press every button; return the last snapshot."""
    _, snapshot = await seen(page, lambda s: s["progress"]["pages"] > 5)
    assert snapshot["spider"] == "slow"
    assert snapshot["can_steer"]
    group = snapshot["groups"][0]["name"]
    assert (await press(page, "limits", group=group, in_flight=2))[0] == 200
    await seen(page, lambda s: any(g["limit"] == 2 for g in s["groups"]))
    assert (await press(page, "limits", group=group, in_flight=0))[0] == 400
    assert (await press(page, "erase"))[0] == 404
    assert (await press(page.replace("#token=", "#token=x"), "stop"))[0] == 401
    assert (await press(page, "pause"))[0] == 200
    kind, _ = await seen(page, lambda s: s["state"] == "paused")
    assert kind == "message"
    assert (await press(page, "resume"))[0] == 200
    await seen(page, lambda s: s["state"] == "running")
    ending = asyncio.ensure_future(seen(page, lambda _: False))
    await asyncio.sleep(0)
    assert (await press(page, "stop"))[0] == 200
    kind, last = await ending
    assert kind == "end"
    # Who opens the page now sees the same.
    assert (await seen(page, lambda _: True))[1]["reason"] == last["reason"]
    return last


def test_a_crawl_with_a_door_is_seen_and_steered_from_elsewhere(
    site: str, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    options = ("-s", "MODE=hybrid", "-s", "CONCURCRAWL_WORKERS=2", *LONG)
    records = ("-s", f"CONCURCRAWL_RECORDS={tmp_path / 'records.jsonl'}")
    door = ("-s", f"JOBDIR={job}", "-s", "CONCURCRAWL_CONTROL=1", *records)
    with crawling("slow", site, tmp_path, *options, *door) as running:
        wait_for_door(job, running)
        with dashboard(job) as page:

            def has_lanes(snapshot: dict[str, Any]) -> bool:
                return any(
                    one["phase"] == "downloads"
                    for worker in snapshot["workers"]
                    for one in worker["doing"]
                )

            _, snapshot = asyncio.run(seen(page, has_lanes))
            assert len(snapshot["processes"]) > 2
            last = asyncio.run(drive(page))
        found = running.finish()
    assert (last["state"], last["reason"]) == ("finished", "stopped")
    assert last["records"] == str(tmp_path / "records.jsonl")
    assert found.stats["finish_reason"] == "stopped", found.log


async def read(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def first_seen(page: str) -> tuple[str, dict[str, Any]]:
    return await seen(page, lambda _: True)


def test_a_crawl_that_has_ended_is_seen_and_its_report_is_opened(
    site: str, tmp_path: Path
) -> None:
    job, records = tmp_path / "job", tmp_path / "records.jsonl"
    options = ("-s", "MODE=async", "-a", "pages=30", "-s", f"JOBDIR={job}")
    door = ("-s", "CONCURCRAWL_CONTROL=1", "-s", f"CONCURCRAWL_RECORDS={records}")
    with crawling("slow", site, tmp_path, *options, *door) as running:
        wait_for_door(job, running)
        with dashboard(job) as page:  # no browser opens it while the crawl runs
            assert running.finish().exit_code == 0
            while_open = asyncio.run(first_seen(page))
            assert while_open[1]["report"].startswith("report?key=")
    with showing(job) as (page, more):
        kind, last = asyncio.run(first_seen(page))
        report = more.readline().split()[-1]
        code, text = asyncio.run(read(report))
        assert (code, "A crawl: records.jsonl" in text) == (200, True), text[:500]
        assert asyncio.run(press(page, "stop"))[0] == 409
    assert while_open == (kind, last | {"report": while_open[1]["report"]})
    assert (kind, last["state"], last["reason"]) == ("end", "finished", "finished")
    assert (last["progress"]["items"], last["progress"]["done"]) == (30, 30)


def test_a_crawl_that_was_killed_is_told_from_one_that_has_ended(
    site: str, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    options = ("-s", "MODE=async", *LONG, "-s", f"JOBDIR={job}")
    door = ("-s", "CONCURCRAWL_CONTROL=1")
    with crawling("slow", site, tmp_path / "a", *options, *door) as running:
        wait_for_door(job, running)
        with dashboard(job) as page:
            running.process.kill()
            running.process.wait()
            kind, killed = asyncio.run(first_seen(page))
            assert (kind, killed["state"]) == ("message", "killed")
            code, text = steer("dashboard", job)
            assert code == 1
            assert "was killed: its process" in text
            # The page that was open shows it again as soon as it is resumed.
            with crawling("slow", site, tmp_path / "b", *options, *door) as again:
                runs = lambda s: s["state"] == "running"  # noqa: E731
                kind, resumed = asyncio.run(seen(page, runs))
                assert kind == "message"
                assert (resumed["state"], resumed["spider"]) == ("running", "slow")
                assert again.process.poll() is None


def test_a_job_in_redis_is_seen_and_steered_from_elsewhere(
    site: str, tmp_path: Path, redis_frontiers: RedisServer
) -> None:
    shared = ("-s", f"CONCURCRAWL_FRONTIER_URL={redis_frontiers.url}")
    options = ("-s", "MODE=async", *LONG, *shared)
    with crawling("slow", site, tmp_path, *options) as running:
        has_job = lambda: redis_frontiers.client.exists("{concurcrawl:slow}:job")  # noqa: E731
        wait_until(has_job, running)
        with dashboard(redis_frontiers.url, "--job", "slow") as page:
            # The node says what it takes because a page is open.
            _, snapshot = asyncio.run(seen(page, lambda s: s["processes"]))
            (node,) = snapshot["nodes"]
            (process,) = snapshot["processes"]
            assert (process["name"], node["restarts"]) == (node["name"], 0)
            assert snapshot["memory_bytes"] > 10_000_000
            last = asyncio.run(drive(page))
        found = running.finish()
    assert (last["state"], last["reason"]) == ("finished", "stopped")
    assert last["nodes"][0]["done"] > 5
    assert found.stats["finish_reason"] == "stopped", found.log


def test_a_door_with_a_token_shows_nothing_without_it(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    control = ("-s", "MODE=async", "-s", "CONCURCRAWL_CONTROL=127.0.0.1:0", *LONG)
    with crawling("slow", site, tmp_path, *control) as running:
        wait_until(lambda: "control door is at" in running.log, running)
        url = address_in(running)
        with dashboard(url) as page:
            assert "#" not in page  # the token is the one that is known already
            _, snapshot = asyncio.run(seen(page, lambda s: s["progress"]["pages"] > 0))
            assert snapshot["mode"] == "async"
        monkeypatch.setenv(TOKEN, SECRET[::-1])
        code, text = steer("dashboard", url)
        assert code == 1
        assert "the token is missing or wrong" in text
        monkeypatch.setenv(TOKEN, SECRET)
        steer("stop", url)
        running.finish()


def address_in(crawl: Crawl) -> str:
    return crawl.log.partition("control door is at ")[2].split(";")[0].split(",")[0]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("nowhere",), 1, "it does not exist"),
        (("http://127.0.0.1:9",), 1, "no crawl answers"),
        (("nowhere", "--listen", "x"), 2, "--listen='x': must be host:port"),
    ],
)
def test_what_cannot_be_shown_is_said(
    words: tuple[str, ...], code: int, reason: str
) -> None:
    found, text = steer("dashboard", *words)
    assert found == code, text
    assert reason in text
