from __future__ import annotations

from pathlib import Path

import pytest

from concurcrawl.countries.infobox import Facts, read_facts

ARTICLE = Path(__file__).parents[2] / "support" / "pages" / "article.html"

NOTHING = Facts(
    capital=None,
    area_km2=None,
    currency=None,
    language=None,
    government=None,
    calling_code=None,
    words=0,
    top_word=None,
    links=0,
    references=0,
    tables=0,
    sections=0,
)


def box(*rows: tuple[str, str]) -> str:
    lines = "".join(
        f"<tr><th>{label}</th><td>{value}</td></tr>" for label, value in rows
    )
    return f'<table class="infobox">{lines}</table>'


def test_an_article_gives_its_facts_and_its_make_up() -> None:
    assert read_facts(ARTICLE.read_text(encoding="utf-8")) == Facts(
        capital="Strelsau",
        area_km2=1234.5,
        currency="Ruritanian crown (RUK)",
        language="German, Czech",
        government="Absolute monarchy",
        calling_code="+999",
        words=10,
        top_word="forests",
        links=8,
        references=2,
        tables=2,
        sections=1,
    )


@pytest.mark.parametrize("html", ["", "<p></p>", "\x00", "no markup"])
def test_a_page_that_says_nothing_gives_nothing(html: str) -> None:
    assert read_facts(html) == NOTHING


@pytest.mark.parametrize(
    ("value", "area_km2"),
    [
        ("9,596,961 km<sup>2</sup>", 9_596_961.0),
        ("0.49 km²", 0.49),
        ("176&#160;sq km (68 sq mi)", 176.0),
        ("about 5 acres", None),
    ],
)
def test_an_area_is_read_in_square_kilometres(
    value: str, area_km2: float | None
) -> None:
    assert read_facts(box(("Area", value))).area_km2 == area_km2


def test_the_first_infobox_counts() -> None:
    html = box(("Capital", "Strelsau")) + box(("Capital", "Zenda"))
    assert read_facts(html).capital == "Strelsau"
