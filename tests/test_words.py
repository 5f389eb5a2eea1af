"""Identifiers use the words of queues, of HTTP and of Scrapy (docs/glossary.md).

A word that was private to this project and is gone must not come back as part of a
name. Comments and sentences may use it: there it is English.
"""

from __future__ import annotations

import io
import re
import tokenize
from typing import TYPE_CHECKING

import pytest

from tests.support.crawls import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = ROOT / "concurcrawl"

#: A private word, and the word to use instead.
GONE = {
    "callers": "stack",
    "desk": "channel",
    "departure": "send time",
    "departures": "send times",
    "errand": "prerequisite",
    "errands": "prerequisites",
    "guest": "unleased request",
    "guests": "unleased requests",
    "hub": "coordinator",
    "lifeline": "parent watchdog",
    "mirror": "test site",
    "mirrors": "test site",
    "nursery": "fork server",
    "poison": "dead letter",
    "stranded": "in doubt",
    "ticket": "lease id",
    "tickets": "lease ids",
    "troubled": "throttled",
    "turnstile": "admission queue",
    "visits": "fetch results",
    "wire": "framing",
}

#: Rooms in which no name has any of these words either.
CLEAN = (
    *("tools/", "terminal/", "progress/", "integrations/", "compat/", "countries/"),
    *("http/", "tracing/", "tuning/", "watchdog/", "workers/worker/"),
)
GONE_IN_CLEAN_ROOMS = {
    "hear": "receive, on_message",
    "heard": "received",
    "hears": "receives",
    "lend": "dispatch, lease",
    "news": "events",
    "said": "text",
    "tell": "notify, send, on_event",
    "told": "reported",
    "visit": "fetch result",
}


def words_of(name: str) -> list[str]:
    """Return the words of an identifier, in small letters."""
    found = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return [word.lower() for word in found]


def private_words(text: str, private: dict[str, str]) -> Iterator[str]:
    """Yield each name in *text* that has a word of *private*, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            for word in words_of(token.string):
                if word in private:
                    use = private[word]
                    yield f"{token.start[0]}: {token.string}: use {use!r}"


@pytest.mark.parametrize(
    "name", ["Desk", "at_desk", "_ERRANDS_desk", "HubDesk", "deskHub"]
)
def test_the_rule_sees_a_word_in_any_spelling(name: str) -> None:
    assert [*private_words(f"x = {name}", {"desk": "channel"})] == [
        f"1: {name}: use 'channel'"
    ]


def test_the_rule_leaves_alone_sentences_and_longer_words() -> None:
    text = 'desktop = "the desk"  # a desk\n'
    assert [*private_words(text, {"desk": "channel"})] == []


def test_no_name_has_a_word_that_only_this_project_knows() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{use}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for use in private_words(
            path.read_text(encoding="utf-8"),
            GONE
            | (
                GONE_IN_CLEAN_ROOMS
                if path.relative_to(PACKAGE).as_posix().startswith(CLEAN)
                else {}
            ),
        )
    ]
    assert found == []
