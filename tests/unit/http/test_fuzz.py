"""What comes from the network, whatever it is, does no harm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from concurcrawl.countries.country_list import Country, find_countries
from concurcrawl.countries.page_files import file_name, title_of
from concurcrawl.errors import ListPageError

SITE = "http://site.test"

urls = st.text(st.characters(exclude_categories=["Cs"]), max_size=400).map(
    lambda text: f"{SITE}/wiki/{text}"
)
#: Tags and texts as a list page has them, in any order and never closed in it.
pages = st.lists(
    st.sampled_from(
        [
            '<table class="wikitable">',
            "</table>",
            "<tr>",
            "<td>",
            '<th scope="row" rowspan="99999" colspan="-1">',
            '<span class="flagicon"><img></span>',
            '<figure typeof="mw:File"><a href="/wiki/File:Flag.svg"><img></a></figure>',
            '<a href="/wiki/France" title="France">France</a>',
            '<a href="//[/wiki/%ff">\x00</a>',
            '<a href="./Demographics_of_Chad">Chad</a>',
            "67,391,582",
            "<sup>[1]</sup>",
        ]
    )
    | st.text(max_size=20),
    max_size=60,
).map("".join)


@given(urls)
def test_a_file_name_never_leaves_its_folder(url: str) -> None:
    name = file_name(url)
    assert "/" not in name
    assert "\\" not in name
    assert "\0" not in name
    assert not name.startswith((".", "-"))
    assert name.endswith(".html")
    assert len(name.encode()) <= 255
    assert file_name(url) == name


@given(urls, urls)
def test_different_titles_have_different_names_also_without_case(
    one: str, other: str
) -> None:
    if title_of(one) != title_of(other):
        assert file_name(one).casefold() != file_name(other).casefold()


@given(pages)
def test_any_list_page_gives_countries_or_says_that_it_holds_none(page: str) -> None:
    try:
        found = find_countries(page, SITE)
    except ListPageError:
        return
    assert found
    assert all(isinstance(country, Country) for country in found)
    assert len({country.url for country in found}) == len(found)
