"""``status``, ``items`` and ``purge`` against a real Redis and real crawls."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import redis
from pyarrow import parquet

from tests.support.crawls import DEADLINE_S, crawling, environment
from tests.support.servers.redis import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "open-sesame"
PAGES = 12


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    with redis_server(folder, "--requirepass", PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def crawled(
    server: RedisServer, site: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Return the URL of a Redis in which the jobs ``one`` and ``two`` have ended."""
    for job in ("one", "two"):
        words = ["-s", "MODE=async", "-s", f"CONCURCRAWL_FRONTIER_URL={server.url}"]
        words += ["-s", f"CONCURCRAWL_FRONTIER_JOB={job}"]
        words += ["-s", "CONCURCRAWL_FRONTIER_ITEMS=stream"]
        words += ["-a", f"pages={PAGES}", "-a", "wait=0"]
        os.environ["CONCURCRAWL_FRONTIER_PASSWORD"] = PASSWORD
        try:
            with crawling("slow", site, tmp_path_factory.mktemp(job), *words) as crawl:
                found = crawl.finish()
        finally:
            del os.environ["CONCURCRAWL_FRONTIER_PASSWORD"]
        assert found.stats.get("finish_reason") == "finished", found.log
    return server.url


def concurcrawl(
    *words: str, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "concurcrawl", *words],
        env={**environment(), "CONCURCRAWL_FRONTIER_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert PASSWORD not in done.stdout + done.stderr
    return done


def test_status_lists_jobs_and_shows_one(crawled: str) -> None:
    listed = concurcrawl("status", crawled)
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == [
        "one",
        "two",
    ]
    every = json.loads(concurcrawl("status", crawled, "--json").stdout)
    assert [(job["job"], job["state"]) for job in every] == [
        ("one", "ended"),
        ("two", "ended"),
    ]
    one = concurcrawl("status", crawled, "--job", "one", "--watch", "--json")
    found = json.loads(one.stdout)  # one line: it ends with the job
    assert found["done"] == PAGES
    assert found["streamed"] == PAGES
    assert found["reason"] == "finished"
    shown = concurcrawl("status", crawled, "--job", "one").stdout
    assert f"{PAGES} done" in shown
    assert f"Items: {PAGES} in the stream" in shown


def test_items_leave_the_stream_when_they_are_written_and_not_before(
    crawled: str,
) -> None:
    kept = concurcrawl("items", crawled, "--job", "one", "--keep").stdout
    pages = sorted(int(json.loads(line)["page"]) for line in kept.splitlines())
    assert pages == list(range(PAGES))
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "concurcrawl", "items", crawled, "--job", "one"],
            env={**environment(), "CONCURCRAWL_FRONTIER_PASSWORD": PASSWORD},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "concurcrawl items: the items cannot be written: No space left on device\n"
    )
    assert concurcrawl("items", crawled, "--job", "one").stdout == kept
    assert concurcrawl("items", crawled, "--job", "one").stdout == ""


STREAM = "{concurcrawl:copy}:stream"


@pytest.fixture
def client(server: RedisServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket), password=PASSWORD)


@pytest.fixture
def copied(crawled: str, client: redis.Redis) -> Iterator[str]:
    """Return the URL of a Redis with a job ``copy`` whose items may be taken."""
    for kind in ("job", "stream"):
        client.copy(f"{{concurcrawl:two}}:{kind}", f"{{concurcrawl:copy}}:{kind}")
    yield crawled
    client.delete("{concurcrawl:copy}:job", STREAM)


def drained(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return concurcrawl("items", url, "--job", "copy", *words)


def test_items_go_into_any_feed_once_however_often_that_is_begun(
    copied: str, client: redis.Redis, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.json"
    assert drained(copied, "-O", str(whole), "--keep").returncode == 0
    items = json.loads(whole.read_text("utf-8"))
    assert sorted(int(item["page"]) for item in items) == list(range(PAGES))

    # As if it had been killed while it appended.
    table = tmp_path / "items.csv"
    table.write_text("page\n77\n78\n", encoding="utf-8")
    note = tmp_path / "items.csv.concurcrawl-items"
    note.write_text(json.dumps({"size_bytes": 8, "last": ""}), encoding="ascii")
    done = drained(copied, "-o", str(table), "--keep")
    assert done.stderr == f"{PAGES} items in {table}\n"
    pages = table.read_text("utf-8").split()
    assert pages[:2] == ["page", "77"]
    assert sorted(map(int, pages[2:])) == list(range(PAGES))
    assert not note.exists()

    # As if it had been killed when they were in the file, and not yet out of Redis.
    last = client.xrevrange(STREAM, count=1)[0][0].decode()
    size = table.stat().st_size
    note.write_text(json.dumps({"size_bytes": size, "last": last}), encoding="ascii")
    client.xadd(STREAM, {"item": '{"page": "99"}'})
    assert drained(copied, "-o", str(table)).stderr == f"1 items in {table}\n"
    assert table.read_text("utf-8").split() == [*pages, "99"]
    assert client.xlen(STREAM) == 0


def test_items_become_a_parquet_file(copied: str, tmp_path: Path) -> None:
    file = tmp_path / "items.parquet"
    refused = drained(copied, "-o", str(file))
    assert refused.returncode == 2
    assert "a Parquet file cannot be appended to" in refused.stderr
    done = drained(copied, "-O", str(file), "--keep")
    assert done.stderr == f"{PAGES} items in {file}\n"
    pages = parquet.read_table(file).column("page").to_pylist()
    assert sorted(map(int, pages)) == list(range(PAGES))


def test_items_stay_in_redis_if_their_feed_cannot_be_stored(
    copied: str, client: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file", encoding="ascii")
    done = drained(copied, "-O", str(tmp_path / "taken" / "items.jsonl"))
    assert done.returncode == 1
    assert "the items cannot be written: the feed was not stored" in done.stderr
    assert client.xlen(STREAM) == PAGES
    wrong = drained(copied, "-O", "items.docx")
    assert wrong.returncode == 2
    assert "-O='items.docx': must be a URI that ends with a format" in wrong.stderr


@pytest.mark.parametrize("command", ["status", "items", "purge"])
@pytest.mark.parametrize(
    ("words", "password", "code", "sentence"),
    [
        (["redis://127.0.0.1:1"], "", 1, "no Redis answers at redis://127.0.0.1:1"),
        (["http://a"], "", 1, "must be like redis://"),
        (["URL"], "wrong", 1, "refuses this user and password"),
        (["URL", "--job", "three"], PASSWORD, 2, "--job='three': must be a job in "),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    command: str,
    words: list[str],
    password: str,
    code: int,
    sentence: str,
    crawled: str,
) -> None:
    words = [word.replace("URL", crawled) for word in words]
    done = concurcrawl(command, *words, password=password)
    assert done.returncode == code
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_purge_asks_and_deletes_one_job_and_nothing_else(
    crawled: str, client: redis.Redis
) -> None:
    foreign = ["{concurcrawl:two-too}:job", "{other:two}:job", "concurcrawl"]
    for key in foreign:
        client.set(key, "mine")
    unasked = concurcrawl("purge", crawled, "--job", "two")
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    assert f"two (spider slow; finished): {PAGES} items in the stream" in unasked.stdout
    assert answered("no\n", "purge", crawled, "--job", "two") == 1
    assert client.exists("{concurcrawl:two}:job")
    assert answered("y\n", "purge", crawled, "--job", "two") == 0
    left = [key.decode() for key in client.scan_iter()]
    assert not [key for key in left if key.startswith("{concurcrawl:two}:")]
    assert set(foreign) <= set(left)
    assert "{concurcrawl:one}:job" in left


def answered(answer: str, *words: str) -> int:
    """Run a command in a terminal in which somebody types *answer*."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        done = subprocess.run(
            [sys.executable, "-m", "concurcrawl", *words],
            env={**environment(), "CONCURCRAWL_FRONTIER_PASSWORD": PASSWORD},
            stdin=theirs,
            stdout=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "for good? [y/N]" in done.stdout
    return done.returncode
