"""The article on a country: infobox, sections, notes, navigation boxes."""

from __future__ import annotations

import math
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from concurcrawl.tools.testsite.countries import (
    CONTINENTS,
    COUNTRY_COUNT,
    CountryFacts,
    countries,
)
from concurcrawl.tools.testsite.grammar import Pools, between, pick, words
from concurcrawl.tools.testsite.markup import flag, link, wiki_path

if TYPE_CHECKING:
    from random import Random

# What a page is made to: its chrome adds up to 50 kB.
_SMALLEST_BYTES = 135_000
_MEDIAN_BYTES = 600_000
_LARGEST_BYTES = 1_240_000
_SECTIONS_SHARE = 0.50
_REFERENCES_SHARE = 0.38
_NOTED_SHARE = 0.15  # of the sentences
_MOST_NOTES = 1500


class ArticleWriter:
    """Writes one article.

    Args:
        rng: Decides everything that is not a fact.
        country: What it is about.
        pools: What its text is made of.
    """

    def __init__(self, rng: Random, country: CountryFacts, pools: Pools) -> None:
        self._rng = rng
        self._country = country
        self._pools = pools
        self._notes = 0

    def write(self) -> str:
        """Return the article's content."""
        size = _target_bytes(self._rng, self._country)
        lead = [_infobox(self._country), self.paragraph(6), self.paragraph(5)]
        sections = self._sections(int(size * _SECTIONS_SHARE))
        references = self._references(int(size * _REFERENCES_SHARE))
        boxes = navboxes()[: between(self._rng, 1, 4)]
        texts = (text for _, text in sections)
        parts = [*lead, _contents([name for name, _ in sections]), *texts]
        return "".join([*parts, references, *boxes, _categories(self._country)])

    def paragraph(self, count: int) -> str:
        """Return a paragraph of *count* sentences without notes."""
        chosen = (pick(self._rng, self._pools.sentences) for _ in range(count))
        return f"<p>{' '.join(chosen)}</p>\n"

    def _sections(self, size: int) -> list[tuple[str, str]]:
        """Return (heading, HTML) of each section, *size* characters together."""
        headings, made = words().headings, 0
        sections: list[tuple[str, str]] = []
        while made < size:
            heading = headings[len(sections) % len(headings)]
            html = self._section(heading, len(sections))
            made += len(html)
            sections.append((heading, html))
        return sections

    def _section(self, heading: str, index: int) -> str:
        rng, own = self._rng, _own_sentences(self._country)
        parts = [_headline(heading, index)]
        if rng.random() < 0.35:
            parts.append(_figure(rng, self._country, self._pools))
        parts.append(f"<p>{pick(rng, own)} ")
        for _ in range(between(rng, 3, 7)):
            parts += (self._cited(between(rng, 4, 9)), "</p>\n<p>")
        parts.append(f"{pick(rng, own)}</p>\n")
        if rng.random() < 0.4:
            parts.append(self._table(heading))
        return "".join(parts)

    def _cited(self, count: int) -> str:
        """Return *count* sentences, some of them with a note."""
        # The innermost loop: a quarter of a million sentences a site.
        sentences, draw = self._pools.sentences, self._rng.random
        total, marks = len(sentences), _note_marks()
        parts = []
        for _ in range(count):
            parts.append(sentences[int(draw() * total)])
            if draw() < _NOTED_SHARE and self._notes < _MOST_NOTES:
                parts.append(marks[self._notes])
                self._notes += 1
        return " ".join(parts)

    def _table(self, heading: str) -> str:
        rng = self._rng
        rows = [pick(rng, self._pools.rows) for _ in range(between(rng, 6, 24))]
        return (
            f'<table class="wikitable sortable">\n<caption>{heading} of'
            f" {escape(self._country.name)}</caption>\n<tbody><tr>\n<th>Place</th>\n"
            "<th>Partner</th>\n<th>First</th>\n<th>Second</th>\n<th>Year</th></tr>\n"
            f"{''.join(rows)}</tbody></table>\n"
        )

    def _references(self, size: int) -> str:
        """Return the notes; works that no note cites fill it up to *size*."""
        rng, pool = self._rng, self._pools.references
        notes, made = [], 0
        for head in _note_headings()[: self._notes]:
            notes.append(f"{head}{pick(rng, pool)}</span></li>\n")
            made += len(notes[-1])
        works = []
        while made < size:
            works.append(f"<li>{pick(rng, pool)}</li>\n")
            made += len(works[-1])
        return (
            '<h2><span class="mw-headline" id="References">References</span></h2>\n'
            '<div class="reflist reflist-columns references-column-width">\n'
            f'<ol class="references">\n{"".join(notes)}</ol></div>\n'
            '<h2><span class="mw-headline" id="Sources">Sources</span></h2>\n'
            f'<div class="refbegin"><ul>\n{"".join(works)}</ul></div>\n'
        )


def _target_bytes(rng: Random, country: CountryFacts) -> int:
    """Return about how large the page shall be: more people, a longer article."""
    place = 0.5 - (country.rank - 1) / (COUNTRY_COUNT - 1)  # 0.5 ... -0.5
    size = _MEDIAN_BYTES * math.exp(2.0 * place + 0.9 * (rng.random() - 0.5))
    return int(min(max(size, _SMALLEST_BYTES), _LARGEST_BYTES))


def _infobox(country: CountryFacts) -> str:
    density = country.population / country.area_km2
    currency, capital = country.currency, country.capital
    domain = "uk" if country.iso == "GB" else country.iso.lower()
    square_miles = country.area_km2 * 0.386102159
    rows = [
        _fact("Capital", link(capital.replace(" ", "_"), escape(capital))),
        _fact("Official languages", _languages(country)),
        _group("Area"),
        _fact(
            "•&#160;Total",
            f"{country.area_km2:,}&#160;km<sup>2</sup>"
            f" ({square_miles:,.0f}&#160;sq&#160;mi)",
        ),
        _group("Population"),
        _fact(
            "•&#160;2020 estimate",
            f'{country.population:,}<sup class="reference"><a href="#cite_note-1">[1]'
            f"</a></sup> ({country.rank})",
        ),
        _fact("•&#160;Density", f"{density:,.1f}/km<sup>2</sup>"),
        _fact("Currency", link(currency.replace(" ", "_"), currency)),
        _fact("Region", f"{country.region}, {country.continent}"),
        _fact("Calling code", country.calling_code),
        _fact("ISO 3166 code", country.iso),
        _fact("Internet TLD", f".{domain}"),
    ]
    return (
        '<table class="infobox ib-country vcard"><tbody><tr><th colspan="2"'
        ' class="infobox-above adr"><div class="fn org country-name">'
        f'{escape(country.name)}</div></th></tr>\n<tr><td colspan="2"'
        f' class="infobox-image">{flag(country.iso)}<div>Flag</div></td></tr>\n'
        f"{''.join(rows)}</tbody></table>\n"
    )


def _fact(label: str, value: str) -> str:
    return (
        f'<tr><th scope="row" class="infobox-label">{label}</th>'
        f'<td class="infobox-data">{value}</td></tr>\n'
    )


def _group(label: str) -> str:
    return (
        '<tr class="mergedtoprow"><th colspan="2" class="infobox-header">'
        f"{label}</th></tr>\n"
    )


def _languages(country: CountryFacts) -> str:
    names = country.language.split(", ")
    return ", ".join(link(f"{n.replace(' ', '_')}_language", n) for n in names)


def _own_sentences(country: CountryFacts) -> tuple[str, ...]:
    """Return sentences that only this country's article has."""
    name = f"<b>{escape(country.name)}</b>"
    people, area = f"{country.population:,}", f"{country.area_km2:,}"
    return (
        f"{name} lies in {country.region} and covers {area} km<sup>2</sup>.",
        f"In the middle of 2020 {name} had {people} inhabitants.",
        f"The capital of {name} is {escape(country.capital)}.",
        f"Prices in {name} are given in the {country.currency}.",
        f"Visitors to {name} hear {country.language} most often.",
        f"From abroad, {name} is reached by dialling {country.calling_code}.",
        f"{name} is number {country.rank} in the world by population.",
        f"Of all areas in {country.continent}, {name} is the one meant here.",
    )


def _headline(heading: str, index: int) -> str:
    level = 2 if index % 4 == 0 else 3
    return (
        f'<h{level}><span class="mw-headline" id="{_anchor(heading, index)}">{heading}'
        '</span><span class="mw-editsection">'
        '<span class="mw-editsection-bracket">[</span>'
        f'<a href="#edit-{index}" title="Edit section: {heading}">edit</a>'
        f'<span class="mw-editsection-bracket">]</span></span></h{level}>\n'
    )


def _figure(rng: Random, country: CountryFacts, pools: Pools) -> str:
    name = pick(rng, pools.names)
    file = f"{name}_{country.iso}_{between(rng, 1800, 2020)}.jpg"
    return (
        '<div class="thumb tright"><div class="thumbinner" style="width:222px;">'
        f'<a href="/wiki/File:{wiki_path(file)[6:]}" class="image"><img alt=""'
        f' src="/static/thumb/{wiki_path(file)[6:]}" decoding="async" width="220"'
        f' height="{between(rng, 120, 300)}" class="thumbimage" /></a>'
        f' <div class="thumbcaption">View of {name}</div></div></div>\n'
    )


def _contents(headings: list[str]) -> str:
    items = "".join(
        f'<li class="toclevel-1 tocsection-{i}"><a href="#{_anchor(heading, i)}">'
        f'<span class="tocnumber">{i + 1}</span> <span class="toctext">{heading}</span>'
        "</a></li>\n"
        for i, heading in enumerate(headings)
    )
    return (
        '<div id="toc" class="toc" role="navigation"><h2>Contents</h2>\n'
        f"<ul>\n{items}</ul>\n</div>\n"
    )


def _anchor(heading: str, index: int) -> str:
    return f"{heading.replace(' ', '_')}_{index}"


def _categories(country: CountryFacts) -> str:
    titles = (
        country.name,
        f"Countries in {country.continent}",
        country.region,
        "Member states and areas",
    )
    items = "".join(
        f"<li>{link('Category:' + title.replace(' ', '_'), escape(title))}</li>"
        for title in titles
    )
    return f'<div id="catlinks" class="catlinks"><ul>{items}</ul></div>\n'


@cache
def _note_marks() -> tuple[str, ...]:
    return tuple(
        f'<sup id="cite_ref-{n}" class="reference"><a href="#cite_note-{n}">[{n}]</a>'
        "</sup>"
        for n in range(1, _MOST_NOTES + 1)
    )


@cache
def _note_headings() -> tuple[str, ...]:
    return tuple(
        f'<li id="cite_note-{n}"><span class="mw-cite-backlink"><b>'
        f'<a href="#cite_ref-{n}">^</a></b></span> <span class="reference-text">'
        for n in range(1, _MOST_NOTES + 1)
    )


@cache
def navboxes() -> tuple[str, ...]:
    """Return one box a continent: links to all its countries, by subregion."""
    boxes = []
    for continent, regions in CONTINENTS.items():
        rows = []
        for region in regions:
            items = "".join(
                f"<li>{link(c.article, escape(c.name))}</li>\n"
                for c in countries()
                if c.region == region
            )
            rows.append(
                f'<tr><th scope="row" class="navbox-group">{region}</th><td'
                ' class="navbox-list navbox-odd hlist"><div style="padding:0 0.25em">'
                f"\n<ul>{items}</ul>\n</div></td></tr>\n"
            )
        boxes.append(
            '<div role="navigation" class="navbox"><table class="nowraplinks'
            ' mw-collapsible autocollapse navbox-inner"><tbody><tr><th scope="col"'
            f' class="navbox-title" colspan="2">Countries of {continent}</th></tr>\n'
            f"{''.join(rows)}</tbody></table></div>\n"
        )
    return tuple(boxes)
