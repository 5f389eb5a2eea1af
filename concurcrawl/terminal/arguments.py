"""Values of options, read from text and checked. Pure.

The commands read all of their options as text and check them here, because an error of
``argparse`` shows its own words, and Scrapy's parser of ``compare`` is not ours.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from concurcrawl.config import number
from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

#: More than any number that somebody means: there is no upper bound.
UNBOUNDED = 10**9


def add_pairs(
    parser: argparse.ArgumentParser, *flags: str, dest: str, about: str
) -> None:
    """Add an option that takes ``NAME=VALUE`` and may be repeated."""
    parser.add_argument(
        *flags,
        dest=dest,
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help=f"{about} (may be repeated)",
    )


def names(option: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are separated by commas in *text*, each once.

    Raises:
        ConfigError: If one of them is not *known*.
    """
    found = [name.strip() for name in text.split(",")]
    choice = list(known)
    if not set(found) <= set(choice):
        raise ConfigError(option, text, f"a list of {', '.join(choice)}")
    return tuple(dict.fromkeys(found))


def whole(option: str, text: str, low: int, high: int = UNBOUNDED) -> int:
    """Return a whole number from *low* to *high*.

    Raises:
        ConfigError: If it is none.
    """
    limit = f"from {low} to {high}" if high < UNBOUNDED else f">= {low}"
    return number(option, text, f"a whole number {limit}", int, low, high)


def seconds(
    option: str,
    text: str,
    *,
    span: tuple[float, float] | None = None,
    above: float = -1,
) -> float:
    """Return a time in seconds, not negative.

    Args:
        option: The option's name.
        text: Its value.
        span: The shortest and the longest that may be; None means any.
        above: It must be longer than this.

    Raises:
        ConfigError: If it is none.
    """
    limit = f"> {above:g}" if above >= 0 else ">= 0"
    low, high = max(0.0, math.nextafter(above, math.inf)), math.inf
    if span:
        low, high = max(low, span[0]), span[1]
        limit = f"from {span[0]:g} to {high:g}"
    return number(option, text, f"a number {limit} (seconds)", float, low, high)


def check_pairs(option: str, pairs: Sequence[str]) -> None:
    """See that each of *pairs* has a name and a value.

    Raises:
        ConfigError: Naming the first that has not; without the password of a URL in it.
    """
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if not (name and equals):
            raise ConfigError(option, masked(pair), "NAME=VALUE")


def masked(text: str) -> str:
    """Return *text* without the users and passwords of the URLs in it."""
    return re.sub(r"//[^/\s]*@", "//…@", text)


def has_password(text: str) -> bool:
    """Return whether a URL in *text* has a password."""
    return re.search(r"//[^/\s]*:[^/\s]+@", text) is not None
