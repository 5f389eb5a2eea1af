"""What is planted in a real comparison is called out by it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from concurcrawl.tools.testsite.process import SiteProcess
from tests.integration.tools.compare.test_compare import SETTINGS, compare, read

if TYPE_CHECKING:
    from pathlib import Path

#: In ``async`` each page takes half a second more, in ``concurrent`` one page is never
#: asked for, and the second run of ``serial`` starts late.
SPIDER = """
import time
from pathlib import Path
import scrapy

class Planted(scrapy.Spider):
    name = "planted"

    async def start(self):
        if self.settings["MODE"] == "serial":
            try:
                Path(self.been).touch(exist_ok=False)
            except FileExistsError:
                time.sleep(4)
        yield scrapy.Request(self.first)

    def parse(self, response):
        pages = response.css(".flagicon + a")[:4]
        for link in pages[: 3 if self.settings["MODE"] == "concurrent" else 4]:
            yield response.follow(link, self.parse_page)

    def parse_page(self, response):
        if self.settings["MODE"] == "async":
            time.sleep(0.5)
        yield {"title": response.css("h1 ::text").get()}
"""

#: Keeps a core busy until its standard input closes, and then ends.
HOG = """
import sys, threading
ended = []
threading.Thread(target=lambda: (sys.stdin.read(), ended.append(1))).start()
while not ended:
    pass
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "scrapy.cfg").write_text("[settings]\ndefault = mine.settings\n")
    spiders = folder / "mine" / "spiders"
    spiders.mkdir(parents=True)
    (folder / "mine" / "__init__.py").touch()
    (folder / "mine" / "settings.py").write_text(SETTINGS)
    (spiders / "__init__.py").touch()
    (spiders / "planted.py").write_text(SPIDER)
    return folder


@pytest.fixture(scope="module")
def warnings(project: Path) -> list[str]:
    """What a comparison says of a slow mode, a lost page and an unsteady machine."""
    with SiteProcess() as testsite:
        done = compare(
            *("--spider", "planted", "--modes", "serial,async,concurrent"),
            *("--rounds", "2", "--pages", "5"),
            *("-a", f"first={testsite.list_url}", "-a", f"been={project / 'been'}"),
            cwd=project,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    (experiment,) = read(project / "compare")["experiments"]
    found: list[str] = experiment["warnings"]
    said = " ".join(done.stdout.split())
    page = (project / "compare" / "report.html").read_text(encoding="utf-8")
    for sentence in found:
        assert sentence in said
        assert sentence.split(":")[0] in page
    return found


def test_a_slow_mode_is_called_out(warnings: list[str]) -> None:
    (sentence,) = [one for one in warnings if one.startswith("async took ")]
    assert "times as long as waiting and CPU of a page explain" in sentence
    assert "something held it back that serial does not feel" in sentence
    assert sentence.endswith("Look at its timeline for gaps.")


def test_a_lost_page_is_called_out_by_its_name(warnings: list[str]) -> None:
    (sentence,) = [one for one in warnings if one.startswith("concurrent lost ")]
    assert sentence.startswith("concurrent lost 1 of 5 pages (http://127.0.0.1:")
    assert "its time is not that of the whole crawl and does not compare" in sentence
    assert sentence.endswith("mend that, and compare again.")


def test_rounds_that_differ_are_called_out(warnings: list[str]) -> None:
    (sentence,) = [one for one in warnings if one.startswith("The same work took ")]
    assert "serial" in sentence
    assert "The machine was unsteady, and smaller differences between modes" in sentence
    assert sentence.endswith("or use more --rounds.")


def test_a_machine_that_others_keep_busy_is_called_out(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOG], stdin=subprocess.PIPE
    ):  # the end of this block closes the pipe
        done = compare(
            *("--modes", "serial", "--pages", "3", "--latency", "0"), cwd=tmp_path
        )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = read(tmp_path / "compare")["runs"]
    said = " ".join(done.stdout.split())
    told = "! Other programs kept up to " in said
    assert told == (run["machine_cpu_s"] is not None)  # else no telling
