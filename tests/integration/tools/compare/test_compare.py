"""The whole command, as a process, with the real test site and real crawls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from concurcrawl.tools.testsite.process import SiteProcess
from concurcrawl.tracing.record import from_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]

SETTINGS = """
BOT_NAME = "mine"
SPIDER_MODULES = ["mine.spiders"]
ADDONS = {"concurcrawl.Addon": 500}
"""

SPIDER = """
import scrapy

class Mine(scrapy.Spider):
    name = "mine"

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        if crawler.settings["MODE"] == kwargs.get("broken"):
            raise SystemExit("MODE is broken today")
        return super().from_crawler(crawler, *args, **kwargs)

    async def start(self):
        yield scrapy.Request(self.first)

    def parse(self, response):
        for link in response.css(".flagicon + a")[:4]:
            yield response.follow(link, self.parse_page)

    def parse_page(self, response):
        yield {"title": response.css("h1 ::text").get()}
"""


def environment() -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def compare(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "concurcrawl", "compare", *words],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def read(folder: Path) -> Any:
    return json.loads((folder / "compare.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def testsite() -> Iterator[SiteProcess]:
    with SiteProcess() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    spiders = folder / "mine" / "spiders"
    spiders.mkdir(parents=True)
    (folder / "scrapy.cfg").write_text("[settings]\ndefault = mine.settings\n")
    (folder / "mine" / "__init__.py").touch()
    (folder / "mine" / "settings.py").write_text(SETTINGS)
    (spiders / "__init__.py").touch()
    (spiders / "mine.py").write_text(SPIDER)
    return folder


def test_two_modes_and_a_sweep_on_the_test_site(tmp_path: Path) -> None:
    options = [
        "--pages",
        "5",
        "--rounds",
        "1",
        "--modes",
        "serial,async",
        "--latency",
        "0.15",
        *("--sweep", "1,4", "-s", "CONCURRENT_REQUESTS=7", "-s", "MY_KEY=secret"),
    ]
    done = compare(*options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    found = read(tmp_path / "compare")
    assert found["complete"] is True
    assert [row["mode"] for row in found["modes"]] == ["serial", "async"]
    for row in found["modes"]:
        assert (row["status"], row["pages"], row["items"]) == ("ok", 5, 5)
        assert (row["lost_pages"], row["failures"]) == (0, 0)
        assert row["same_pages"]
        assert row["same_items"]
        assert 0 < row["startup_s"] < row["wall_s"]
        assert row["cpu_s_per_page"] > 0
        assert row["peak_rss_bytes"] > 20 << 20
    assert [row["peak_in_flight"] for row in found["modes"]] == [1, 5]
    for raw in found["runs"]:
        records = (tmp_path / "compare" / raw["records"]).read_text(encoding="utf-8")
        assert len(list(from_lines(records.splitlines()))) == 6  # and the list page
    folder = tmp_path / "compare"
    assert list(folder.rglob("*.html")) == [folder / "report.html"]  # no page is left
    assert json.loads((folder / "trace.json").read_text())["traceEvents"]
    (experiment,) = found["experiments"]
    assert experiment["cost"]["waiting_s"] > 0
    assert set(experiment["predictions"]) == set(experiment["phases"])
    assert [run["level"] for run in experiment["runs"]] == [None, None, 1, 4]
    assert [run["peak_in_flight"] for run in experiment["runs"][2:]] == [1, 4]
    assert "One by one a page is " in said
    assert "too few levels to fit" in said
    assert found["environment"]["spider"] == "countries"
    assert "CONCURRENT_REQUESTS=7" in found["environment"]["settings"]
    assert "secret" not in str(found["environment"])


def test_a_spider_of_the_project_at_hand(project: Path, testsite: SiteProcess) -> None:
    options = ["--spider", "mine", "-a", f"first={testsite.list_url}"]
    done = compare(*options, "--modes", "serial,async", cwd=project / "mine")
    assert done.returncode == 0, done.stdout + done.stderr
    for row in read(project / "mine" / "compare")["modes"]:
        assert (row["pages"], row["items"], row["lost_pages"]) == (5, 4, 0)
        assert row["same_pages"]
        assert row["same_items"]


def test_a_mode_that_fails_does_not_hide_the_others(
    project: Path, testsite: SiteProcess
) -> None:
    options = ["--spider", "mine", "-a", f"first={testsite.list_url}"]
    options += ["-a", "broken=async", "--modes", "async,serial", "--out", "results"]
    done = compare(*options, cwd=project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "async failed: exit code 1: MODE is broken today" in done.stdout
    rows = read(project / "results")["modes"]
    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert rows[0]["reason"] == "exit code 1: MODE is broken today"


def test_a_crawl_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    options = ["--pages", "50", "--modes", "serial", "--latency", "2", "--timeout", "4"]
    done = compare(*options, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "serial failed: did not end within 4 s (--timeout)" in done.stdout


def test_a_spider_that_leaves_this_machine_is_stopped(project: Path) -> None:
    done = compare(
        *("--spider", "mine", "-a", "first=http://nowhere.invalid/"),
        *("--modes", "serial", "-s", "RETRY_ENABLED=0"),
        cwd=project,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "or allowed with --yes-live" in done.stderr
    assert "http://nowhere.invalid/" in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--spider", "other"], "must be a spider of this project (mine)"),
        (["--out", "scrapy.cfg/x"], "--out='scrapy.cfg/x': "),
        (["-s", "CONCURCRAWL_WORKERS=-1"], "CONCURCRAWL_WORKERS='-1': must be"),
        (["--modes", "fast"], "--modes='fast': must be a list of"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_before_any_run(
    project: Path, options: list[str], sentence: str
) -> None:
    done = compare(*options, cwd=project)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (project / "compare").exists()


def test_a_project_without_the_add_on_is_told_what_to_write(project: Path) -> None:
    settings = project / "mine" / "settings.py"
    settings.write_text(SETTINGS.replace("ADDONS", "OTHER"))
    done = compare("--spider", "mine", cwd=project)
    assert done.returncode == 2
    assert 'write ADDONS = {"concurcrawl.Addon": 500}' in done.stderr


@contextmanager
def comparing(
    folder: Path,
) -> Iterator[tuple[subprocess.Popen[str], set[psutil.Process]]]:
    """Yield a comparison whose second run is under way, and all it has started."""
    options = ["--pages", "100", "--modes", "async,serial", "--latency", "0.2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "concurcrawl", "compare", *options],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            deadline = time.monotonic() + 60
            records = folder / "compare" / "save" / "serial-1" / "records.jsonl"
            while not records.exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
            started = psutil.Process(process.pid).children(recursive=True)
            assert len(started) >= 3  # the test site, the one who measures, the crawl
            yield process, set(started)
        finally:
            process.kill()


def test_ctrl_c_stops_the_crawl_and_keeps_what_had_ended(tmp_path: Path) -> None:
    with comparing(tmp_path) as (process, started):
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "Interrupted" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(started, timeout=15)
    assert not alive
    found = read(tmp_path / "compare")
    assert found["complete"] is False
    assert [row["status"] for row in found["modes"]] == ["ok", "not run"]


def test_nothing_stays_when_it_is_killed(tmp_path: Path) -> None:
    with comparing(tmp_path) as (process, started):
        process.kill()
        process.wait(60)
        _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive


def test_scrapy_has_the_command_too(tmp_path: Path) -> None:
    # The entry point as an installation writes it, for a checkout that is not one.
    about = tmp_path / "site" / "concurcrawl_here-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: concurcrawl-here\n")
    entry = "[scrapy.commands]\ncompare = concurcrawl.commands:Compare\n"
    (about / "entry_points.txt").write_text(entry)
    variables = environment()
    variables["PYTHONPATH"] += os.pathsep + str(about.parent)
    options = ["--pages", "3", "--modes", "serial", "--work", "save", "--latency", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "scrapy", "compare", *options],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(tmp_path / "compare")["modes"][0]["pages"] == 3
