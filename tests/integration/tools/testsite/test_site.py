from __future__ import annotations

import gzip
import hashlib
import os
import statistics
import subprocess
import sys
from functools import cache
from urllib.parse import quote, unquote, urljoin

import pytest
from bs4 import BeautifulSoup

from concurcrawl.tools.testsite.countries import CONTINENTS, countries
from concurcrawl.tools.testsite.site import CONTENT_VERSION, LIST_PATH, Site
from tests.integration.tools.testsite.conftest import SITE

# Made with version 1. If this fails, raise CONTENT_VERSION and put the new sum here.
SUMS = {1: "a697f8eae5ac42c2bfb88d7d9082cdb44ff81f8397300e7be145cc50e2c92993"}

SUM_PROGRAM = """
import hashlib
from concurcrawl.tools.testsite.countries import countries
from concurcrawl.tools.testsite.site import Site
site = Site(seed=0)
total = hashlib.sha256(site.list_page())
for country in countries():
    total.update(site.country_page(country))
print(total.hexdigest())
"""


@cache
def list_page() -> BeautifulSoup:
    return BeautifulSoup(SITE.list_page(), "lxml")


@cache
def article() -> BeautifulSoup:
    return BeautifulSoup(pages()[100], "lxml")


@cache
def pages() -> tuple[bytes, ...]:
    return tuple(SITE.country_page(country) for country in countries())


def test_there_are_233_countries_each_once() -> None:
    assert len(countries()) == 233
    assert len({country.article for country in countries()}) == 233
    assert len({country.name for country in countries()}) == 233
    assert len({country.iso for country in countries()}) == 233
    assert "World" not in {country.name for country in countries()}


def test_countries_stand_in_order_of_population() -> None:
    populations = [country.population for country in countries()]

    assert populations == sorted(populations, reverse=True)
    assert [country.rank for country in countries()] == list(range(1, 234))
    assert {country.continent for country in countries()} == set(CONTINENTS)


@pytest.mark.parametrize("mark", ["(", ",", "'", "ã", "ç", "-"])
def test_hard_names_occur(mark: str) -> None:
    assert any(mark in country.article for country in countries())


def test_paths_lead_back_to_articles() -> None:
    for country in countries():
        assert unquote(country.path) == f"/wiki/{country.article}"
        assert country.path == quote(unquote(country.path), safe="/(),")


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", SUM_PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        here = hashlib.sha256(SITE.list_page())  # meanwhile
        for page in pages():
            here.update(page)
        try:
            there, _ = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 0
    assert {here.hexdigest(), there.strip()} == {SUMS[CONTENT_VERSION]}


def test_another_seed_gives_other_text_about_the_same_countries() -> None:
    france = next(c for c in countries() if c.name == "France")
    first, second = Site(1), Site(2)

    assert first.country_page(france) != second.country_page(france)
    assert b"67,5" not in first.list_page(1)
    assert b"65,273,511" in first.country_page(france)


def test_sizes_are_like_the_real_ones() -> None:
    sizes = sorted(len(page) for page in pages())

    assert sizes[0] >= 150_000
    assert sizes[0] < 250_000
    assert sizes[-1] <= 1_200_000
    assert sizes[-1] > 1_000_000
    assert 540_000 <= statistics.median(sizes) <= 660_000


def test_pages_compress_like_the_real_ones() -> None:
    for page in pages()[::8]:
        for level in (4, 6):
            assert 4 <= len(page) / len(gzip.compress(page, level)) <= 6


def test_the_list_names_every_country_in_its_largest_table() -> None:
    tables = list_page().select("table.wikitable")
    largest = max(tables, key=lambda table: len(table.select("tr")))
    rows = largest.select("tbody tr")[1:]  # the first is the world's

    links = [row.select("td")[1].select_one(".flagicon + a") for row in rows]
    assert [link["href"] for link in links if link] == [c.path for c in countries()]
    assert [row.select("td")[5].text for row in rows] == [
        f"{country.population:,}" for country in countries()
    ]


def test_the_list_tempts_with_what_is_no_country() -> None:
    page = list_page()

    assert len(page.select("table.wikitable")) == 3
    assert page.select_one('table a[href="/wiki/World"]')
    assert page.select('table sup.reference a[href^="#cite_note-"]')


def test_a_shorter_list_keeps_the_most_populous() -> None:
    page = BeautifulSoup(SITE.list_page(pages=3), "lxml")

    names = [a.text for a in page.select("td .flagicon + a")]
    assert names == ["China", "India", "United States"]


def test_an_article_has_its_facts_in_the_infobox() -> None:
    peru = next(c for c in countries() if c.name == "Peru")
    page = BeautifulSoup(SITE.country_page(peru), "lxml")

    facts = {
        row.th.text.replace("\xa0", " "): row.td.text.replace("\xa0", " ")
        for row in page.select("table.infobox tr")
        if row.th and row.td
    }

    assert facts["Capital"] == "Lima"
    assert facts["• Total"] == "1,285,216 km2 (496,225 sq mi)"
    assert facts["• 2020 estimate"].startswith("32,971,854")
    assert facts["Currency"] == "Peruvian sol"
    assert facts["Official languages"] == "Spanish, Quechua, Aymara"
    assert facts["Calling code"] == "+51"


def test_an_article_is_built_like_an_encyclopedias() -> None:
    page = article()

    assert len(page.select("h2, h3")) > 15
    assert len(page.select("ol.references li")) > 50
    assert page.select("table.wikitable")
    assert page.select("div.navbox")
    assert page.select("#catlinks")
    linked = {urljoin("/wiki/", str(a["href"])) for a in page.select("p a")}
    assert len(linked & {country.path for country in countries()}) > 100
    assert LIST_PATH not in linked


def test_every_note_that_is_cited_is_listed() -> None:
    page = article()

    cited = {str(a["href"]) for a in page.select("p sup.reference a")}
    listed = {f"#{item['id']}" for item in page.select("ol.references li")}
    assert cited == listed
