"""Which code of a project may be ended where it runs."""

from __future__ import annotations

import inspect
from typing import Any

import scrapy.core.scraper
from scrapy.utils.defer import iter_errback

from concurcrawl.compat.project_code import hanging_code


def frames(seen: list[Any]) -> Any:
    def look() -> None:
        seen.append(hanging_code(inspect.currentframe()))

    return look


def test_the_code_of_a_callback_is_found_whatever_it_calls() -> None:
    seen: list[Any] = []
    look = frames(seen)

    def callback() -> Any:
        max([1], key=lambda _: look() or 0)
        yield 1

    assert list(iter_errback(callback(), print)) == [1]
    assert seen[0].f_code is callback.__code__


def test_what_scrapy_does_itself_is_left_alone() -> None:
    seen: list[Any] = []
    look = frames(seen)
    look()  # no callback
    source = "def within(look):\n    return look()"
    scope = {"__name__": scrapy.core.scraper.__name__}
    exec(source, scope)

    def scrapys() -> Any:
        def here() -> None:
            seen.append(hanging_code(inspect.currentframe().f_back))  # type: ignore[union-attr]

        scope["within"](here)  # type: ignore[operator]
        yield 1

    assert list(iter_errback(scrapys(), print)) == [1]
    assert seen == [None, None]
