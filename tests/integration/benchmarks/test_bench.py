from __future__ import annotations

import dataclasses
import hashlib
import json
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import psutil
import pytest

from benchmarks.runner import contenders, frontier, workloads
from benchmarks.runner.measure import Job, run
from benchmarks.runner.pages import country_site, small_site
from benchmarks.runner.servers import (
    NginxServer,
    Visit,
    WaitingServer,
    peak_in_flight,
)
from tests.support.crawls import DEADLINE_S, ROOT, environment
from tests.support.servers.scrapyd import until

if TYPE_CHECKING:
    from pathlib import Path

PAGES = 3
LONGER_S = 110  # it is six runs, on machines that do other things, too


def bench(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.runner", *words],
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LONGER_S,
        check=False,
    )


def test_contenders_are_measured_in_turn_and_every_page_verified(
    tmp_path: Path,
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- bench:begin -->\n<!-- bench:end -->\n")
    done = bench(
        *("--workloads", "throughput", "--contenders", "aiohttp-16,aiohttp-64"),
        *("--server", "python", "--pages", str(PAGES), "--rounds", "2"),
        *("--out", str(tmp_path / "out"), "--readme", str(readme)),
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "bench.json").read_text())
    (table,) = results["tables"]
    order = [(run["round"], run["contender"]) for run in table["runs"]]
    names = ["aiohttp-16", "aiohttp-64"]
    assert order == [(number, name) for number in (1, 2) for name in names]
    for one in table["runs"]:
        assert (one["status"], one["lost"]) == ("ok", 0), one
        assert 0 < one["steady_s"] < one["wall_s"]
        assert 0 < one["startup_s"] < one["wall_s"]
        assert one["cpu_s"] > 0
    assert results["environment"]["scrapy"]
    verdicts = {verdict["verdict"] for verdict in results["targets"]}
    assert verdicts == {"not measured"}
    assert done.stdout in readme.read_text()
    assert done.stderr.splitlines()[0].startswith("plan: throughput: 2 rounds")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workloads", "speed"], "--workloads='speed': must be a list of throughput"),
        (["--contenders", "wget"], "--contenders='wget': must be a list of floor"),
        (["--rounds", "0"], "--rounds='0': must be a whole number from 1"),
        (["--server", "apache"], "--server='apache': must be auto, nginx, python"),
        (["--readme", "Makefile"], "--readme='Makefile': must be a text with the two"),
    ],
)
def test_what_cannot_be_worked_with_is_told_in_one_line(
    words: list[str], sentence: str
) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_program_that_is_named_is_there() -> None:
    for contender in contenders.CONTENDERS:
        assert (contenders.FOLDER / contender.file).is_file(), contender.name
    for workload in workloads.WORKLOADS:
        names = (*workload.contenders, *workload.once)
        assert set(names) <= set(contenders.BY_NAME), workload.name
        assert len(set(names)) == len(names), workload.name


@pytest.fixture
def job(tmp_path: Path) -> Job:
    site = country_site(tmp_path / "site", PAGES)
    return Job(
        contender=contenders.BY_NAME["aiohttp-16"],
        workload=dataclasses.replace(workloads.BY_NAME["throughput"], pages=PAGES),
        round=1,
        site=site,
        server=WaitingServer(site, tmp_path / "server"),
        scratch=tmp_path / "scratch",
    )


def test_workers_of_a_mode_are_seen_one_by_one(job: Job) -> None:
    hybrid = dataclasses.replace(job, contender=contenders.BY_NAME["hybrid"])
    with job.server:
        done = run(hybrid)
    assert (done.status, done.lost) == ("ok", 0), done.reason
    assert 0 < done.worker_rss_bytes < done.peak_bytes
    assert 0 < done.main_rss_bytes < done.peak_bytes
    assert done.others_share is None or 0 <= done.others_share <= 1


def test_a_page_that_is_not_what_was_sent_is_lost(job: Job) -> None:
    name = next(iter(job.site.expected))
    other = dataclasses.replace(job.site, expected={**job.site.expected, name: "0"})
    with job.server:
        done = run(dataclasses.replace(job, site=other))
    assert (done.status, done.lost) == ("lost", 1)


def test_who_takes_too_long_is_stopped_and_who_is_not_installed_is_named(
    job: Job,
) -> None:
    hasty = dataclasses.replace(job.workload, timeout_s=0.01)
    stranger = dataclasses.replace(job.contender, programs=("no-such-program",))
    with job.server:
        late = run(dataclasses.replace(job, workload=hasty))
        absent = run(dataclasses.replace(job, contender=stranger))
    assert (late.status, late.reason) == ("failed", "it took longer than 0.01 s")
    assert absent.status == "not run"
    assert absent.reason == "the program no-such-program is not installed"


def test_nginx_serves_the_pages_and_tells_what_it_saw(tmp_path: Path) -> None:
    site = small_site(tmp_path / "site", PAGES)
    trusting = ssl.create_default_context()
    with NginxServer(site, tmp_path / "nginx", tls=True) as server:
        trusting.load_verify_locations(server.certificate)
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=trusting))
        with opener.open(server.list_url, timeout=30) as answer:
            assert b"/small/0000002" in answer.read()
        until(server.visits)  # it is noted a moment after the last byte was sent
        server.reset()
        address = server.list_url.replace(site.list_path, "/small/0000001")
        opener.addheaders = [("Accept-Encoding", "gzip")]
        with opener.open(address, timeout=30) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
        until(server.visits)
        assert [visit.path for visit in server.visits()] == ["/small/0000001"]
        assert server.cpu_s() > 0


def test_nginx_is_many_hosts_on_the_loopback_device(tmp_path: Path) -> None:
    site = small_site(tmp_path / "site", PAGES)
    with NginxServer(site, tmp_path / "nginx", hosts=600) as server:
        opener = build_opener(ProxyHandler({}))
        for host in ("127.0.0.1", "127.1.0.0", "127.1.2.87"):
            address = server.list_url.replace("127.0.0.1", host)
            with opener.open(address, timeout=30) as answer:
                assert b"/small/0000002" in answer.read()
        until(lambda: len(server.visits()) == 3)
        assert server.cpu_s() > 0


def test_nginx_ends_with_whoever_started_it(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from benchmarks.runner.pages import small_site; "
        "from benchmarks.runner.servers import NginxServer; "
        "folder = pathlib.Path(sys.argv[1]); "
        "server = NginxServer(small_site(folder / 'site', 1), folder / 'nginx'); "
        "server.__enter__(); "
        "print((folder / 'nginx' / 'nginx.pid').read_text(), flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment(),
        stdout=subprocess.PIPE,
        timeout=DEADLINE_S,
        check=True,
    )
    with suppress(psutil.NoSuchProcess):  # it may have ended by now
        psutil.Process(int(done.stdout)).wait(DEADLINE_S)


def test_a_server_that_waits_answers_many_at_a_time(tmp_path: Path) -> None:
    site = country_site(tmp_path / "site", PAGES)
    path = "/wiki/China?n=7"
    with WaitingServer(site, tmp_path / "server", latency_s=0.2) as server:
        opener = build_opener(ProxyHandler({}))
        address = server.list_url.replace(site.list_path, path)
        with ThreadPoolExecutor(4) as pool:
            bodies = list(pool.map(lambda url: opener.open(url).read(), [address] * 4))
        assert {hashlib.sha256(body).hexdigest() for body in bodies} == {
            site.expected["China.html"]
        }
        visits = server.visits()
        assert [visit.path for visit in visits] == [path] * 4
        assert all(visit.end_s - visit.begin_s >= 0.2 for visit in visits)
        assert peak_in_flight(visits) > 1
        with pytest.raises(HTTPError, match="404"):
            opener.open(server.list_url + "-no")
        assert server.cpu_s() > 0


def test_requests_that_overlap_are_in_flight_together() -> None:
    visits = [Visit("/a", 0.0, 2.0), Visit("/b", 1.0, 3.0), Visit("/c", 2.0, 4.0)]
    assert peak_in_flight(visits) == 2


@pytest.mark.parametrize("where", list(frontier.PLACES))
def test_a_frontier_alone_is_measured_step_by_step(where: str) -> None:
    found = frontier.measure(where, 150, 100)
    assert (found.requests, found.groups) == (150, 100)
    for step_us in (found.push_us, found.take_us, found.complete_us):
        assert step_us is not None
        assert step_us > 0
