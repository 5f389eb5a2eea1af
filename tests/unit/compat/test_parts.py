"""A start finds out which private parts of other libraries have moved."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.core.engine import ExecutionEngine
from scrapy.crawler import Crawler

from concurcrawl import compat
from concurcrawl.compat import parts
from concurcrawl.compat.engine import is_closing
from concurcrawl.compat.parts import Part
from concurcrawl.errors import MovedPartError

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = [path.stem for path in Path(compat.__path__[0]).glob("[!_]*.py")]

for _name in MODULES:
    import_module(f"{compat.__name__}.{_name}")


@pytest.mark.parametrize(
    "part",
    [
        Part("scrapy.core.engine", "_Slot"),
        Part("scrapy.core.engine", "ExecutionEngine._start_scheduled_request"),
        Part("scrapy.core.engine", "ExecutionEngine._slot"),
        Part("scrapy.middleware", "MiddlewareManager._mw_methods_requiring_spider"),
        Part("scrapy.core.downloader", "Slot.delay"),
        Part("scrapy.cmdline", "execute.cmdname"),
        Part("scrapy.crawler", "Crawler.crawl.kwargs"),
    ],
    ids=str,
)
def test_a_part_is_found_however_it_is_made(part: Part) -> None:
    assert part.is_there()


@pytest.mark.parametrize(
    "part",
    [
        Part("scrapy.core.none", "Engine"),
        Part("scrapy.core.engine", "_None"),
        Part("scrapy.core.engine", "_None._slot"),
        Part("scrapy.core.engine", "ExecutionEngine._none"),
        Part("scrapy.cmdline", "execute.none"),
    ],
    ids=str,
)
def test_a_part_that_is_not_there_is_missed(part: Part) -> None:
    assert not part.is_there()


@pytest.mark.parametrize("use", parts.USED)
def test_what_is_installed_has_all_parts(use: str) -> None:
    parts.require(use)


def test_a_method_that_has_moved_is_named_with_the_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import scrapy

    monkeypatch.delattr(Crawler, "_create_engine")
    parts.require("MODE")
    with pytest.raises(MovedPartError) as caught:
        parts.require("MODE", "workers")
    assert str(caught.value) == (
        f"Scrapy {scrapy.__version__} has no scrapy.crawler.Crawler._create_engine, "
        "which MODE needs: leave MODE out, or install the release that is known to "
        "work: pip install scrapy==2.19.0"
    )


def test_an_attribute_that_has_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def initialize(self: Any) -> None:
        self._place = None

    monkeypatch.setattr(ExecutionEngine, "__init__", initialize)
    with pytest.raises(MovedPartError, match=r"ExecutionEngine\._slot and scrapy\."):
        parts.require("MODE")


@pytest.mark.parametrize(
    ("part", "installed"),
    [
        (Part("twisted.web.client", "Agent._none"), r"Twisted \d+\.\d+"),
        (Part("http.cookiejar", "Cookie._none"), rf"Python 3\.{sys.version_info[1]}"),
    ],
    ids=str,
)
def test_other_libraries_are_named_too(
    part: Part, installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "TOUCHED", {is_closing: (part,)})
    with pytest.raises(MovedPartError, match=f"{installed}.* has no .*_none"):
        parts.require("MODE")


@pytest.mark.parametrize(
    "thing", parts.TOUCHED, ids=lambda one: f"{one.__module__}.{one.__name__}"
)
def test_a_docstring_says_what_when_what_fails_and_what_is_wished_for(
    thing: Callable[..., Any],
) -> None:
    text = " ".join((thing.__doc__ or "").split())
    release = r"\((Scrapy|Twisted|CPython|multiprocess|dill) [^)]*\d[^)]*\)"
    moves = r"If (it|one|they|one of the \w+) moves?, "
    assert re.search(rf"Touches: .*{release}.* {moves}.*Wished for: ", text)
