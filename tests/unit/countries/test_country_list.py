from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from concurcrawl.countries.country_list import Country, find_countries
from concurcrawl.errors import ListPageError

PAGES = Path(__file__).parents[2] / "support" / "pages"
URL = "https://en.wikipedia.org/wiki/List"
WIKI = "https://en.wikipedia.org/wiki/"

#: Page: what it lists, as (name, article, population).
LISTED: dict[str, list[tuple[str, str, int | None]]] = {
    "un_2014": [
        ("China", "China", 1_385_567_000),
        ("Côte d'Ivoire", "C%C3%B4te_d%27Ivoire", 20_316_000),
        ("Georgia", "Georgia_(country)", 4_341_000),
        ("Hong Kong", "Hong_Kong", 7_204_000),
        ("Réunion", "R%C3%A9union", 875_000),
        ("Vatican City", "Vatican_City", None),
    ],
    "dependencies_2016": [
        ("China", "Demographics_of_China", 1_377_720_000),
        ("United States", "Demography_of_the_United_States", 323_730_000),
        ("Puerto Rico", "Demographics_of_Puerto_Rico", 3_474_182),
        ("Northern Cyprus", "Demographics_of_Northern_Cyprus", 313_626),
        ("Transnistria", "Demographics_of_Transnistria", 475_665),
        ("Nauru", "Nauru", 10_084),
    ],
    "un_2019": [
        ("India", "India", 1_366_417_754),
        ("Congo", "Republic_of_the_Congo", 5_380_508),
        ("DR Congo", "Democratic_Republic_of_the_Congo", 86_790_567),
        ("Curaçao", "Cura%C3%A7ao", 163_424),
        ("Western Sahara", "Western_Sahara", 582_463),
    ],
    "dependencies_2022": [
        ("Brazil", "Demographics_of_Brazil", 215_014_000),
        ("Russia", "Demographics_of_Russia", 145_100_000),
        ("Guam", "Demographics_of_Guam", 153_836),
        ("Åland", "%C3%85land", 30_344),
        ("Pitcairn Islands", "Demographics_of_the_Pitcairn_Islands", 40),
    ],
    "un_2023": [
        ("India", "India", 1_428_627_663),
        ("China", "China", 1_425_671_352),
        ("Macau", "Macau", 704_149),
        ("Nepal", "Nepal", 30_896_590),
        (
            "Saint Helena, Ascension and Tristan da Cunha",
            "Saint_Helena,_Ascension_and_Tristan_da_Cunha",
            5_314,
        ),
    ],
    "dependencies_2025": [
        ("India", "India", 1_417_492_000),
        ("China", "China", 1_408_280_000),
        ("France", "France", 68_605_000),
        ("Saint Martin", "Demographics_of_Saint_Martin", 31_496),
        ("Western Sahara", "Sahrawi_Arab_Democratic_Republic", 600_904),
        ("Norfolk Island", "Norfolk_Island", 2_188),
        ("Niue", "Niue", 1_681),
    ],
    "un_2026": [
        ("India", "India", 1_476_625_576),
        ("Syria", "Syria", 26_464_711),
        ("Afghanistan", "Afghanistan", 45_044_511),
        ("Guernsey", "Guernsey", 64_592),
        ("Vatican City", "Vatican_City", 501),
    ],
    "dependencies_2026": [
        ("India", "Demographics_of_India", 1_429_404_000),
        ("South Korea", "Demographics_of_South_Korea", 51_100_000),
        ("South Ossetia", "South_Ossetia", 56_520),
        ("Tokelau", "Demographics_of_Tokelau", 2_608),
    ],
}


def page(name: str) -> str:
    return (PAGES / f"{name}.html").read_text(encoding="utf-8")


def table(*rows: str, head: str = "<th>Country</th><th>Population</th>") -> str:
    lines = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    return f'<table class="wikitable">{lines}</table>'


def link(title: str, text: str | None = None) -> str:
    return f'<a href="/wiki/{title}">{text or title}</a>'


def names(html: str) -> list[str]:
    return [country.name for country in find_countries(html, URL)]


@pytest.mark.parametrize("name", LISTED)
def test_each_year_s_markup_gives_its_countries(name: str) -> None:
    assert find_countries(page(name), URL) == tuple(
        Country(country, WIKI + article, population)
        for country, article, population in LISTED[name]
    )


def test_every_list_page_here_has_an_expectation() -> None:
    here = {path.stem for path in PAGES.glob("*.html")}
    assert here == LISTED.keys() | {"no_list", "article"}


@pytest.mark.parametrize(
    "html", [page("no_list"), "", "   ", "<p>none</p>", table(), '{"not": "html"}']
)
def test_a_page_without_countries_is_refused_by_its_address(html: str) -> None:
    with pytest.raises(
        ListPageError, match=r"no countries found on https://"
    ) as caught:
        find_countries(html, URL)
    assert caught.value.url == URL
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.url) == (str(caught.value), URL)


def test_a_country_is_listed_once() -> None:
    row = f"<td>{link('Malta')}</td><td>1</td>"
    other = f"<td>{link('Malta#History', 'Malta again')}</td><td>2</td>"
    assert names(table(row, row, other)) == ["Malta"]


def test_a_row_that_covers_two_lines_is_one_country() -> None:
    first = f'<td rowspan="2">{link("Malta")}</td><td>1</td>'
    html = table(first, "<td>2</td>", f"<td>{link('Peru')}</td><td>3</td>")
    assert [(c.name, c.population) for c in find_countries(html, URL)] == [
        ("Malta", 1),
        ("Peru", 3),
    ]


def test_the_column_of_countries_is_told_from_those_of_regions_without_a_heading() -> (
    None
):
    flag = '<img alt="" src="f.png">'
    rows = [
        f"<td>{link('Europe')}</td><td>{flag}{link(name)}</td><td>{number}</td>"
        for name, number in (("Malta", 7), ("Andorra", 8), ("Monaco", 9))
    ]
    html = table(*rows, head="<th></th><th></th><th></th>")
    assert [(c.name, c.population) for c in find_countries(html, URL)] == [
        ("Malta", 7),
        ("Andorra", 8),
        ("Monaco", 9),
    ]


@pytest.mark.parametrize("target", ["France", "Flag_of_R%C3%A9union"])
def test_where_the_name_leads_to_the_country_the_flag_may_lead_anywhere(
    target: str,
) -> None:
    flag = f'<a href="/wiki/{target}"><img alt="" src="f.png"></a>'
    html = table(
        f"<td>{flag} {link('R%C3%A9union', 'Réunion')}</td><td>1</td>",
        f"<td>{link('France')}</td><td>2</td>",
    )
    assert [country.url for country in find_countries(html, URL)] == [
        WIKI + "R%C3%A9union",
        WIKI + "France",
    ]


@pytest.mark.parametrize(
    "href",
    [
        "/wiki/File:Flag_of_Malta.svg",
        "/wiki/Category:Malta",
        "/wiki/Help:IPA",
        "/wiki/Special:Search",
        "/wiki/User_talk:Somebody",
        "/w/index.php?title=Malta&redlink=1",
        "#cite_note-1",
        "https://www.wikidata.org/wiki/Q233",
        "https://stats.example/malta",
        "mailto:somebody@stats.example",
        "http://[",
    ],
)
def test_what_is_no_article_is_passed_over(href: str) -> None:
    row = f'<td><a href="{href}">no</a> {link("Malta")}</td><td>1</td>'
    assert [c.url for c in find_countries(table(row), URL)] == [WIKI + "Malta"]


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("/wiki/Malta", "http://copy.test/wiki/Malta"),
        ("./Malta", "http://copy.test/wiki/Malta"),
        ("//en.wikipedia.org/wiki/Malta", "http://en.wikipedia.org/wiki/Malta"),
        ("https://en.wikipedia.org/wiki/Malta", "https://en.wikipedia.org/wiki/Malta"),
        ("Malta.html", "http://copy.test/wiki/Malta.html"),
    ],
)
def test_links_are_followed_however_they_are_written(href: str, url: str) -> None:
    html = table(f'<td><a href="{href}">Malta</a></td><td>1</td>')
    found = find_countries(html, "http://copy.test/wiki/List")
    assert [country.url for country in found] == [url]


@pytest.mark.parametrize(
    ("text", "population"),
    [
        ("1,234,567", 1_234_567),
        ("1.234.567", 1_234_567),
        ("1&#160;234&#160;567", 1_234_567),
        ("1\N{NARROW NO-BREAK SPACE}234", 1_234),
        ('<span class="sortkey">7003123400000</span>1,234', 1_234),
        ("1,234<sup>[1]</sup>", 1_234),
        ("1,234[a]", 1_234),
        ("1,234 (2020 census)", 1_234),
        ("~ 50", 50),
        ("0", 0),
    ],
)
def test_a_population_is_read_as_it_is_written(text: str, population: int) -> None:
    html = table(f"<td>{link('Malta')}</td><td>{text}</td>")
    assert [c.population for c in find_countries(html, URL)] == [population]


def test_a_page_may_declare_its_encoding_as_xml() -> None:
    html = '<?xml version="1.0" encoding="utf-8"?>' + table(
        f"<td>{link('Cura%C3%A7ao', 'Curaçao')}</td><td>1</td>"
    )
    assert names(html) == ["Curaçao"]
