"""Sentences, references and table rows that read like an encyclopedia's.

Pages are put together from pools of ready-made pieces: drawing a piece costs well
under a microsecond, so a whole site is made in about a second.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, quote_plus

from concurcrawl.tools.testsite.markup import link

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

# Sizes decide how often a piece comes again within gzip's window of 32 kB, and so
# how well a page compresses.
SENTENCES = 6000
REFERENCES = 3000
TABLE_ROWS = 2500


@dataclass(frozen=True, slots=True)
class Words:
    """The vocabulary, one field a key of ``words.toml``."""

    templates: tuple[str, ...]
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    did: tuple[str, ...]
    done: tuple[str, ...]
    lost: tuple[str, ...]
    outcomes: tuple[str, ...]
    bodies: tuple[str, ...]
    units: tuple[str, ...]
    roles: tuple[str, ...]
    concepts: tuple[str, ...]
    months: tuple[str, ...]
    onsets: tuple[str, ...]
    nuclei: tuple[str, ...]
    codas: tuple[str, ...]
    headings: tuple[str, ...]
    interlanguage: tuple[str, ...]


@cache
def words() -> Words:
    """Return the vocabulary."""
    text = files("concurcrawl.tools.testsite").joinpath("words.toml").read_text("utf-8")
    return Words(**{key: tuple(value) for key, value in tomllib.loads(text).items()})


@dataclass(frozen=True)
class Pools:
    """Ready-made pieces of HTML.

    Attributes:
        sentences: Text with links, each ending in a full stop.
        references: What stands within one entry of a reference list.
        rows: Rows of five cells for a statistical table.
        names: Proper names: towns, rivers, families.
    """

    sentences: tuple[str, ...]
    references: tuple[str, ...]
    rows: tuple[str, ...]
    names: tuple[str, ...]


def pick(rng: Random, pool: Sequence[T]) -> T:
    """Return one of *pool*.

    Only ``Random.random`` promises the same numbers in every Python version;
    ``choice`` and ``randrange`` do not.
    """
    return pool[int(rng.random() * len(pool))]


def between(rng: Random, low: int, high: int) -> int:
    """Return a whole number from *low* to *high*, both possible."""
    return low + int(rng.random() * (high - low + 1))


def make_pools(seed: int, country_links: Sequence[str]) -> Pools:
    """Make the pieces that all pages of one site share.

    Args:
        seed: The same seed gives the same pieces on every machine.
        country_links: Links to the country pages, woven into the text.
    """
    rng = Random(f"concurcrawl pools {seed}")  # noqa: S311 - no secret is made of it
    names = tuple(_name(rng) for _ in range(900))
    return Pools(
        sentences=tuple(_sentence(rng, names, country_links) for _ in range(SENTENCES)),
        references=tuple(_reference(rng, names) for _ in range(REFERENCES)),
        rows=tuple(_row(rng, names, country_links) for _ in range(TABLE_ROWS)),
        names=names,
    )


def _name(rng: Random) -> str:
    syllables = (
        pick(rng, words().onsets) + pick(rng, words().nuclei) + pick(rng, words().codas)
        for _ in range(between(rng, 2, 3))
    )
    return "".join(syllables).capitalize()


def _number(rng: Random) -> str:
    return f"{int(10 ** (2 + 5 * rng.random())):,}"


def _date(rng: Random) -> str:
    return (
        f"{between(rng, 1, 28)} {pick(rng, words().months)} {between(rng, 1790, 2020)}"
    )


def _sentence(rng: Random, names: Sequence[str], links: Sequence[str]) -> str:
    concept = pick(rng, words().concepts)
    town = pick(rng, names)
    return pick(rng, words().templates).format(
        noun=pick(rng, words().nouns),
        noun2=pick(rng, words().nouns),
        adj=pick(rng, words().adjectives),
        adj2=pick(rng, words().adjectives),
        adj3=pick(rng, words().adjectives),
        did=pick(rng, words().did),
        done=pick(rng, words().done),
        lost=pick(rng, words().lost),
        outcome=pick(rng, words().outcomes),
        body=pick(rng, words().bodies),
        unit=pick(rng, words().units),
        role=pick(rng, words().roles),
        concept=link(concept.replace(" ", "_"), concept),
        place=link(town, town) if rng.random() < 0.5 else town,
        place2=pick(rng, names),
        person=f"{pick(rng, names)} {pick(rng, names)}",
        link=pick(rng, links),
        link2=pick(rng, links),
        year=between(rng, 1650, 1940),
        year2=between(rng, 1941, 2020),
        date=_date(rng),
        percent=between(rng, 2, 49),
        percent2=between(rng, 50, 98),
        number=_number(rng),
        number2=_number(rng),
    )


def _reference(rng: Random, names: Sequence[str]) -> str:
    last, first, publisher = pick(rng, names), pick(rng, names), pick(rng, names)
    parts = [pick(rng, words().adjectives), pick(rng, words().nouns)]
    parts += ["of", pick(rng, names), "and", "the", pick(rng, words().nouns)]
    title = " ".join(parts).capitalize()
    year = between(rng, 1960, 2020)
    pages = between(rng, 1, 480)
    slug = f"{publisher.lower()}-{int(rng.random() * 16**8):08x}"
    url = f"https://{quote(publisher.lower())}.example.org/{year}/{quote(slug)}.html"
    coins = (
        "ctx_ver=Z39.88-2004&amp;rft_val_fmt=info%3Aofi%2Ffmt%3Akev%3Amtx%3Abook"
        f"&amp;rft.genre=book&amp;rft.btitle={quote_plus(title)}"
        f"&amp;rft.pages={pages}&amp;rft.date={year}&amp;rft.aulast={quote(last)}"
        f"&amp;rft.aufirst={quote(first)}&amp;rft_id={quote(url, safe='')}"
        "&amp;rfr_id=info%3Asid%2Fmirror.example%3ACountry"
    )
    return (
        f'<cite id="CITEREF{last}{year}" class="citation book cs1">{last}, {first}'
        f' ({year}). <a rel="nofollow" class="external text" href="{url}"><i>{title}'
        f'</i></a>. {publisher}. <a href="/wiki/ISBN_(identifier)" class="mw-redirect"'
        f' title="ISBN (identifier)">ISBN</a>&#160;<bdi>{between(rng, 100, 999)}-0-'
        f"{between(rng, 1000, 9999)}-{between(rng, 1000, 9999)}</bdi>. pp.&#160;{pages}"
        f'&#8211;{pages + 12}.</cite><span title="{coins}" class="Z3988"></span>'
    )


def _row(rng: Random, names: Sequence[str], links: Sequence[str]) -> str:
    return (
        f'<tr>\n<td style="text-align:left">{pick(rng, names)}</td>\n'
        f'<td><span class="nowrap">{pick(rng, links)}</span></td>\n'
        f'<td style="text-align:right">{_number(rng)}</td>\n'
        f'<td style="text-align:right">{_number(rng)}</td>\n'
        f"<td>{between(rng, 1900, 2020)}</td></tr>\n"
    )
