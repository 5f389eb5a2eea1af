"""What a project brings is in effect, refused by name, or named at the start."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from scrapy.settings import Settings

from concurcrawl.integrations.finding import HAS_WORKERS
from concurcrawl.integrations.settings_findings import find_in_settings
from tests.support.crawls import DEADLINE_S, crawl, environment

if TYPE_CHECKING:
    from pathlib import Path

ADDON = 'ADDONS={"concurcrawl.Addon": 500}'

SPIDER = """
import scrapy
from scrapy import signals
from scrapy.core.downloader import Downloader
from scrapy.core.scheduler import Scheduler


class Picky(Scheduler):
    def enqueue_request(self, request):
        return request.url[-1] in "02468" and super().enqueue_request(request)


class Other(Downloader):
    pass


class SetsIt:
    def update_settings(self, settings):
        settings.set("SCHEDULER", Picky, "addon")


class Stops:
    @classmethod
    def from_crawler(cls, crawler):
        it = cls()
        crawler.signals.connect(it.on_headers, signals.headers_received)
        return it

    def on_headers(self):
        pass


news = object()


class Hears:
    @classmethod
    def from_crawler(cls, crawler):
        it = cls()
        crawler.signals.connect(it.on_news, news)
        return it

    def on_news(self):
        pass


class Talks(Stops):
    @classmethod
    def from_crawler(cls, crawler):
        it = cls()
        it.signals, it.nameless = crawler.signals, object()
        it.signals.connect(it.on_headers, it.nameless)
        it.signals.connect(it.on_received, signals.response_received)
        return it

    def on_received(self):
        self.signals.connect(self.on_headers, signals.headers_received)
        self.signals.send_catch_log(news)


class Own(scrapy.Spider):
    name = "own"
    start_urls = ["data:,1", "data:,2"]

    def parse(self, response):
        yield {"text": response.text}
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "own.py").write_text(SPIDER, encoding="utf-8")
    return subprocess.run(
        [
            *(sys.executable, "-m", "scrapy", "runspider", "own.py", "-o", "out.jsonl"),
            *("-s", "TELNETCONSOLE_ENABLED=0", "-s", "REMOTE_CONTROL_ENABLED=0"),
            *(f"-s{option}" for option in options),
        ],
        cwd=folder,
        env={**environment(), "PYTHONPATH": f"{environment()['PYTHONPATH']}:{folder}"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def findings(**written: object) -> list[str]:
    settings = Settings({HAS_WORKERS: True, **written})
    return [str(finding) for finding in find_in_settings(settings)]


@pytest.mark.parametrize(
    ("setting", "name", "mode"),
    [
        ("SCHEDULER", "own.Picky", "serial"),
        ("SCHEDULER", "own.Picky", "concurrent"),
        ("SCHEDULER", "own.Picky", "hybrid"),
        ("DOWNLOADER", "own.Other", "async"),
        ("DOWNLOADER", "own.Other", "parallel"),
    ],
)
def test_a_part_that_a_mode_replaces_is_refused_by_name(
    setting: str, name: str, mode: str, tmp_path: Path
) -> None:
    done = run(tmp_path, ADDON, f"MODE={mode}", f"{setting}={name}")
    assert done.returncode == 1
    assert f"{setting}={name}: it would not be used, because a mode has" in done.stderr
    assert "leave it out, or leave MODE out." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("place", [400, 600])
def test_the_order_of_add_ons_does_not_matter(place: int, tmp_path: Path) -> None:
    addons = json.dumps({"concurcrawl.Addon": 500, "own.SetsIt": place})
    done = run(tmp_path, f"ADDONS={addons}", "MODE=async")
    assert done.returncode == 1
    assert "SCHEDULER=own.Picky: it would not be used" in done.stderr


def test_without_a_mode_a_scheduler_of_the_projects_own_is_used(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, ADDON, "SCHEDULER=own.Picky")
    assert done.returncode == 0
    assert (tmp_path / "out.jsonl").read_text() == '{"text": "2"}\n'


@pytest.mark.parametrize(
    ("mode", "is_named"), [("async", False), ("parallel", True), ("hybrid", True)]
)
def test_an_extension_that_hears_nothing_of_workers_is_named_once(
    mode: str, is_named: bool, tmp_path: Path
) -> None:
    done = run(tmp_path, ADDON, f"MODE={mode}", 'EXTENSIONS={"own.Stops": 1}')
    assert done.returncode == 0
    sentence = "signals.headers_received=own.Stops: it receives nothing about"
    assert done.stderr.count(sentence) == is_named


def test_each_way_that_a_signal_does_not_take_is_named_once(tmp_path: Path) -> None:
    parts = ['EXTENSIONS={"own.Talks": 1}', 'DOWNLOADER_MIDDLEWARES={"own.Hears": 1}']
    done = run(tmp_path, ADDON, "MODE=parallel", *parts)
    assert done.returncode == 0
    named = re.findall(r"WARNING: (signal.*?)(?: at 0x\w+>)?[=:, ]", done.stderr)
    assert len(named) == 3
    for sentence in (
        "signals.headers_received=own.Talks: it receives nothing about",
        "=own.Talks: it does not receive those that workers send, because no module",
        "of an extension or a pipeline does not reach own.Hears in workers",
    ):
        assert done.stderr.count(sentence) == 1


def test_a_cache_that_one_process_has_for_itself_is_refused(tmp_path: Path) -> None:
    storage = "scrapy.extensions.httpcache.DbmCacheStorage"
    cache = ("HTTPCACHE_ENABLED=1", f"HTTPCACHE_STORAGE={storage}")
    done = run(tmp_path, ADDON, "MODE=hybrid", *cache)
    assert done.returncode == 1
    assert f"HTTPCACHE_STORAGE={storage}: only one process can open its file" in (
        done.stderr
    )
    assert run(tmp_path, ADDON, "MODE=async", *cache).returncode == 0


@pytest.fixture
def deltafetch(monkeypatch: pytest.MonkeyPatch) -> type:
    """The class of a plugin, as a project derives its own from it."""
    module = ModuleType("scrapy_deltafetch")
    plugin = type("DeltaFetch", (), {"__module__": "scrapy_deltafetch"})
    module.DeltaFetch = plugin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scrapy_deltafetch", module)
    return plugin


@pytest.mark.parametrize("setting", ["SPIDER_MIDDLEWARES", "DOWNLOADER_MIDDLEWARES"])
def test_a_database_that_one_process_must_have_is_refused_with_several_workers(
    setting: str, deltafetch: type
) -> None:
    own = type("Own", (deltafetch,), {"__module__": "shop"})
    for component in (own, "scrapy_deltafetch.DeltaFetch"):
        written: dict[str, object] = {setting: {component: 100}}
        (found,) = findings(CONCURCRAWL_SLOTS=[1, 1], **written)
        assert "only one process can open its database" in found
        assert found.endswith(
            "set CONCURCRAWL_WORKERS=1, or use MODE=serial, concurrent or async."
        )
        assert findings(CONCURCRAWL_SLOTS=[1], **written) == []
    off: dict[str, object] = {setting: {own: None, "shop.Missing": 1}}
    assert findings(CONCURCRAWL_SLOTS=[1, 1], **off) == []


def test_a_browser_profile_is_refused_with_several_workers() -> None:
    handler = "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"
    contexts = {"me": {"user_data_dir": "profile"}, "other": {"locale": "de"}}
    written: dict[str, object] = {
        "DOWNLOAD_HANDLERS": {"https": handler},
        "PLAYWRIGHT_CONTEXTS": contexts,
    }
    (found,) = findings(CONCURCRAWL_SLOTS=[1, 1], **written)
    assert found.startswith("PLAYWRIGHT_CONTEXTS=me: only one process can use its")
    assert findings(CONCURCRAWL_SLOTS=[1], **written) == []
    assert findings(CONCURCRAWL_SLOTS=[1, 1], PLAYWRIGHT_CONTEXTS=contexts) == []


def test_nothing_of_scrapys_own_is_found() -> None:
    assert findings() == []
    assert findings(SCHEDULER_MEMORY_QUEUE="scrapy.squeues.FifoMemoryQueue") == []


def test_a_queue_of_the_projects_own_is_named() -> None:
    (found,) = findings(SCHEDULER_PRIORITY_QUEUE="mine.Queue")
    assert found.startswith("SCHEDULER_PRIORITY_QUEUE=mine.Queue: it is not used")


def test_who_comes_from_scrapy_redis_is_told_what_to_do() -> None:
    (found,) = findings(SCHEDULER="scrapy_redis.scheduler.Scheduler")
    assert "CONCURCRAWL_FRONTIER_URL=redis://… instead of scrapy-redis" in found
    assert "docs/coming-from-scrapy-redis.md" in found


def test_the_prefixed_mode_wins(site: str, tmp_path: Path) -> None:
    debug = ("-s", "LOG_LEVEL=DEBUG")
    both = (*debug, "-s", "MODE=production", "-s", "CONCURCRAWL_MODE=parallel")
    found = crawl("pagecount", site, tmp_path / "one", *both)
    assert found.exit_code == 0
    assert "[worker-1]" in found.log
    none = (*debug, "-s", "MODE=parallel", "-s", "CONCURCRAWL_MODE=")
    found = crawl("pagecount", site, tmp_path / "none", *none)
    assert "[worker-1]" not in found.log
    assert found.exit_code == 0


def test_a_mode_of_the_projects_own_is_told_apart(tmp_path: Path) -> None:
    done = run(tmp_path, ADDON, "MODE=production")
    assert done.returncode == 1
    assert "if MODE is a setting of this project's own, set CONCURCRAWL_MODE" in (
        done.stderr
    )
