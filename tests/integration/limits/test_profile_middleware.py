"""Profiles are kept by real crawls; a site of ours tells what it was asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

import pytest
from scrapy.settings import Settings

from concurcrawl.errors import ConfigError
from concurcrawl.limits.profile_middleware import enable
from tests.support.crawls import DEADLINE_S, ROOT
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STRICT = "tests.support.polite.profiles.STRICT"
CONTACT = "census/1.0 (hentzau@strelsau.edu)"
ADDONS = {"tests.support.polite.profiles.Enable": 400, "concurcrawl.Addon": 500}


@dataclass(frozen=True, slots=True)
class Site:
    url: str

    @property
    def elsewhere(self) -> str:
        """Another host, for which there is no profile."""
        return self.url.replace("127.0.0.1", "localhost")

    def asked(self) -> list[dict[str, str]]:
        with build_opener(ProxyHandler({})).open(f"{self.url}/asked") as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def paths(self) -> list[str]:
        return sorted(asked["path"] for asked in self.asked())


@dataclass(frozen=True, slots=True)
class Crawl:
    code: int
    log: str
    items: list[dict[str, Any]]

    def stat(self, name: str) -> Any:
        found = re.findall(rf"'{name}': (.+?)[,}}]\n", self.log)
        return json.loads(found[-1].replace("'", '"')) if found else None

    def stats(self) -> dict[str, str]:
        """Return all stats but those that time makes."""
        found = dict(re.findall(r"'([\w/.<> ]+)': (.+?)[,}]\n", self.log))
        vague = re.compile("time|memusage|per_minute|log_count|feedexport|start")
        return {name: value for name, value in found.items() if not vague.search(name)}


@pytest.fixture
def site(_known_suffixes: None) -> Iterator[Site]:
    with serving("tests.support.polite.site") as url:
        yield Site(url)


def crawl(site: Site, tmp_path: Path, urls: str, **settings: Any) -> Crawl:
    """Run a crawl; what is not on this machine goes to *site*, as the proxy."""
    feed = tmp_path / "items.jsonl"
    settings = {
        "USER_AGENT": CONTACT,
        "CONCURCRAWL_PROFILES": STRICT,
        "CONCURCRAWL_WORKERS": 2,
        "ADDONS": json.dumps(ADDONS),
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
        **settings,
    }
    options = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "scrapy",
                "runspider",
                "tests/support/polite/spider.py",
            ),
            *("-a", f"urls={urls}", "-O", str(feed)),
            *(word for option in options for word in ("-s", option)),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "http_proxy": site.url,
            "https_proxy": site.url,
            "no_proxy": "127.0.0.1,localhost",
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    lines = feed.read_text(encoding="utf-8").splitlines() if feed.exists() else []
    return Crawl(done.returncode, done.stderr, [json.loads(line) for line in lines])


@pytest.mark.parametrize("mode", ["", "serial", "async", "hybrid"])
def test_a_strict_site_gets_what_it_asks_in_every_mode(
    site: Site, tmp_path: Path, mode: str
) -> None:
    urls = f"{site.url}/a {site.url}/b?page=2 {site.url}/c?page=3 {site.url}/forbidden"
    found = crawl(site, tmp_path, urls, MODE=mode)
    assert site.paths() == ["/a", "/robots.txt", "/second"]
    assert [asked.get("Cookie") for asked in site.asked()] == [None] * 3
    assert all("gzip" in asked["Accept-Encoding"] for asked in site.asked())
    assert {asked["User-Agent"] for asked in site.asked()} == {CONTACT}
    assert sorted(item["path"] for item in found.items) == [
        "a",
        "b?page=2",
        "c?page=3",
        "forbidden",
        "second",
    ]
    assert {item["text"] for item in found.items if "text" in item} == {
        "at /a",
        "at /second",
    }
    assert {item["error"] for item in found.items if "error" in item} == {
        "IgnoreRequest"
    }
    assert found.stat("concurcrawl/profile/query_refused") == 2
    assert found.log.count("with a query string in their address are not asked") == 1
    assert found.stat("finish_reason") == "finished"


@pytest.mark.parametrize("mode", ["", "concurrent", "parallel"])
def test_an_agent_that_names_nobody_sends_nothing_in_any_mode(
    site: Site, tmp_path: Path, mode: str
) -> None:
    urls = " ".join(f"http://en.wikipedia.org/wiki/{n}" for n in range(20))
    found = crawl(
        site,
        tmp_path,
        urls,
        MODE=mode,
        CONCURCRAWL_PROFILES="wikimedia",
        USER_AGENT="Scrapy/2.19 (+https://scrapy.org)",
    )
    assert site.asked() == []
    assert found.stat("finish_reason") == "user_agent_refused"
    (error,) = re.findall(r"ERROR: (.*)", found.log)
    assert re.sub(r"^\[worker[^]]*\] ", "", error) == (
        "USER_AGENT='Scrapy/2.19 (+https://scrapy.org)': must be your crawler's name "
        "and where you can be reached, because wikimedia turns away everybody else; "
        "write it like -s USER_AGENT='mycrawler/1.0 (https://mysite.org/crawler; "
        "me@mysite.org)' with an address of your own. Nothing was sent to wikimedia; "
        "the spider closes."
    )


def test_the_agent_that_counts_is_the_one_that_would_be_sent(
    site: Site, tmp_path: Path
) -> None:
    headers = json.dumps({"User-Agent": CONTACT})
    agent = "Scrapy/2.19 (+https://scrapy.org)"
    crawl(
        site,
        tmp_path,
        f"{site.url}/a",
        USER_AGENT=agent,
        DEFAULT_REQUEST_HEADERS=headers,
    )
    assert site.paths() == ["/a", "/robots.txt", "/second"]


def test_a_site_without_a_profile_is_asked_as_without_profiles(
    site: Site, tmp_path: Path
) -> None:
    urls = f"{site.elsewhere}/a?page=1 {site.elsewhere}/forbidden"
    # One by one: a page's Referer and cookies are those of whoever came first.
    same = {
        "USER_AGENT": "Scrapy/2.19 (+https://scrapy.org)",
        "CONCURRENT_REQUESTS": 1,
    }
    with_profile = crawl(site, tmp_path, urls, **same)
    asked = site.asked()
    without = crawl(site, tmp_path, urls, **same, CONCURCRAWL_PROFILES="none")
    assert "ProfileMiddleware" in with_profile.log
    assert "ProfileMiddleware" not in without.log
    asked_without = site.asked()[len(asked) :]
    assert sorted(map(str, asked)) == sorted(map(str, asked_without))
    assert sorted(map(str, with_profile.items)) == sorted(map(str, without.items))
    assert with_profile.stats() == without.stats()
    assert with_profile.stats()["item_scraped_count"] == "3"


def test_cookies_are_back_where_a_redirect_leads_to_another_site(
    site: Site, tmp_path: Path
) -> None:
    found = crawl(
        site, tmp_path, f"{site.url}/away", COOKIES_DEBUG=True, LOG_LEVEL="DEBUG"
    )
    assert set(re.findall(r"Received cookies from: <\d+ (\S+)>", found.log)) == {
        f"{site.elsewhere}/elsewhere",
        f"{site.elsewhere}/second",
    }
    assert [(item["path"], item["own"]) for item in found.items] == [
        ("elsewhere", None),
        ("second", None),
    ]
    cookies = {asked["path"]: asked.get("Cookie") for asked in site.asked()}
    assert cookies["/away"] is None
    assert cookies["/second"] == "session=of-the-site"


def test_robots_are_asked_once_where_the_crawl_obeys_them_anyway(
    site: Site, tmp_path: Path
) -> None:
    found = crawl(
        site, tmp_path, f"{site.url}/a {site.elsewhere}/b", ROBOTSTXT_OBEY=True
    )
    assert site.paths().count("/robots.txt") == 2
    assert {asked["Host"] for asked in site.asked()} == {
        site.url.removeprefix("http://"),
        site.elsewhere.removeprefix("http://"),
    }
    assert found.stat("robotstxt/request_count") == 2


@pytest.mark.parametrize(
    "off",
    [
        {"COMPRESSION_ENABLED": False},
        {
            "DOWNLOADER_MIDDLEWARES": '{"scrapy.downloadermiddlewares.httpcompression'
            '.HttpCompressionMiddleware": null}'
        },
    ],
    ids=["switched off", "taken out"],
)
def test_compressed_pages_are_read_where_the_crawl_does_not_want_any(
    site: Site, tmp_path: Path, off: dict[str, Any]
) -> None:
    found = crawl(site, tmp_path, f"{site.url}/a {site.elsewhere}/b", **off)
    gzipped = {
        (asked["Host"].partition(":")[0], "gzip" in asked.get("Accept-Encoding", ""))
        for asked in site.asked()
    }
    assert gzipped == {("127.0.0.1", True), ("localhost", False)}
    assert {item["text"] for item in found.items} == {"at /a", "at /b", "at /second"}


def test_enabling_twice_is_enabling_once_and_a_place_of_the_users_stays() -> None:
    path = "concurcrawl.limits.profile_middleware.ProfileMiddleware"
    settings = Settings({"DOWNLOADER_MIDDLEWARES": {path: 7, "mine": 1}})
    enable(settings, "addon")
    enable(settings, "cmdline")
    placed = settings.getdict("DOWNLOADER_MIDDLEWARES")
    assert (placed[path], placed["mine"], len(placed)) == (7, 1, 5)


def test_without_profiles_nothing_is_enabled() -> None:
    settings = Settings({"CONCURCRAWL_PROFILES": []})
    enable(settings, "addon")
    assert settings.getdict("DOWNLOADER_MIDDLEWARES") == {}


@pytest.mark.parametrize(
    "name",
    ["wikipedia", "no.such.module", "json.dumps", "tests.support.polite.profiles.NO"],
)
def test_an_unknown_profile_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        enable(Settings({"CONCURCRAWL_PROFILES": name}), "addon")
    assert str(raised.value) == (
        f"CONCURCRAWL_PROFILES={name!r}: must be wikimedia, none, or import paths of "
        "Profile records"
    )
