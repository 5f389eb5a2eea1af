"""With a Scrapy whose private parts have moved, a mode ends in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import scrapy

from tests.support.crawls import DEADLINE_S, PROJECT, crawling, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.crawls import Result

#: Imports modules of Scrapy with one word of their sources replaced.
PATCH = """
import importlib.abc, importlib.machinery, os, re, sys

module, old, new = os.environ["MOVED"].split()

class Moved(importlib.machinery.SourceFileLoader):
    def get_code(self, name):
        path = self.get_filename(name)
        source = self.get_data(path).decode()
        return self.source_to_code(re.sub(rf"\\b{old}\\b", new, source), path)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        spec.loader = Moved(name, spec.origin)
        return spec

sys.meta_path.insert(0, Finder())
"""


def variables(folder: Path, moved: str) -> dict[str, str]:
    """Return an environment in which a word of a module is another."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(PATCH, encoding="utf-8")
    path = os.pathsep.join([str(folder), environment()["PYTHONPATH"]])
    return {"PYTHONPATH": path, "MOVED": moved}


def crawled(site: str, folder: Path, moved: str, *options: str) -> Result:
    with crawling(
        "pagecount",
        site,
        folder / "crawl",
        *options,
        variables=variables(folder / "patch", moved),
    ) as running:
        return running.finish()


ENGINE = "scrapy.core.engine"


@pytest.mark.parametrize(
    ("moved", "part", "options"),
    [
        (f"{ENGINE} _slot _place", f"{ENGINE}.ExecutionEngine._slot", ["MODE=async"]),
        (
            "scrapy.crawler _create_spider _make_spider",
            "scrapy.crawler.Crawler._create_spider",
            ["MODE=parallel"],
        ),
        (
            "scrapy.extensions.feedexport _close_slot _end_slot",
            "scrapy.extensions.feedexport.FeedExporter._close_slot",
            ["MODE=serial", "JOBDIR=job"],
        ),
    ],
    ids=["engine", "crawler", "feeds"],
)
def test_a_mode_ends_with_one_sentence(
    moved: str, part: str, options: list[str], tmp_path: Path
) -> None:
    given = [word for option in options for word in ("-s", option)]
    found = crawled("http://localhost:9", tmp_path, moved, *given)
    assert found.exit_code == 1
    assert found.log.splitlines()[-1] == (
        f"Scrapy {scrapy.__version__} has no {part}, which MODE needs: leave MODE out, "
        "or install the release that is known to work: pip install scrapy==2.19.0"
    )
    assert found.log.count("_slot") + found.log.count("_create_spider") == 1
    assert "Traceback" not in found.log


def test_without_a_mode_the_crawl_is_scrapys_own(site: str, tmp_path: Path) -> None:
    moved = "scrapy.crawler _create_spider _make_spider"
    found = crawled(site, tmp_path, moved, "-s", "MODE=")
    assert found.exit_code == 0
    assert found.stats["finish_reason"] == "closespider_pagecount"


def test_doctor_says_it_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "concurcrawl", "doctor", "--json"],
        cwd=PROJECT,
        env=environment() | variables(tmp_path, f"{ENGINE} _slot _place"),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert f"has no {ENGINE}.ExecutionEngine._slot, which MODE needs" in done.stdout
    assert done.returncode == 1
