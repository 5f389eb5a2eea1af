"""Read the infobox and the structure of a country's page.

Reading a whole page with BeautifulSoup is the work that keeps a CPU busy, on purpose:
it is what many spiders do.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup

if TYPE_CHECKING:
    from bs4 import Tag

_AREA = re.compile(r"([\d.,\s]*\d)\s*(?:km2|km²|sq\s*km|square kilometres)")
_FOOTNOTE = re.compile(r"\s*\[[^\]]*\]")
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a page; None for one that it does not have.

    Attributes:
        capital: Name of the capital.
        area_km2: Total area, in square kilometres.
        currency: Name of the currency, with its code if that is given.
        language: The official language or languages.
        government: Form of government.
        calling_code: Telephone prefix.
        words: Words of running text (four letters and more).
        top_word: The most frequent of them; of several the first in the alphabet.
        links: Links to other articles, each once.
        references: Footnotes.
        tables: Tables, the box included.
        sections: Headings.
    """

    capital: str | None
    area_km2: float | None
    currency: str | None
    language: str | None
    government: str | None
    calling_code: str | None
    words: int
    top_word: str | None
    links: int
    references: int
    tables: int
    sections: int


def read_facts(html: str) -> Facts:
    """Return the facts of a country's page."""
    soup = BeautifulSoup(html, "lxml")
    box = _box(soup)
    words = Counter(
        word
        for paragraph in soup.find_all("p")
        for word in _WORD.findall(paragraph.get_text().casefold())
    )
    articles = {
        href
        for link in soup.find_all("a", href=True)
        if "/wiki/" in (href := str(link["href"]).partition("#")[0])
    }
    return Facts(
        capital=_first(box, "capital"),
        area_km2=_area(box),
        currency=_first(box, "currency"),
        language=_first(box, "official language", "national language", "language"),
        government=_first(box, "government"),
        calling_code=_first(box, "calling code"),
        words=words.total(),
        top_word=min(words, key=lambda word: (-words[word], word), default=None),
        links=len(articles),
        references=len(soup.select("ol.references > li")),
        tables=len(soup.find_all("table")),
        sections=len(soup.find_all(["h2", "h3", "h4"])),
    )


def _box(soup: BeautifulSoup) -> list[tuple[str, str]]:
    """Return label and value of each row of the first infobox, in order.

    A row without a value heads those below it ("Area", then "• Total"): its label is
    put before theirs.
    """
    table = soup.select_one("table.infobox")
    if table is None:
        return []
    facts = []
    group = ""
    for row in table.find_all("tr"):
        label, value = row.find("th"), row.find("td")
        if label is None:
            continue
        name = _plain(label).casefold()
        if value is None:
            group = name
        elif name.startswith("•"):
            facts.append((f"{group} {name}", _plain(value)))
        else:
            group = name
            facts.append((name, _plain(value)))
    return facts


def _plain(cell: Tag) -> str:
    # Not the texts of styles and hidden coordinates: readers don't see them.
    texts = (
        text
        for text in cell.find_all(string=True)
        if not text.find_parent(["style", "script"])
    )
    joined = _FOOTNOTE.sub("", " ".join(" ".join(texts).split()))
    return re.sub(r" (?=[,;)])|(?<=\() ", "", joined)


def _first(box: list[tuple[str, str]], *labels: str) -> str | None:
    """Return the value of the first of *labels* that some row starts with."""
    for label in labels:
        for name, value in box:
            if name.startswith(label) and value:
                return value
    return None


def _area(box: list[tuple[str, str]]) -> float | None:
    for name, value in box:
        if name.startswith("area") and "%" not in name:
            match = _AREA.search(re.sub(r"km\s+2\b", "km2", value))
            if match:
                return float(re.sub(r"[,\s]", "", match[1]).strip("."))
    return None
