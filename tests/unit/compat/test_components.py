"""Components get into a crawl's settings beside those of the project."""

from __future__ import annotations

from typing import Any

from scrapy.extensions.corestats import CoreStats
from scrapy.settings import Settings

from concurcrawl.compat import components

PATH = "scrapy.extensions.corestats.CoreStats"


def test_what_is_added_stands_beside_what_is_there() -> None:
    settings = Settings({"EXTENSIONS": {"mine.One": 1}})
    components.add(settings, "EXTENSIONS", {"ours.Two": 2}, "cmdline")
    assert settings.getdict("EXTENSIONS") == {"mine.One": 1, "ours.Two": 2}


def test_a_component_is_on_unless_it_is_switched_off() -> None:
    off: list[dict[Any, None]] = [{PATH: None}, {CoreStats: None}]
    assert components.is_on(Settings(), "EXTENSIONS", PATH)
    for extensions in off:
        settings = Settings({"EXTENSIONS": extensions})
        assert not components.is_on(settings, "EXTENSIONS", PATH)
