"""Each console block of the documentation does what its page says."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from concurcrawl.tools.testsite.process import SiteProcess
from tests.support.crawls import ROOT
from tests.support.manual import PATIENCE_S, Block, Reader, steps_of
from tests.support.servers.redis import redis_server
from tests.support.servers.scrapyd import scrapyd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)

PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
COUNTRIES = 12

SPIDER = """
import scrapy

class MySpider(scrapy.Spider):
    name = "myspider"
    start_urls = ["{list_url}"]

    def parse(self, response):
        table = response.css("table.sortable")[0]
        for link in table.css("td:nth-child(2) > a"):
            yield response.follow(link, self.parse_country)

    def parse_country(self, response):
        yield {{"country": response.css("h1::text").get()}}
"""
SETTINGS = f"""
import sys
sys.path.append({str(ROOT)!r})  # on a server the add-on is installed
BOT_NAME = "shop"
SPIDER_MODULES = ["shop.spiders"]
ADDONS = {{"concurcrawl.Addon": 500}}
"""
#: Options for a comparison of some crawls instead of dozens.
FEW = "--work save --rounds 1 --pages 3"


@pytest.fixture(scope="module")
def countries() -> Iterator[SiteProcess]:
    with SiteProcess(pages=COUNTRIES, latency_s=0.05) as running:
        yield running


@pytest.fixture
def shop(countries: SiteProcess, tmp_path: Path) -> Reader:
    """A reader in the folder of a project with the spider ``myspider``."""
    countries.reset()
    folder = tmp_path / "shop"
    spider = SPIDER.format(list_url=countries.list_url)
    for name, text in {
        "scrapy.cfg": "[settings]\ndefault = shop.settings\n[deploy]\nproject = shop\n",
        "shop/__init__.py": "",
        "shop/settings.py": SETTINGS,
        "shop/spiders/__init__.py": "",
        "shop/spiders/myspider.py": spider,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Reader(folder, files={"spider.py": spider})


@pytest.fixture
def checkout(tmp_path: Path) -> Reader:
    """A reader in a clone of this repository."""
    folder = tmp_path / "concurcrawl"
    folder.mkdir()
    names = ("concurcrawl", "deploy", "pyproject.toml", "setup.py", "scrapy.cfg")
    for name in (*names, "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return Reader(folder, variables={"PYTHONPATH": str(folder)})


def items_of(feed: Path) -> list[str]:
    return [line for line in feed.read_text(encoding="utf-8").splitlines() if line]


@pytest.mark.parametrize(
    "page", ["index", "coming-from-scrapy", "doctor", "stats", "README"]
)
def test_a_page_about_any_spider_can_be_followed(page: str, shop: Reader) -> None:
    shop.shortened = {"concurcrawl advise": "--pages 5"}
    shop.follow(PAGES[f"{page}.md"])


def test_the_first_hour_can_be_followed(checkout: Reader, shop: Reader) -> None:
    checkout.files = shop.files
    checkout.shortened = {"scrapy crawl countries": "-a pages=5"}
    checkout.follow(PAGES["first-hour.md"])
    assert len(set(items_of(checkout.folder / "b"))) == 5


def test_a_crawl_that_was_killed_is_resumed(
    countries: SiteProcess, shop: Reader
) -> None:
    shop.is_due_to_die = lambda: countries.counts().pages > 3
    shop.follow(PAGES["surviving.md"])
    items = items_of(shop.folder / "items.jsonl")
    assert len(items) == len(set(items)) == COUNTRIES


def test_a_multiprocessing_script_becomes_a_spider(
    countries: SiteProcess, shop: Reader
) -> None:
    (shop.folder / "urls.txt").write_text(countries.list_url, encoding="ascii")
    shop.follow(PAGES["coming-from-multiprocessing.md"])
    assert "countries" in (shop.folder / "rows.csv").read_text(encoding="utf-8")


def test_a_crawl_is_fed_and_steered(countries: SiteProcess, shop: Reader) -> None:
    parts = urlsplit(countries.list_url)
    url = f"{parts.scheme}://{parts.netloc}/new"
    shop.beside = {"scrapy crawl": "jobs/shop/concurcrawl.control.json"}
    shop.replaced = {
        "crawl shop": "crawl myspider",
        "https://shop.example/new": url,
        "https://shop.example/sale": f"{url}-sale",
        "shop.example": str(parts.hostname),
    }
    shop.files = {"urls.txt": f"{url}-too\n"}
    shop.follow(PAGES["control.md"])
    assert [*(shop.folder / "jobs/shop").glob("*.sqlite")]
    assert not (shop.folder / "jobs/shop/concurcrawl.control.json").exists()


def test_comparisons_can_be_made(shop: Reader) -> None:
    shop.shortened = {
        "concurcrawl compare": f"{FEW} --modes async",
        "concurcrawl compare --modes serial": FEW,
        "concurcrawl compare --modes concurrent": f"{FEW} --sweep 1,2",
        "concurcrawl compare --spider": "--modes serial --rounds 1 --pages 5",
        "concurcrawl advise": "--pages 5",
    }
    shop.follow(PAGES["compare.md"])
    assert (shop.folder / "results/report.html").exists()


def test_a_crawl_can_be_shared_over_redis(shop: Reader, tmp_path: Path) -> None:
    password = "open-sesame"
    with redis_server(tmp_path, "--requirepass", password) as server:
        shop.replaced = {
            "=…": f"={password}",
            "redis://10.0.0.5:6379/0": server.url,
            "redis://localhost:6379/0": server.url,
            "--job first": "--job myspider",
        }
        shop.follow(PAGES["several-machines.md"])
    assert len(items_of(shop.folder / "items.jsonl")) == COUNTRIES


def test_a_scrapyd_runs_every_spider(checkout: Reader, shop: Reader) -> None:
    install, start, jobs, deploy = PAGES["scrapyd.md"].split("```console")[1:]
    assert "pip install" in install
    checkout.replaced = {" && scrapyd": ""}  # it is started below, on a free port
    checkout.follow(f"\n```console{start}")
    with scrapyd(checkout.folder) as server:
        checkout.folder = checkout.folder.parent
        config = checkout.folder / "scrapy.cfg"
        text = config.read_text(encoding="ascii")
        config.write_text(text.replace("http://localhost:6800/", server.url))
        checkout.replaced = {"http://localhost:6800/": server.url}
        checkout.shortened = {"curl": "-d pages=5 -d jobid=first --silent"}
        checkout.follow(f"\n```console{jobs}")
        server.finish("first")
        assert len(server.items("first")) == 5
        shop.replaced = {"http://a:6800": server.url}
        shop.follow(f"\n```console{deploy}")
    (feed,) = (shop.folder / "results").glob("*.jsonl")
    assert len(items_of(feed)) == COUNTRIES


def test_no_page_is_left_out() -> None:
    followed = {
        *("README", "index", "coming-from-scrapy", "doctor", "stats", "first-hour"),
        *("surviving", "coming-from-multiprocessing", "compare", "several-machines"),
        *("scrapyd", "control"),
    }
    with_blocks = {
        name.removesuffix(".md")
        for name, text in PAGES.items()
        for step in steps_of(text)
        if isinstance(step, Block) and step.reason is None
    }
    assert with_blocks == followed
