"""The site: a list of 233 countries and an article on each.

Nothing is read but this package's own data. The same seed gives the same bytes on
every machine and in every Python version.
"""

from __future__ import annotations

from functools import cached_property
from random import Random

from concurcrawl.tools.testsite.article import ArticleWriter, navboxes
from concurcrawl.tools.testsite.countries import COUNTRY_COUNT, CountryFacts, countries
from concurcrawl.tools.testsite.grammar import Pools, make_pools, pick, words
from concurcrawl.tools.testsite.listing import (
    continents_table,
    footnotes,
    list_table,
    years_table,
)
from concurcrawl.tools.testsite.markup import document, link

CONTENT_VERSION = 1  # names the cache folder: raise it when any page changes
LIST_ARTICLE = "List_of_countries_by_population_(United_Nations)"
LIST_PATH = f"/wiki/{LIST_ARTICLE}"


class Site:
    """The pages of one seed; each call makes its page anew.

    Args:
        seed: Which of the possible sites.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def list_page(self, pages: int = COUNTRY_COUNT) -> bytes:
        """Return the list of the *pages* most populous countries."""
        rng = self._rng(LIST_ARTICLE)
        introduction = (pick(rng, self._pools.sentences) for _ in range(6))
        parts = (
            f"<p>{' '.join(introduction)}</p>\n",
            continents_table(),
            list_table(rng, pages),
            footnotes(),
            years_table(),
            *navboxes()[:2],
        )
        return self._page(LIST_ARTICLE.replace("_", " "), LIST_ARTICLE, "".join(parts))

    def country_page(self, country: CountryFacts) -> bytes:
        """Return the article on *country*."""
        writer = ArticleWriter(self._rng(country.article), country, self._pools)
        return self._page(country.name, country.article, writer.write())

    @cached_property
    def _pools(self) -> Pools:
        return make_pools(self.seed, [link(c.article, c.name) for c in countries()])

    def _page(self, title: str, article: str, body: str) -> bytes:
        return document(title, article, body, words().interlanguage).encode()

    def _rng(self, article: str) -> Random:
        # A text as seed goes through SHA-512, not through hash().
        return Random(f"concurcrawl {self.seed} {article}")  # noqa: S311 - no secret
