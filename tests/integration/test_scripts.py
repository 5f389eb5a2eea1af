"""The modes from a script, from a file, without a reactor; and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import DEADLINE_S, PROJECT, environment
from tests.unit.test_addon import WRONG_MODE

if TYPE_CHECKING:
    from pathlib import Path

SPIDER = """
import scrapy


class Page(scrapy.Item):
    url = scrapy.Field()


class Pages(scrapy.Spider):
    name = "pages"

    def __init__(self, site=None, **kwargs):
        super().__init__(**kwargs)
        self.start_urls = [f"{site}/status/200?{number}" for number in range(4)]

    def parse(self, response):
        yield Page(url=response.url)
        yield response.follow(
            response.url + "-more", lambda response: [Page(url=response.url)]
        )
"""

SCRIPT = """
import sys

from scrapy.crawler import AsyncCrawlerProcess, CrawlerProcess


class Checked:
    def process_item(self, item):
        assert type(item) is Page, type(item)
        return item


kind, site, feed, settings = sys.argv[1:]
process = {"async": AsyncCrawlerProcess, "deferred": CrawlerProcess}[kind](
    {
        "ADDONS": {"concurcrawl.Addon": 500},
        "FEEDS": {feed: {"format": "json"}},
        "ITEM_PIPELINES": {Checked: 1},
        **eval(settings),
    }
)
process.crawl(Pages, site=site)
process.start()
print("the script goes on")
"""


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def urls(feed: Path) -> list[str]:
    found = json.loads(feed.read_text(encoding="utf-8"))
    return sorted(item["url"].split("?")[1] for item in found)


EXPECTED = sorted(f"{n}{more}" for n in range(4) for more in ("", "-more"))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("async", "serial"),
        ("async", "async"),
        ("async", "parallel"),
        ("deferred", "concurrent"),
        ("deferred", "async"),
        ("deferred", "hybrid"),
    ],
)
def test_a_script_without_a_guard_crawls_in_every_mode(
    kind: str, mode: str, site: str, tmp_path: Path
) -> None:
    script, feed = tmp_path / "script.py", tmp_path / "feed.json"
    script.write_text(SPIDER + SCRIPT, encoding="utf-8")
    settings = repr({"MODE": mode})
    done = run(str(script), kind, site, str(feed), settings, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the script goes on" in done.stdout
    assert urls(feed) == EXPECTED
    assert "ERROR" not in done.stderr


@pytest.mark.parametrize("mode", ["serial", "async", "parallel", "hybrid"])
def test_it_works_without_a_reactor(mode: str, site: str, tmp_path: Path) -> None:
    script, feed = tmp_path / "script.py", tmp_path / "feed.json"
    script.write_text(SPIDER + SCRIPT, encoding="utf-8")
    settings = repr({"MODE": mode, "TWISTED_REACTOR_ENABLED": False})
    done = run(str(script), "async", site, str(feed), settings, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert urls(feed) == EXPECTED


@pytest.mark.parametrize("mode", ["concurrent", "parallel", "hybrid"])
def test_a_spider_that_is_a_file_crawls(mode: str, site: str, tmp_path: Path) -> None:
    # In a folder that is on no path: workers must find the file and its neighbours all
    # the same, and not those of the same names in the current folder.
    spider, feed = tmp_path / "away" / "lonely_spider.py", tmp_path / "feed.json"
    spider.parent.mkdir()
    spider.write_text(f"import neighbour\n{SPIDER}", encoding="utf-8")
    (spider.parent / "neighbour.py").touch()
    for name in ("lonely_spider.py", "neighbour.py"):
        (tmp_path / name).write_text("raise ImportError(__file__)", encoding="utf-8")
    done = run(
        *("-m", "scrapy", "runspider", str(spider), "-a", f"site={site}"),
        *("-s", 'ADDONS={"concurcrawl.Addon": 500}', "-s", f"MODE={mode}"),
        *("-O", str(feed)),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert urls(feed) == EXPECTED


def test_another_reactor_is_refused_in_a_sentence_where_processes_must_talk(
    site: str, tmp_path: Path
) -> None:
    done = run(
        *("-m", "scrapy", "crawl", "closes", "-a", f"site={site}", "--nolog"),
        *("-s", "MODE=parallel"),
        *("-s", "TWISTED_REACTOR=twisted.internet.selectreactor.SelectReactor"),
        folder=PROJECT,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "TWISTED_REACTOR='twisted.internet.selectreactor.SelectReactor': must be "
        "'twisted.internet.asyncioreactor.AsyncioSelectorReactor' (Scrapy's default) "
        "with this MODE\n"
    )


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            "MODE=fast",
            WRONG_MODE,
        ),
        (
            "CONCURCRAWL_WORKERS=-1",
            "CONCURCRAWL_WORKERS='-1': must be a whole number >= 0 (processes)",
        ),
        (
            "CONCURCRAWL_WORKERS=many",
            "CONCURCRAWL_WORKERS='many': must be a whole number >= 0 (processes)",
        ),
        (
            "CONCURCRAWL_THREADS=0",
            "CONCURCRAWL_THREADS='0': must be a whole number >= 1 (threads)",
        ),
    ],
)
def test_a_wrong_value_ends_the_command_with_one_sentence(
    option: str, sentence: str, tmp_path: Path
) -> None:
    command = ("-m", "scrapy", "crawl", "closes", "-s", "MODE=parallel", "-s", option)
    done = run(*command, folder=PROJECT)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence + "\n")
