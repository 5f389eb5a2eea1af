"""``concurcrawl deploy`` to real Scrapyds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from concurcrawl.tools.scrapyd.options import AUTH_VARIABLE
from tests.support.crawls import PROJECT, ROOT, environment
from tests.support.servers.redis import redis_server
from tests.support.servers.scrapyd import PATIENCE_S, Scrapyd, scrapyd, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)

PASSWORD = "open-sesame"
#: Nothing listens at the port that is for discarding.
DOWN = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True)
    settings = folder / "anyspider" / "settings.py"
    code = f"import sys\nsys.path.append({str(ROOT)!r})\n"
    settings.write_text(code + settings.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scrapyd, ...]]:
    """One that lets everybody in, and one with a password."""
    with ExitStack() as stack:
        locked = {"username": "me", "password": PASSWORD}
        yield tuple(
            stack.enter_context(scrapyd(tmp_path_factory.mktemp("node"), **options))
            for options in ({}, locked)
        )


@contextmanager
def deploying(
    project: Path, *words: str, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "concurcrawl", "deploy", *words],
        cwd=project,
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def deploy(project: Path, *words: str, **variables: str) -> tuple[int, str, str]:
    """Return exit code, output and errors."""
    with deploying(project, *words, **variables) as process:
        out, errors = process.communicate(timeout=PATIENCE_S)
        assert PASSWORD not in out + errors
        return process.returncode, out, errors


def last(out: str) -> dict[str, dict[str, Any]]:
    """Return the last JSON line of each node."""
    return {one["node"]: one for one in map(json.loads, out.splitlines())}


def name(url: str) -> str:
    return url.removeprefix("http://").strip("/")


def test_it_runs_on_all_nodes_and_says_which_failed_why(
    project: Path, nodes: tuple[Scrapyd, ...], site: str, tmp_path: Path
) -> None:
    free, locked = nodes
    urls = f"{free.url},{locked.url},{DOWN}"
    # Each page waits: the jobs last for many looks at them, on a quick machine too.
    words = ["--nodes", urls, "--spider", "slow", "-a", "pages=16", "-a", "wait=0.5"]
    words += ["--mode", "parallel", "-a", f"site={site}", "--json", "--independent"]
    words += ["--out", str(tmp_path / "out"), "--job", "all"]
    code, out, errors = deploy(project, *words, **{AUTH_VARIABLE: f"me:{PASSWORD}"})
    found = last(out)
    assert code == 1, errors
    refused = "unreachable: it refuses connections; does Scrapyd run there?"
    assert found[name(DOWN)]["reason"] == refused
    for node in nodes:
        assert found[name(node.url)]["state"] == "finished", out
        assert found[name(node.url)]["items"] == len(node_items(tmp_path, node)) > 3
    states = [one["state"] for one in map(json.loads, out.splitlines())]
    assert set(states) >= {"uploading", "running", "collecting", "finished", "failed"}


def test_nodes_with_a_frontier_share_one_crawl(
    project: Path, nodes: tuple[Scrapyd, ...], site: str, tmp_path: Path
) -> None:
    locked = nodes[1].url.replace("http://", f"http://me:{PASSWORD}@")
    with redis_server(tmp_path) as redis:
        words = ["--nodes", f"{nodes[0].url},{locked}", "--frontier", redis.url]
        words += ["--spider", "slow", "-a", f"site={site}", "-a", "pages=80"]
        words += ["--mode", "hybrid", "-s", "CONCURRENT_REQUESTS=2"]
        words += ["--out", str(tmp_path / "out"), "--job", "shared"]
        code, out, errors = deploy(project, *words)
        assert code == 0, out + errors
        assert redis.job("shared")["reason"] == "finished"
    feeds = [node_items(tmp_path, node) for node in nodes]
    assert all(feeds)
    found = sorted(json.loads(line)["page"] for feed in feeds for line in feed)
    assert found == sorted(str(number) for number in range(80))


def node_items(tmp_path: Path, node: Scrapyd) -> list[str]:
    feed = tmp_path / "out" / f"{name(node.url).replace(':', '-')}.jsonl"
    return feed.read_text(encoding="utf-8").splitlines()


def test_a_node_that_does_not_let_us_in_or_rejects_the_egg_says_so(
    project: Path, nodes: tuple[Scrapyd, ...], tmp_path: Path
) -> None:
    free, locked = nodes
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    with (broken / "anyspider" / "settings.py").open("a", encoding="utf-8") as file:
        file.write("import nothing_of_that_name\n")
    wrong = locked.url.replace("http://", "http://me:wrong@")
    words = ["--nodes", f"{free.url},{wrong}", "--independent", "--spider", "slow"]
    code, out, _ = deploy(broken, *words, "--project", "broken")
    assert code == 1
    missing = "ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert f"{name(free.url)} failed: the egg was rejected: {missing}\n" in out
    assert f"{name(locked.url)} failed: wrong user or password\n" in out
    code, out, _ = deploy(broken, "--nodes", locked.url, "--spider", "slow")
    assert f"{name(locked.url)} failed: it asks for a password\n" in out


def test_a_job_that_crashes_is_told_by_the_last_error_of_its_log(
    project: Path, nodes: tuple[Scrapyd, ...], site: str, tmp_path: Path
) -> None:
    words = ["--nodes", nodes[0].url, "--spider", "slow", "-a", f"site={site}"]
    words += ["--mode", "parallel", "-a", "pages=0", "-a", "poison=1"]
    words += ["-s", "CONCURCRAWL_MAX_RESTARTS=0", "--out", str(tmp_path)]
    code, out, _ = deploy(project, *words)
    assert code == 1
    assert "failed: ended early: workers_failed; last error: " in out
    (log,) = tmp_path.glob("*.log")
    assert "workers died; the crawl ends" in log.read_text(encoding="utf-8")
    refused = [*words[:4], "--project", "anyspider", "-s", "MODE=fast"]
    code, out, _ = deploy(project, *refused)
    assert code == 1
    assert "failed: crashed: MODE='fast': must be one of serial, " in out


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on_and_the_job_can_be_followed(
    project: Path, nodes: tuple[Scrapyd, ...], site: str
) -> None:
    node = nodes[0]
    words = ["--nodes", node.url, "--spider", "slow", "-a", f"site={site}"]
    words += ["--mode", "async", "-a", "pages=2000", "--job", "long", "--json"]
    with deploying(project, *words) as process:
        until(lambda: "Spider opened" in node.log("long"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
    assert f"--project anyspider --follow long --nodes {node.url}" in errors
    assert f"curl {node.url}cancel.json -d project=anyspider -d job=long" in errors
    assert node.state("long") == "running"
    follow = ["--nodes", node.url, "--follow", "long", "--cancel-on-interrupt"]
    with deploying(project, *follow) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(" running\n")
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
    assert "Cancelling on all nodes" in errors
    assert "failed: ended early: shutdown" in out


def test_a_node_that_dies_meanwhile_fails_after_a_while_and_the_other_goes_on(
    project: Path, nodes: tuple[Scrapyd, ...], site: str, tmp_path: Path
) -> None:
    with scrapyd(tmp_path / "mortal") as mortal:
        urls = f"{nodes[0].url},{mortal.url}"
        words = ["--nodes", urls, "--independent", "--spider", "slow", "--job", "two"]
        words += ["-a", f"site={site}", "-a", "pages=9", "--mode", "async"]
        with deploying(project, *words, "--patience", "1") as process:
            until(lambda: mortal.state("two") == "running")
            os.kill(mortal.process.pid, signal.SIGKILL)
            mortal.process.wait()
            out, _ = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 1
    assert f"{name(mortal.url)} failed: unreachable: " in out
    assert f"{name(nodes[0].url)} finished\n" in out


def test_outside_a_project_or_without_an_egg_nothing_is_sent(
    project: Path, tmp_path: Path
) -> None:
    words = ["--nodes", DOWN, "--spider", "slow"]
    code, _, errors = deploy(tmp_path, *words)
    assert code == 2
    assert f"given, for {tmp_path} is in no Scrapy project" in errors
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    (broken / "setup.py").write_text("raise RuntimeError('no egg today')\n")
    code, _, errors = deploy(broken, *words)
    assert code == 1
    assert errors == (
        "concurcrawl deploy: scrapyd-client built no egg: RuntimeError: no egg today\n"
    )
    code, _, errors = deploy(broken, *words, "-s", "CONCURCRAWL_WORKERS=-1")
    assert code == 2
    assert "CONCURCRAWL_WORKERS='-1': must be a whole number >= 0" in errors
