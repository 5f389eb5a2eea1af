"""The list of countries: the table that a crawler wants, and two that it does not."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from concurcrawl.tools.testsite.countries import CONTINENTS, countries
from concurcrawl.tools.testsite.markup import flag, link

if TYPE_CHECKING:
    from random import Random

_FOOTNOTES = {  # by ISO code of the country whose row carries the mark
    "CN": "Without Hong Kong, Macau and Taiwan, which have rows of their own.",
    "FR": "Without French Guiana, Guadeloupe and the other overseas parts.",
    "GB": "Without Crown dependencies and overseas territories.",
    "FI": f"With {link('Åland', 'Åland')}.",
    "CY": "The whole island.",
    "SH": f"With {link('Ascension_Island', 'Ascension')} and Tristan da Cunha.",
}


def list_table(rng: Random, pages: int) -> str:
    """Return the table of the *pages* most populous countries and of the world."""
    rows, world, world_before = [], 0, 0
    for country in countries():
        growth = 0.045 * rng.random() - 0.01
        before = round(country.population / (1 + growth))
        world += country.population
        world_before += before
        note = _mark(country.iso) if country.iso in _FOOTNOTES else ""
        rows.append(
            f"<tr>\n<td>{country.rank}</td>\n"
            f'<td style="text-align:left">{flag(country.iso)} '
            f"{link(country.article, escape(country.name))}{note}</td>\n"
            f"<td>{link(country.continent, country.continent)}</td>\n"
            f"<td>{link(country.region.replace(' ', '_'), country.region)}</td>\n"
            f"{_figures(before, country.population)}</tr>\n"
        )
    return (
        '<table class="wikitable sortable" style="text-align:right">\n'
        "<caption>Countries and areas by population</caption>\n<thead><tr>\n"
        "<th>Rank</th>\n<th>Country or area</th>\n<th>UN continental<br />region</th>\n"
        "<th>UN statistical<br />subregion</th>\n<th>Population<br />(1 July 2019)</th>"
        "\n<th>Population<br />(1 July 2020)</th>\n<th>Change</th>\n</tr></thead>\n"
        "<tbody><tr>\n<td>&#8211;</td>\n"
        f'<td style="text-align:left"><b>{link("World", "World")}</b></td>\n'
        "<td>&#8211;</td>\n<td>&#8211;</td>\n"
        f"{_figures(world_before, world)}</tr>\n{''.join(rows[:pages])}"
        "</tbody></table>\n"
    )


def _figures(before: int, now: int) -> str:
    change = f"{(now - before) / before * 100:+.2f}%".replace("-", "\N{MINUS SIGN}")
    return f"<td>{before:,}</td>\n<td>{now:,}</td>\n<td>{change}</td>"


def continents_table() -> str:
    """Return a small table of continents: links, but no countries."""
    rows = []
    for continent in CONTINENTS:
        people = sum(c.population for c in countries() if c.continent == continent)
        rows.append(
            f"<tr><td>{link(continent, continent)}</td><td>{people:,}</td></tr>"
        )
    return (
        '<table class="wikitable">\n<caption>By continent</caption>\n<tbody>'
        f"<tr><th>Continent</th><th>Population</th></tr>\n{''.join(rows)}"
        "</tbody></table>\n"
    )


def years_table() -> str:
    """Return a small table of years: links, but no countries."""
    rows = "".join(
        f"<tr><td>{year}</td><td>{link(f'World_population_in_{year}', 'List')}"
        "</td></tr>\n"
        for year in range(1900, 2020, 10)
    )
    return (
        '<table class="wikitable sortable">\n<caption>Earlier lists</caption>\n<tbody>'
        f"<tr><th>Year</th><th>List</th></tr>\n{rows}</tbody></table>\n"
    )


def footnotes() -> str:
    """Return what the marks in :func:`list_table` refer to."""
    items = "".join(
        f'<li id="cite_note-{iso}"><b><a href="#cite_ref-{iso}">^</a></b>'
        f' <span class="reference-text">{text}</span></li>\n'
        for iso, text in _FOOTNOTES.items()
    )
    return (
        '<h2><span class="mw-headline" id="Notes">Notes</span></h2>\n'
        f'<div class="reflist"><ol class="references">\n{items}</ol></div>\n'
    )


def _mark(iso: str) -> str:
    letter = "abcdef"[list(_FOOTNOTES).index(iso)]
    return (
        f'<sup id="cite_ref-{iso}" class="reference">'
        f'<a href="#cite_note-{iso}">[{letter}]</a></sup>'
    )
