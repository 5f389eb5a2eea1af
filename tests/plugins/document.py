"""The page about plugins, from what the tests expect of them."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from tests.plugins.cases import CASES
from tests.plugins.verdicts import SETUPS, AsPlain
from tests.support.crawls import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.cases import Case
    from tests.plugins.verdicts import Named, Refused

PATH = ROOT / "docs" / "compatibility.md"

#: In the place of a plugin's name.
OWN = "the project's own"

_HEAD = """\
# Plugins

Each cell is a crawl that `make test` runs in that set-up and compares with one in plain
Scrapy (session `plugins` of `noxfile.py`). A cell in brackets is not crawled, since it
is of the same kind as another cell of its row. This page is written by
`make compatibility` from what those tests expect.

- *as plain*: the same items, requests at the site, files and effects of the plugin as
  in plain Scrapy, and no process is left.
- *refused*: the crawl ends before its first request, with exit code 1 and a sentence.
- *named*: a warning at the start says what is not in effect and what to do.
"""

_PIN = re.compile(r"([\w.-]+?)(?:\[[\w,]+\])?==([\w.]+)")


def versions() -> dict[str, str]:
    """Return the releases of the plugins, as ``pyproject.toml`` pins them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        groups = tomllib.load(file)["dependency-groups"]
    pins = [*groups["plugins"], *groups["plugins-alone"]]
    found = [_PIN.fullmatch(pin) for pin in pins]
    return {match[1]: match[2] for match in found if match}


def text() -> str:
    """Return the page, in Markdown."""
    lines = [_HEAD, f"| plugin | use | {' | '.join(SETUPS)} |"]
    lines.append("|:---|:---|" + ":---|" * len(SETUPS))
    pinned = versions()
    lines += [_row(case, pinned) for case in CASES]
    lines += ["", "## What is refused or named", "", *_sentences()]
    return "\n".join(lines) + "\n"


def _row(case: Case, pinned: dict[str, str]) -> str:
    names = ", ".join(f"{name} {pinned[name]}" for name in case.packages)
    cells = [_cell(case, setup) for setup in SETUPS]
    return f"| {names or OWN} | {case.row} | {' | '.join(cells)} |"


def _cell(case: Case, setup: str) -> str:
    verdict = case.verdict(setup)
    return str(verdict) if setup in case.crawled else f"({verdict})"


def _sentences() -> Iterator[str]:
    for case in CASES:
        found: dict[Refused | Named, list[str]] = {}
        for setup in SETUPS:
            verdict = case.verdict(setup)
            if not isinstance(verdict, AsPlain):
                found.setdefault(verdict, []).append(f"`{setup}`")
        for verdict, setups in found.items():
            names = " and ".join(case.packages)
            where = "every set-up" if len(setups) == len(SETUPS) else ", ".join(setups)
            yield f"- {names}, {case.row}: {verdict} in {where}. {verdict.advice}"
