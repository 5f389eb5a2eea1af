from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from scrapy.crawler import Crawler

from concurcrawl.spiders.countries import WIKIPEDIA, CountriesSpider
from concurcrawl.tools.testsite.process import SiteProcess
from tests.support import country_site as a_site
from tests.support.servers.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
DEADLINE_S = 90
CONTACT = "census/1.0 (hentzau@strelsau.edu)"


@dataclass(frozen=True)
class Crawl:
    code: int
    said: str
    items: list[dict[str, Any]]
    folder: Path

    @property
    def finish_reason(self) -> str:
        return str(re.findall(r"'finish_reason': '(\w+)'", self.said)[-1])

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def stat(self, name: str) -> int:
        return int(re.findall(rf"'countries/{name}': (\d+)", self.said)[-1])


def crawl(tmp_path: Path, *options: str) -> Crawl:
    folder, feed = tmp_path / "pages", tmp_path / "items.jsonl"
    command = [sys.executable, "-m", "scrapy", "crawl", "countries", "-O", str(feed)]
    command += ["-s", f"CONCURCRAWL_PAGES_DIR={folder}", "-s", "RETRY_TIMES=1"]
    done = subprocess.run(
        [*command, *options],
        cwd=ROOT,
        # Nothing listens there: whatever breaks, no test ever asks the live Wikipedia.
        env={**os.environ, "https_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    lines = feed.read_text(encoding="utf-8").splitlines() if feed.exists() else []
    return Crawl(done.returncode, done.stderr, [json.loads(x) for x in lines], folder)


@pytest.fixture
def site() -> Iterator[str]:
    """The URL of the site with all that can go wrong, in a process of its own."""
    with serving("tests.support.country_site") as url:
        yield url


def asked(site: str) -> list[str]:
    with urlopen(f"{site}/asked", timeout=30) as answer:
        text: str = answer.read().decode()
    return text.splitlines()


def test_the_test_sites_233_countries_are_saved_whole(tmp_path: Path) -> None:
    done = crawl(tmp_path)
    assert (done.code, done.finish_reason) == (0, "finished"), done.said
    assert len(done.items) == len(done.files) == 233
    assert done.stat("found") == done.stat("saved") == 233
    for item in done.items:
        body = done.files[item["file"]]
        assert item["bytes"] == len(body)
        assert item["sha256"] == hashlib.sha256(body).hexdigest()
        assert item["population"] > 0
        assert set(item) == {"country", "population", "url", "file", "bytes", "sha256"}
    with SiteProcess() as testsite:
        for item in done.items[:5]:
            with urlopen(testsite.url + urlsplit(item["url"]).path[1:]) as answer:
                assert answer.read() == done.files[item["file"]]


def test_the_test_site_ends_with_the_crawl(tmp_path: Path) -> None:
    done = crawl(tmp_path, "-a", "pages=1")
    with pytest.raises(URLError):
        urlopen(done.items[0]["url"], timeout=30)


def test_a_crawl_that_resumes_finds_its_test_site_where_it_was(tmp_path: Path) -> None:
    job = ("-s", f"JOBDIR={tmp_path / 'job'}", "-s", "MODE=serial", "-a", "pages=6")
    crawl(tmp_path, *job, "-s", "CLOSESPIDER_ITEMCOUNT=1")
    again = crawl(tmp_path, *job)
    assert again.finish_reason == "finished", again.said
    assert "No page of" not in again.said
    assert len(again.files) == 6


def test_each_job_of_a_scrapyd_has_its_own_folder(tmp_path: Path) -> None:
    done = crawl(tmp_path, "-a", "pages=1", "-a", "_job=monday")
    assert [path.name for path in (done.folder / "monday").iterdir()] == ["China.html"]
    refused = crawl(tmp_path, "-a", "_job=../monday")
    assert refused.code == 1
    assert "_job='../monday': must be an id that can be" in refused.said


def test_pages_limits_the_crawl_to_the_top_of_the_list(tmp_path: Path) -> None:
    done = crawl(tmp_path, "-a", "pages=3", "-a", "site=mirror")
    assert done.said.count("site=mirror is deprecated; use -a site=testsite") == 1
    assert {item["country"] for item in done.items} == {
        "China",
        "India",
        "United States",
    }
    assert len(done.files) == 3


def test_pages_are_saved_where_a_url_says(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    done = crawl(tmp_path, "-a", "pages=2", "-s", f"CONCURCRAWL_PAGES_DIR={url}")
    saved = {path.name for path in (tmp_path / "shared").iterdir()}
    assert saved == {item["file"] for item in done.items}
    assert len(saved) == 2
    refused = crawl(tmp_path, "-s", "CONCURCRAWL_PAGES_DIR=none://bucket")
    assert refused.code == 1
    assert "must be a folder, or a URL that fsspec can write to" in refused.said
    assert "Traceback" not in refused.said


def test_parsing_adds_the_facts_of_the_page(tmp_path: Path) -> None:
    done = crawl(tmp_path, "-a", "pages=2", "-a", "work=parse")
    china = next(item for item in done.items if item["country"] == "China")
    assert china["capital"] == "Beijing"
    assert china["area_km2"] > 9_000_000
    assert "enminbi" in china["currency"] or "uan" in china["currency"]
    assert china["words"] > 10_000
    assert china["sections"] > 10


def test_only_pages_that_came_whole_are_saved(tmp_path: Path, site: str) -> None:
    done = crawl(tmp_path, "-a", f"site={site}/wiki/List")
    assert (done.code, done.finish_reason) == (0, "finished"), done.said
    assert {item["country"] for item in done.items} == set(a_site.SAVED)
    by_country = {item["country"]: done.files[item["file"]] for item in done.items}
    assert by_country == {
        "Malta": a_site.body_of("Malta"),
        "Monaco": a_site.body_of("Monaco"),
        "Chad": a_site.body_of("Republic_of_Chad"),
        "Niue": a_site.body_of("Malta"),
        "Both/Halves": a_site.body_of("Both%2FHalves"),
    }
    assert len(done.files) == len(a_site.SAVED)
    assert {"Malta.html", "Monaco.html", "Tchad.html", "Niue.html"} < set(done.files)


def test_pages_that_did_not_come_are_named_and_counted(
    tmp_path: Path, site: str
) -> None:
    done = crawl(tmp_path, "-a", f"site={site}/wiki/List", "-L", "ERROR")
    for country, reason in {
        "Peru": "status 404",
        "Chile": "status 204",
        "Ghana": "status 503",
    }.items():
        title = f"{site}/wiki/{country}"
        assert f"No page of {country} from {title}: {reason}" in done.said
    assert f"No page of Qatar from {site}/wiki/Qatar: " in done.said
    # Scrapy's retries, not ours
    assert asked(site).count("/wiki/Ghana") == 2
    assert asked(site).count("/wiki/Peru") == 1
    assert "Traceback" not in done.said


def test_failures_are_in_the_stats(tmp_path: Path, site: str) -> None:
    done = crawl(tmp_path, "-a", f"site={site}/wiki/List")
    assert (done.stat("found"), done.stat("saved"), done.stat("failed")) == (9, 5, 4)


def test_a_copy_that_links_to_wikipedia_is_crawled_where_it_is(
    tmp_path: Path, site: str
) -> None:
    done = crawl(tmp_path, "-a", f"site={site}/wiki/Copy")
    assert {item["url"] for item in done.items} == {
        f"{site}/wiki/India",
        f"{site}/wiki/Republic_of_the_Congo",
        f"{site}/wiki/Democratic_Republic_of_the_Congo",
        f"{site}/wiki/Cura%C3%A7ao",
        f"{site}/wiki/Western_Sahara",
    }
    assert len(asked(site)) == 6  # and no robots.txt of this machine


@pytest.mark.parametrize("page", ["Nothing", "Picture"])
def test_a_page_without_countries_ends_the_crawl_in_one_sentence(
    tmp_path: Path, site: str, page: str
) -> None:
    done = crawl(tmp_path, "-a", f"site={site}/wiki/{page}")
    assert done.finish_reason == "no_countries"
    assert f"ERROR: no countries found on {site}/wiki/{page}: " in done.said
    assert "Traceback" not in done.said
    assert (done.items, done.files) == ([], {})


@pytest.mark.parametrize("page", ["Gone", "Chile", "Qatar"])
def test_a_list_page_that_does_not_come_ends_the_crawl_in_one_sentence(
    tmp_path: Path, site: str, page: str
) -> None:
    done = crawl(tmp_path, "-a", f"site={site}/wiki/{page}")
    assert done.finish_reason == "list_page_failed"
    assert f"ERROR: The list page {site}/wiki/{page} was not downloaded: " in done.said
    assert "Traceback" not in done.said
    assert (done.items, done.files) == ([], {})


def test_a_page_that_cannot_be_saved_ends_the_crawl_and_leaves_no_part(
    tmp_path: Path, site: str
) -> None:
    (tmp_path / "pages" / "Malta.html").mkdir(parents=True)  # where a file must go
    done = crawl(tmp_path, "-a", f"site={site}/wiki/List")
    assert done.finish_reason == "cannot_save_pages"
    assert f"No page of Malta from {site}/wiki/Malta: it cannot be saved: " in done.said
    assert "Traceback" not in done.said
    assert [path for path in done.folder.iterdir() if path.suffix != ".html"] == []


FILE = ROOT / "scrapy.cfg"
NO_SITE = "must be testsite, wikipedia or the URL of a list page"
NO_NUMBER = "must be a whole number >= 1 (pages)"
NO_FOLDER = "must be a folder that pages can be saved in"
NO_CONTACT = (
    "must be your crawler's name and where you can be reached, because Wikimedia turns "
    "away everybody else; write it like -s USER_AGENT='mycrawler/1.0 "
    "(https://mysite.org/crawler; me@mysite.org)' with an address of your own"
)


@pytest.mark.parametrize(
    ("flag", "name", "value", "expected"),
    [
        ("-a", "site", "ftp://site.test/", NO_SITE),
        ("-a", "site", "", NO_SITE),
        ("-a", "site", "http://[", NO_SITE),
        ("-a", "work", "read", "must be save or parse"),
        ("-a", "pages", "0", NO_NUMBER),
        ("-a", "pages", "all", NO_NUMBER),
        ("-s", "CONCURCRAWL_PAGES_DIR", str(FILE), f"{NO_FOLDER} (File exists)"),
        (
            "-s",
            "CONCURCRAWL_PAGES_DIR",
            str(FILE / "pages"),
            f"{NO_FOLDER} (Not a directory)",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence_before_it_starts(
    tmp_path: Path, flag: str, name: str, value: str, expected: str
) -> None:
    done = crawl(tmp_path, flag, f"{name}={value}", "-L", "ERROR")
    assert (done.code, done.said) == (1, f"{name}={value!r}: {expected}\n")
    assert done.items == []


@pytest.mark.parametrize("site", ["wikipedia", WIKIPEDIA])
def test_wikipedia_is_not_asked_without_a_contact(tmp_path: Path, site: str) -> None:
    agent = "-s", "USER_AGENT=census/1.0"
    done = crawl(tmp_path, "-a", f"site={site}", *agent, "-L", "ERROR")
    said = f"USER_AGENT='census/1.0': {NO_CONTACT}\n"
    assert (done.code, done.said) == (1, said)


def settings_for(site: str, tmp_path: Path, **given: Any) -> dict[str, Any]:
    """Return what the spider makes of the settings; it asks nothing of anybody."""
    folder = str(tmp_path / "pages")
    crawler = Crawler(CountriesSpider, {"CONCURCRAWL_PAGES_DIR": folder} | given)
    CountriesSpider.from_crawler(crawler, site=site)
    return {
        name: crawler.settings[name]
        for name in (
            "CONCURRENT_REQUESTS",
            "CONCURRENT_REQUESTS_PER_DOMAIN",
            "DOWNLOAD_DELAY",
            "DOWNLOAD_DELAY_JITTER",
            "ROBOTSTXT_OBEY",
            "COOKIES_ENABLED",
        )
    }


@pytest.mark.parametrize(
    "site", ["wikipedia", WIKIPEDIA, "https://de.wikipedia.org/wiki/Liste"]
)
def test_on_wikimedia_s_sites_its_rules_beat_every_setting(
    tmp_path: Path, site: str
) -> None:
    given = {"CONCURRENT_REQUESTS": 64, "DOWNLOAD_DELAY": 0, "ROBOTSTXT_OBEY": False}
    assert settings_for(site, tmp_path, USER_AGENT=CONTACT, **given) == {
        "CONCURRENT_REQUESTS": 3,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 3,
        "DOWNLOAD_DELAY": 0.2,
        "DOWNLOAD_DELAY_JITTER": 0,
        "ROBOTSTXT_OBEY": True,
        "COOKIES_ENABLED": False,
    }


def test_on_wikimedia_s_sites_whoever_is_slower_stays_slower(tmp_path: Path) -> None:
    given = {"CONCURRENT_REQUESTS": 1, "DOWNLOAD_DELAY": 2.5, "USER_AGENT": CONTACT}
    found = settings_for("wikipedia", tmp_path, **given)
    assert (found["CONCURRENT_REQUESTS"], found["DOWNLOAD_DELAY"]) == (1, 2.5)


def test_unlimited_is_not_slower_than_a_limit(tmp_path: Path) -> None:
    given = {"CONCURRENT_REQUESTS": 0, "USER_AGENT": CONTACT}
    assert settings_for("wikipedia", tmp_path, **given)["CONCURRENT_REQUESTS"] == 3


def test_a_strange_site_s_robots_txt_is_as_the_project_says(tmp_path: Path) -> None:
    url = "https://atlas.test/list"
    for obey in (True, False):
        found = settings_for(url, tmp_path, ROBOTSTXT_OBEY=obey)
        assert found["ROBOTSTXT_OBEY"] is obey
