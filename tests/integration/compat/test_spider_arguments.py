"""A spider gets what its user gave it, in every process and however it is run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from scrapy import Spider
from scrapy.crawler import Crawler

from concurcrawl.compat import spider_arguments, stack
from tests.support.crawls import DEADLINE_S, environment

if TYPE_CHECKING:
    from pathlib import Path

SPIDER = """
import scrapy


class Given(scrapy.Spider):
    name = "given"

    def __init__(self, first, *rest, site, **others):
        self.seen = repr((first, rest, others))  # as given, before it changes anything
        first.append("changed by the spider")
        others.pop("self", None)
        super().__init__(**{"name": "given", **others.pop("more", {})})
        self.start_urls = [f"{site}/status/200?{n}" for n in range(3)]

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        kwargs["by from_crawler"] = crawler.spidercls.__name__
        return super().from_crawler(crawler, *args, **kwargs)

    def parse(self, response):
        # Not an attribute: those that are plain values travel by themselves.
        yield {"seen": repr(self.seen)}
"""

SCRIPT = """
import asyncio, sys
from scrapy.crawler import *
from scrapy.utils.reactor import install_reactor

kind, site, feed = sys.argv[1:]
settings = {"MODE": "parallel", "CONCURCRAWL_WORKERS": 2,
            "FEEDS": {feed: {"format": "jsonlines"}}}
addons = {"ADDONS": {"concurcrawl.Addon": 500}}
args = (["a", "list"], 2)
kwargs = {"site": site, "args": 3, "kwargs": {"k": 4}, "no name": 5}

if kind == "custom_settings":  # the add-on is loaded after the spider is made
    Given.custom_settings = {**settings, **addons}
    settings = {}
elif kind == "spider's mode":
    Given.custom_settings = {"MODE": settings.pop("MODE")}
settings = {**settings, **addons} if settings else {}

if kind.endswith("runner"):
    install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    runner = {"runner": CrawlerRunner, "async runner": AsyncCrawlerRunner}[kind]
    done = runner(settings).crawl(Given, *args, **kwargs)
    if kind == "async runner":
        done = Deferred.fromFuture(done)
    done.addBoth(lambda _: reactor.stop())
    reactor.run()
else:
    made = CrawlerProcess if kind == "process" else AsyncCrawlerProcess
    process = made(settings)
    process.crawl(Given, *args, **kwargs)
    process.start()
"""

KINDS = (
    "process",
    "async process",
    "runner",
    "async runner",
    "custom_settings",
    "spider's mode",
)


@pytest.mark.parametrize("kind", KINDS)
def test_workers_make_the_spider_with_what_the_user_gave(
    kind: str, site: str, tmp_path: Path
) -> None:
    feed, script = tmp_path / "items.jsonl", tmp_path / "script.py"
    # Workers of a runner are spawned, so they import this script.
    body = "\n".join(f"    {line}" for line in SCRIPT.splitlines())
    guarded = f"{SPIDER}\nif __name__ == '__main__':\n{body}\n"
    script.write_text(guarded, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), kind, site, str(feed)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = feed.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3, done.stderr
    assert "'args': 3, 'kwargs': {'k': 4}, 'no name': 5" in lines[0]
    if kind != "custom_settings":  # there the list is that of the supervisor's spider
        assert "(['a', 'list'], (2,)" in lines[0]


class _Argued(Spider):
    name = "argued"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()


def test_recording_again_changes_nothing_and_without_a_mode_nothing_is_kept() -> None:
    spider_arguments.record()
    once = Crawler._create_spider
    spider_arguments.record()
    assert Crawler._create_spider is once
    crawler = Crawler(_Argued)
    crawler._create_spider("argument")
    with pytest.raises(RuntimeError, match="hides its arguments"):
        spider_arguments.of(crawler)


def test_what_cannot_be_copied_is_kept_as_it_is() -> None:
    spider_arguments.record()
    crawler = Crawler(_Argued, {"MODE": "parallel"})
    unlike = (number for number in range(3))
    crawler._create_spider(unlike, name_=1, args=2)
    assert spider_arguments.of(crawler) == ((unlike,), {"name_": 1, "args": 2})


class _Calling:
    def crawl(self, *args: object, **kwargs: object) -> object:
        return stack.spider_arguments(self)  # type: ignore[arg-type]  # stands in


def test_the_stack_has_the_arguments_of_a_method_that_is_called_as_scrapys() -> None:
    assert _Calling().crawl(1, args=2, kwargs=3) == ((1,), {"args": 2, "kwargs": 3})
    assert stack.spider_arguments(Crawler(_Argued)) is None


def test_in_no_command_there_is_no_commands_name() -> None:
    assert stack.scrapy_command() is None


@pytest.mark.parametrize(
    "started", [["-m", "scrapy"], ["-m", "scrapy.cmdline"], ["script.py"]]
)
def test_the_commands_name_is_known_however_it_is_started(
    started: list[str], tmp_path: Path
) -> None:
    (tmp_path / "addon.py").write_text(
        "from concurcrawl.compat.stack import scrapy_command\n"
        "class Says:\n"
        "    @classmethod\n"
        "    def update_pre_crawler_settings(cls, settings):\n"
        "        print('command:', scrapy_command())\n",
        encoding="utf-8",
    )
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "from scrapy.cmdline import execute\n"
        "command, sys.argv = ['scrapy', *sys.argv[1:]], ['script.py']\n"
        "execute(command)\n",
        encoding="utf-8",
    )
    (tmp_path / "spider.py").write_text(
        "import scrapy\nclass One(scrapy.Spider):\n    name = 'one'\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(sys.executable, *started, "runspider", "spider.py"),
            *("-s", 'ADDONS={"addon.Says": 1}'),
        ],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": f"{environment()['PYTHONPATH']}:."},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout == "command: runspider\n", done.stderr
