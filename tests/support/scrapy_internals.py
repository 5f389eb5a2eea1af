"""Writes ``docs/scrapy-internals.md`` from the docstrings of ``concurcrawl.compat``."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concurcrawl import compat
from concurcrawl.compat import parts
from tests.support.crawls import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = ROOT / "docs" / "scrapy-internals.md"

_HEAD = """\
# Scrapy internals

Private parts of Scrapy, Twisted and the standard library that concurcrawl touches. All
of it is in `concurcrawl/compat/`, one function or class for each borrowed thing; a test
fails if another module touches something private. Made from the docstrings by
`python -m tests.support.scrapy_internals`.

Before a mode does anything, the add-on looks whether the parts are there that the crawl
is going to touch. If a release has moved one, the crawl ends with one sentence that
names the release, the part, and what to do: leave `MODE` out, or install the release
that is known to work. `concurcrawl doctor` says the same.
"""

#: Sections of a docstring that are about how to call it.
_CALLING = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)


def text() -> str:
    """Return the page."""
    names = sorted(path.stem for path in Path(compat.__path__[0]).glob("[!_]*.py"))
    for name in names:
        import_module(f"{compat.__name__}.{name}")
    things = sorted(parts.TOUCHED, key=lambda thing: (thing.__module__, _line(thing)))
    sections = [_HEAD]
    for module, group in groupby(things, lambda thing: thing.__module__):
        title = (import_module(module).__doc__ or "").partition("\n")[0].rstrip(".")
        sections.append(f"## {title}\n\n`{module.replace('.', '/')}.py`\n")
        sections += map(_section, group)
    return "\n".join(sections)


def _line(thing: Callable[..., Any]) -> int:
    return inspect.getsourcelines(thing)[1]


def _section(thing: Callable[..., Any]) -> str:
    about = _CALLING.split(inspect.cleandoc(thing.__doc__ or ""))[0].strip()
    about = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", about).replace("``", "`")
    about = re.sub(r"^(Touches|Wished for):", r"**\1:**", about, flags=re.MULTILINE)
    lines = [f"### `{thing.__name__}`", "", about]
    found = [f"- `{part}`" for part in parts.TOUCHED[thing]]
    if found:
        lines += ["", "Looked for at the start:", "", *found]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
