"""Values of options, read from text and checked. Pure.

Options are parsed as text and checked here: argparse's own errors are worded in another
way, and ``scrapy compare`` uses a parser of Scrapy's.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError
from concurcrawl.option_values import number

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

#: A number too large to matter: there is no upper bound.
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
        ConfigError: If *text* is no such value.
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
        span: The smallest and the largest value allowed; None means any.
        above: The value must be larger than this.

    Raises:
        ConfigError: If *text* is no such value.
    """
    limit = f"> {above:g}" if above >= 0 else ">= 0"
    low, high = max(0.0, math.nextafter(above, math.inf)), math.inf
    if span:
        low, high = max(low, span[0]), span[1]
        limit = f"from {span[0]:g} to {high:g}"
    return number(option, text, f"a number {limit} (seconds)", float, low, high)


def check_pairs(option: str, pairs: Sequence[str]) -> None:
    """Check that each of *pairs* has a name and a value.

    Raises:
        ConfigError: Naming the first that does not, without passwords of URLs in it.
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
