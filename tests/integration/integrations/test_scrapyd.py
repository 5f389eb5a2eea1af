"""Jobs of a real Scrapyd, from eggs that scrapyd-client builds."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from typing import TYPE_CHECKING
from zipfile import ZipFile

import psutil
import pytest

from tests.support.crawls import MODES, PROJECT, ROOT, crawl
from tests.support.servers.scrapyd import PATIENCE_S, Scrapyd, deploy, scrapyd, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)

OURS = ("concurcrawl", "pyproject.toml", "setup.py", "scrapy.cfg", "README.md")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrapyd]:
    """A Scrapyd with two projects: the repository, and spiders of somebody else."""
    ours = tmp_path_factory.mktemp("ours")
    for name in OURS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, ours / name)
    spider = ours / "concurcrawl" / "spiders" / "countries.py"
    code = spider.read_text(encoding="utf-8")
    marked = code.replace('"file": file,\n', '"file": file, "code": __file__,\n')
    spider.write_text(marked, encoding="utf-8")
    theirs = tmp_path_factory.mktemp("theirs")
    shutil.copytree(PROJECT, theirs, dirs_exist_ok=True)
    # The add-on's own package is installed on a server; here it is this tree's.
    settings = theirs / "anyspider" / "settings.py"
    code = f"import sys\nsys.path.append({str(ROOT)!r})\n"
    settings.write_text(code + settings.read_text(encoding="utf-8"), encoding="utf-8")
    with scrapyd(tmp_path_factory.mktemp("scrapyd")) as running:
        assert '"spiders": 1' in deploy(ours, "concurcrawl", running.url)
        deploy(theirs, "anyspider", running.url)
        yield running


def start(server: Scrapyd, job: str, mode: str, *settings: str, **args: str) -> None:
    """Schedule the spider ``slow``."""
    settings = (f"MODE={mode}", "CONCURCRAWL_WORKERS=2", *settings)
    server.schedule("slow", job, "anyspider", *settings, **args)


def test_every_mode_runs_from_the_egg_at_once_and_each_job_keeps_to_itself(
    server: Scrapyd,
) -> None:
    for mode in MODES:
        settings = (f"MODE={mode}", "CONCURCRAWL_WORKERS=2")
        server.schedule("countries", mode, "concurcrawl", *settings, pages="6")
    for mode in MODES:
        server.finish(mode)
        log = server.log(mode)
        assert "'finish_reason': 'finished'" in log, log
        items = server.items(mode)
        assert len(items) == 6
        assert all(".egg/concurcrawl/spiders/" in item["code"] for item in items)
        pages = server.folder / "pages" / mode
        assert {page.name for page in pages.iterdir()} == {i["file"] for i in items}
        assert (server.folder / "jobs/concurcrawl/countries" / mode).is_dir()


def test_the_egg_has_all_that_the_package_reads(server: Scrapyd) -> None:
    (egg,) = (server.folder / "eggs" / "concurcrawl").glob("*.egg")
    package = ROOT / "concurcrawl"
    read = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*.*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert read <= set(ZipFile(egg).namelist())


@pytest.mark.parametrize(
    ("spider", "mode"), [("closures", "parallel"), ("login", "hybrid")]
)
def test_somebody_s_spiders_give_what_they_give_on_a_command_line(
    spider: str, mode: str, server: Scrapyd, site: str, tmp_path: Path
) -> None:
    server.schedule(spider, spider, "anyspider", f"MODE={mode}", site=site)
    plain = crawl(spider, site, tmp_path)
    expected = [line for line, n in plain.items.items() for _ in range(n)]
    server.finish(spider)
    (feed,) = server.folder.glob(f"items/*/*/{spider}.jl")
    lines = feed.read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted(expected)
    assert len(lines) > 3


def test_a_cancelled_job_ends_whole_and_its_neighbour_goes_on(
    server: Scrapyd, site: str
) -> None:
    start(server, "stays", "parallel", site=site, pages="30")
    start(server, "goes", "hybrid", "LOG_LEVEL=DEBUG", site=site, pages="400")
    until(lambda: "[worker-2] " in server.log("goes"))
    until(lambda: "Crawled (200)" in server.log("goes"))
    tree = descendants(server, "goes")
    server.cancel("goes", "anyspider")
    server.finish("goes")
    assert len(tree) >= 3
    assert gone(tree)
    log, items = server.log("goes"), server.items("goes")
    assert "'finish_reason': 'shutdown'" in log
    assert f"'item_scraped_count': {len(items)}," in log
    assert 0 < len(items) < 400
    server.finish("stays")
    assert Counter(i["page"] for i in server.items("stays")) == pages(30)


def test_cancelled_twice_it_ends_now(server: Scrapyd, site: str) -> None:
    start(server, "twice", "hybrid", site=site, pages="400", wait="120")
    until(lambda: "Spider opened" in server.log("twice"))
    tree = descendants(server, "twice")
    server.cancel("twice", "anyspider")
    until(lambda: "shutting down gracefully" in server.log("twice"))
    server.cancel("twice", "anyspider")
    until(lambda: server.state("twice") == "finished", 60)  # pages would take 120 s
    assert gone(tree)


@pytest.mark.parametrize(
    ("number", "mode"), [(signal.SIGTERM, "serial"), (signal.SIGKILL, "hybrid")]
)
def test_a_scrapyd_that_dies_leaves_no_process_and_its_jobs_can_go_on(
    number: signal.Signals, mode: str, server: Scrapyd, site: str, tmp_path: Path
) -> None:
    few = "CONCURRENT_REQUESTS=3"
    shutil.copytree(server.folder / "eggs", tmp_path / "eggs")
    with scrapyd(tmp_path) as mortal:
        start(mortal, "job", mode, "LOG_LEVEL=DEBUG", few, site=site)
        until(lambda: "Crawled (200)" in mortal.log("job"))
        tree = mortal.tree()
        assert len(tree) >= 3
        mortal.process.send_signal(number)
        mortal.process.wait(PATIENCE_S)
        assert gone(tree)
        assert "The Scrapyd that started this job is gone" in mortal.log("job")
        assert "'finish_reason': 'shutdown'" in mortal.log("job")
        assert 0 < len(mortal.items("job")) < 40
    with scrapyd(tmp_path) as again:
        start(again, "job", "async", site=site)
        again.finish("job")
        assert Counter(item["page"] for item in again.items("job")) == pages(40)


def test_a_job_that_is_killed_leaves_no_process(server: Scrapyd, site: str) -> None:
    start(server, "killed", "parallel", "LOG_LEVEL=DEBUG", site=site, pages="400")
    until(lambda: "Crawled (200)" in server.log("killed"))
    tree = descendants(server, "killed")
    assert len(tree) >= 3
    os.kill(pid_of(server, "killed"), signal.SIGKILL)
    assert gone(tree)


def gone(processes: list[psutil.Process]) -> bool:
    """Wait until they are."""
    _, left = psutil.wait_procs(processes, timeout=PATIENCE_S / 2)
    return not left


def pages(count: int) -> dict[str, int]:
    return {str(number): 1 for number in range(count)}


def pid_of(server: Scrapyd, job: str) -> int:
    running = server.ask("listjobs.json")["running"]
    (pid,) = [one["pid"] for one in running if one["id"] == job]
    assert isinstance(pid, int)
    return pid


def descendants(server: Scrapyd, job: str) -> list[psutil.Process]:
    return psutil.Process(pid_of(server, job)).children(recursive=True)
