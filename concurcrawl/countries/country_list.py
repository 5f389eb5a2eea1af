"""Read the countries from a list page of Wikipedia.

The markup of these pages drifts: flags moved from ``span`` to ``figure``, names from
``td`` to ``th``, links from countries to their demographics. So nothing here goes by an
element's neighbours. It goes by what such a page is: a table, one country a row, and
one column that says which.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, urldefrag, urljoin, urlsplit

from lxml import etree
from lxml import html as lxml_html

from concurcrawl.countries.page_files import title_of
from concurcrawl.errors import ListPageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lxml.html import HtmlElement

    _Row: TypeAlias = list[HtmlElement | None]

_NAMESPACES = frozenset(
    {
        "book",
        "category",
        "commons",
        "draft",
        "file",
        "help",
        "image",
        "media",
        "mediawiki",
        "module",
        "portal",
        "special",
        "talk",
        "template",
        "timedtext",
        "user",
        "wikipedia",
        "wikt",
        "wiktionary",
        "wp",
    }
)
_NOT_ARTICLES = frozenset({"external", "extiw", "image", "mw-file-description", "new"})
#: Parts of a cell that readers don't take for its text.
_ASIDE_TAGS = frozenset({"noscript", "script", "style", "sup", "table"})
_ASIDE_CLASSES = frozenset({"mw-ref", "noprint", "reference", "sortkey"})
_ROW_GROUPS = frozenset({"thead", "tbody", "tfoot"})
_HIDDEN = re.compile(r"display\s*:\s*none")

_COUNTRY_HEADING = re.compile(
    r"countr(y|ies)|territor(y|ies)|dependenc(y|ies)|\blocation|\bnation\b|\bstates?\b",
    re.IGNORECASE,
)
_POPULATION_HEADING = re.compile(r"\bpopulation|\binhabitants", re.IGNORECASE)
_RATIO_HEADING = re.compile(
    r"%|percent|share|rank|densit|growth|change|source", re.IGNORECASE
)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_NUMBER = re.compile(
    r"[~≈]?\s*(\d{1,3}(?:[,.'\u2019\s]\d{3})+|\d+)\s*"
    r"(?:\([^)]*\)|\[[^\]]*\]|\*)*"  # notes
)
#: "Demographics of the United States" is about the United States.
_TOPIC = re.compile(
    r"(?:(?:demograph|econom|geograph|polit|census|histor)\w*|population|outline)"
    r"(?:_\w+)?_(?:of|in)_(?:the_)?(?P<country>.+)",
    re.IGNORECASE,
)
_WORLD = frozenset(
    {
        "earth",
        "humans",
        "total",
        "totals",
        "world",
        "world_population",
        "human_population",
        "world_total",
        "rest_of_world",
        "rest_of_the_world",
        "all_countries",
        "global_population",
    }
)


@dataclass(frozen=True, slots=True)
class Country:
    """One row of a list page.

    Attributes:
        name: As the page prints it, without footnotes.
        url: Absolute address of its article, without a fragment.
        population: What the row says, or None if it says nothing readable.
    """

    name: str
    url: str
    population: int | None


@dataclass(frozen=True, slots=True)
class _Link:
    url: str
    title: str
    text: str
    """What stands between its tags; empty for a flag."""
    before: str
    """What the cell says to the left of it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the cell of a country says: its name, and where the name and flag lead."""

    name: str
    by_name: _Link | None
    by_flag: _Link | None
    population: int | None


@dataclass(frozen=True, slots=True)
class _Table:
    """A table as a grid: a cell that spans columns or rows stands in each of them."""

    headings: list[str]
    body: list[_Row]

    @property
    def width(self) -> int:
        return len(self.headings)

    def column(self, index: int) -> Iterator[tuple[HtmlElement, _Row]]:
        """Yield each cell of a column once, not those that span the whole table.

        With each its row, the first of those that it spans.
        """
        last = None
        for row in self.body:
            cell = row[index]
            if cell is None or cell is last or _is_divider(row):
                continue
            last = cell
            yield cell, row


def find_countries(html: str, url: str) -> tuple[Country, ...]:
    """Return the countries of a list page, each once, in the order of the page.

    Args:
        html: The page.
        url: Where it is from; links are relative to it.

    Raises:
        ListPageError: If the page has no table of countries.
    """
    # Encoded again, because lxml refuses text that declares an encoding of its own.
    parser = lxml_html.HTMLParser(encoding="utf-8", huge_tree=True)
    data = html.encode("utf-8", "replace")
    root: HtmlElement | None = None
    with suppress(etree.ParserError):  # there is no element in it
        root = lxml_html.document_fromstring(data, parser=parser, ensure_head_body=True)
    # Not in an except clause: lxml's error would be the context of ours, and where
    # Dask is used exceptions are pickled with their context, which lxml's cannot be.
    if root is None:
        raise ListPageError(url)
    declared = root.find(".//base[@href]")
    base = url if declared is None else urljoin(url, declared.get("href"))
    tables = (
        table
        for table in root.iter("table")
        if "wikitable" in table.get("class", "").split()
    )
    found = max(
        (_countries(_grid(table), base) for table in tables), key=len, default=()
    )
    if not found:
        raise ListPageError(url)
    return found


def _countries(table: _Table, base: str) -> tuple[Country, ...]:
    column = _country_column(table, base)
    if column is None:
        return ()
    numbers = _population_column(table, column)
    entries = []
    for cell, row in table.column(column):
        population = None if numbers is None else _number(_text(row[numbers]))
        entry = _entry(cell, base, population)
        if entry is not None and not _is_world(entry):
            entries.append(entry)
    return tuple(_choose(entries))


# --- From a table to a grid -----------------------------------------------------------


def _grid(table: HtmlElement) -> _Table:
    # Not those of tables within it.
    groups = [table, *(part for part in table if part.tag in _ROW_GROUPS)]
    rows = [row for group in groups for row in group.iterchildren("tr")]
    laid = list(_lay_out(rows))
    width = max((len(row) for row in laid), default=0)
    headings = [""] * width
    body = []
    for covered, element in zip(laid, rows, strict=True):
        row = covered + [None] * (width - len(covered))
        if not _is_heading(element):
            body.append(row)
        elif not body:  # headings repeated further down say nothing new
            headings = [
                f"{text} {_text(cell)}"
                for text, cell in zip(headings, row, strict=True)
            ]
    return _Table(headings, body)


def _lay_out(rows: Sequence[HtmlElement]) -> Iterator[_Row]:
    """Yield each row with a cell in every column that it covers."""
    hanging: dict[int, tuple[HtmlElement, int]] = {}  # column: cell, rows still covered
    for element in rows:
        row: _Row = []
        cells = element.iterchildren("td", "th")
        below: dict[int, tuple[HtmlElement, int]] = {}
        while True:
            while len(row) in hanging:
                cell, rest = hanging[len(row)]
                if rest > 1:
                    below[len(row)] = cell, rest - 1
                row.append(cell)
            cell = next(cells, None)
            if cell is None:
                break
            rest = _span(cell, "rowspan") - 1
            for _ in range(_span(cell, "colspan")):
                if rest:
                    below[len(row)] = cell, rest
                row.append(cell)
        hanging = below
        yield row


def _span(cell: HtmlElement, name: str) -> int:
    digits = re.match(r"\s*\d{1,3}", cell.get(name, ""))
    return max(1, int(digits[0])) if digits else 1


def _is_heading(row: HtmlElement) -> bool:
    return row.getparent().tag == "thead" or row.find("td") is None


def _is_divider(row: _Row) -> bool:
    """Whether one cell is the whole row, like the name of a continent between rows."""
    return len(row) > 1 and all(cell is row[0] for cell in row)


# --- Which column ---------------------------------------------------------------------


def _country_column(table: _Table, base: str) -> int | None:
    """Return the column that names countries, or None if no column does.

    Regions, sources and dates are linked too, but a column of countries leads to a
    different article in each row, shows flags, or says what it is in its heading.
    """
    best, best_score = None, 0.0
    for index, heading in enumerate(table.headings):
        cells = [cell for cell, _ in table.column(index)]
        flags = sum(1 for cell in cells if cell.find(".//img") is not None)
        is_named = bool(_COUNTRY_HEADING.search(heading))
        if not cells or not (is_named or flags * 2 >= len(cells)):
            continue
        titles = {link.title for cell in cells for link in _links(cell, base)[:1]}
        score = len(titles) * (1 + is_named + flags / len(cells))
        if score > best_score:
            best, best_score = index, score
    return best


def _population_column(table: _Table, countries: int) -> int | None:
    """Return the column with the latest population, or None if there is none."""
    named = [
        index
        for index, heading in enumerate(table.headings)
        if _POPULATION_HEADING.search(heading) and not _RATIO_HEADING.search(heading)
    ]
    best, best_score = None, (-1, -1)
    for index in named or range(table.width):
        if index == countries:
            continue
        numbers = [_number(_text(cell)) for cell, _ in table.column(index)]
        read = [number for number in numbers if number is not None]
        if len(read) * 2 < len(numbers):
            continue
        years = [int(year) for year in _YEAR.findall(table.headings[index])]
        score = (max(years, default=0) if named else 0, sum(read))
        if score > best_score:
            best, best_score = index, score
    return best


def _number(text: str) -> int | None:
    match = _NUMBER.fullmatch(text)
    return int(re.sub(r"\D", "", match[1])) if match else None


# --- Which link -----------------------------------------------------------------------


def _entry(cell: HtmlElement, base: str, population: int | None) -> _Entry | None:
    links = _links(cell, base)
    # A name in brackets is the state that a territory belongs to, not the territory.
    by_name = next(
        (link for link in links if link.text and "(" not in link.before), None
    )
    by_flag = next((link for link in links if not link.text), None)
    if by_name and by_flag and re.search(r"[^\W\d]", by_name.before):
        by_name = None  # the name itself has no link; this one is a remark after it
    link = by_name or by_flag
    if link is None:
        return None
    plain = _unfootnoted(_text(cell).partition("(")[0])
    name = by_name.text if by_name else plain or link.title.replace("_", " ")
    return _Entry(_unfootnoted(name), by_name, by_flag, population)


def _choose(entries: Sequence[_Entry]) -> Iterator[Country]:
    """Yield one country an entry, unless an earlier one has its article."""
    named = {entry.by_name.title for entry in entries if entry.by_name}
    flagged: dict[str, int] = {}
    for entry in entries:
        if entry.by_flag:
            flagged[entry.by_flag.title] = flagged.get(entry.by_flag.title, 0) + 1
    titles = set()
    for entry in entries:
        link = entry.by_name or entry.by_flag
        if link is None:
            continue
        topic = _TOPIC.fullmatch(link.title)
        flag = entry.by_flag
        # A territory may fly the flag of its state, which has a row of its own.
        if (
            topic
            and flag
            and (
                flag.title == topic["country"]
                or (flagged[flag.title] == 1 and flag.title not in named)
            )
        ):
            link = flag
        if link.title not in titles:
            titles.add(link.title)
            yield Country(entry.name, link.url, entry.population)


def _is_world(entry: _Entry) -> bool:
    titles = [link.title for link in (entry.by_name, entry.by_flag) if link]
    topics = [
        match["country"] for title in titles if (match := _TOPIC.fullmatch(title))
    ]
    names = [entry.name.replace(" ", "_"), *titles, *topics]
    return any(name.casefold().removeprefix("the_") in _WORLD for name in names)


def _links(cell: HtmlElement, base: str) -> list[_Link]:
    """Return the links of *cell* that lead to articles, in order."""
    links = []
    before = ""
    for part in _parts(cell):
        if isinstance(part, str):
            before += part
            continue
        text = _text(part)
        article = _article(part, base)
        if article is not None:
            links.append(_Link(*article, text, _squeezed(before)))
        before += text
    return links


def _article(anchor: HtmlElement, base: str) -> tuple[str, str] | None:
    """Return address and title of the article that *anchor* leads to, or None."""
    href = anchor.get("href", "").strip()
    try:
        url = urldefrag(urljoin(base, href)).url
        given, parts = urlsplit(href), urlsplit(url)
    except ValueError:  # no address at all, like "http://["
        return None
    title = title_of(url)
    namespace = title.partition(":")[0].casefold()
    if (
        href.startswith("#")
        or not title
        or parts.query
        or parts.scheme not in {"http", "https"}
        or (given.netloc and not _is_this_wiki(parts, base))
        or namespace in _NAMESPACES
        or namespace.endswith("_talk")
        or _NOT_ARTICLES & set(anchor.get("class", "").split())
    ):
        return None
    return url, title


def _is_this_wiki(parts: SplitResult, base: str) -> bool:
    """Whether a full address leads to the list's site or to what it is a copy of."""
    host = parts.hostname or ""
    known = host == urlsplit(base).hostname or f".{host}".endswith(".wikipedia.org")
    return known and "/wiki/" in parts.path


# --- What a reader sees ---------------------------------------------------------------


def _parts(element: HtmlElement) -> Iterator[str | HtmlElement]:
    """Yield the texts of *element* and, whole, its links; nothing hidden, no notes."""
    if element.text:
        yield element.text
    for child in element:
        if isinstance(child.tag, str) and not _is_aside(child):
            if child.tag == "a" and child.get("href"):
                yield child
            elif child.tag == "br":
                yield " "
            else:
                yield from _parts(child)
        if child.tail:
            yield child.tail


def _is_aside(element: HtmlElement) -> bool:
    return (
        element.tag in _ASIDE_TAGS
        or bool(_ASIDE_CLASSES & set(element.get("class", "").split()))
        or bool(_HIDDEN.search(element.get("style", "")))
    )


def _text(element: HtmlElement | None) -> str:
    if element is None:
        return ""
    texts = (part if isinstance(part, str) else _text(part) for part in _parts(element))
    return _squeezed("".join(texts))


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _unfootnoted(name: str) -> str:
    return re.sub(r"\s*(?:\[[^\]]*\]|\*)", "", name).strip()
