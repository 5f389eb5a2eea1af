"""The facts: 233 countries and areas, from ``countries.csv``.

Populations are those of the United Nations' World Population Prospects 2019 for the
middle of 2020.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from concurcrawl.tools.testsite.markup import wiki_path

COUNTRY_COUNT = 233

#: Statistical regions of the United Nations.
CONTINENTS: dict[str, tuple[str, ...]] = {
    "Africa": (
        "Eastern Africa",
        "Middle Africa",
        "Northern Africa",
        "Southern Africa",
        "Western Africa",
    ),
    "Americas": ("Caribbean", "Central America", "Northern America", "South America"),
    "Asia": (
        "Central Asia",
        "Eastern Asia",
        "South-eastern Asia",
        "Southern Asia",
        "Western Asia",
    ),
    "Europe": (
        "Eastern Europe",
        "Northern Europe",
        "Southern Europe",
        "Western Europe",
    ),
    "Oceania": ("Australia and New Zealand", "Melanesia", "Micronesia", "Polynesia"),
}
_CONTINENT_OF = {
    region: continent for continent, regions in CONTINENTS.items() for region in regions
}


@dataclass(frozen=True, slots=True)
class CountryFacts:
    """One row of the list.

    Attributes:
        rank: 1 for the most populous.
        name: As the list shows it.
        article: Title of its page, with underscores.
        population: People in the middle of 2020.
        capital: Seat of government.
        area_km2: Land and inland water.
        currency: The first one in use.
        language: Official languages, separated by commas.
        calling_code: With its plus sign.
        iso: ISO 3166-1 alpha-2.
        region: Statistical subregion of the United Nations.
    """

    rank: int
    name: str
    article: str
    population: int
    capital: str
    area_km2: int
    currency: str
    language: str
    calling_code: str
    iso: str
    region: str

    @property
    def continent(self) -> str:
        """Return the continental region of the United Nations."""
        return _CONTINENT_OF[self.region]

    @property
    def path(self) -> str:
        """Return the path of its page, percent-encoded."""
        return wiki_path(self.article)


@cache
def countries() -> tuple[CountryFacts, ...]:
    """Return the 233 countries and areas, the most populous first."""
    text = (
        files("concurcrawl.tools.testsite").joinpath("countries.csv").read_text("utf-8")
    )
    return tuple(
        CountryFacts(
            rank=rank,
            name=row["name"],
            article=row["article"],
            population=int(row["population"]),
            capital=row["capital"],
            area_km2=int(row["area_km2"]),
            currency=row["currency"],
            language=row["language"],
            calling_code=row["calling_code"],
            iso=row["iso"],
            region=row["region"],
        )
        for rank, row in enumerate(csv.DictReader(text.splitlines()), 1)
    )
