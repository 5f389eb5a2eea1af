"""Plugins that several workers cannot share are refused, or named once."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydispatch import dispatcher  # type: ignore[import-untyped]
from scrapy import signals
from scrapy.settings import Settings

from concurcrawl.integrations.plugins import (
    HAS_WORKERS,
    SLOTS,
    Finding,
    find_in_middlewares,
    find_in_modules,
    find_in_settings,
)


def settings_of(workers: int, **written: object) -> Settings:
    return Settings({HAS_WORKERS: True, SLOTS: [1] * workers, **written})


def findings(workers: int, **written: object) -> list[Finding]:
    return list(find_in_settings(settings_of(workers, **written)))


def subclass_of(package: str) -> type:
    """Make a project's own class on top of one of a plugin."""
    published = type("Published", (), {"__module__": f"{package}.middleware"})
    return type("Mine", (published,), {"__module__": "mine"})


@pytest.mark.parametrize(
    ("package", "setting", "is_refused"),
    [
        ("scrapy_deltafetch", "SPIDER_MIDDLEWARES", True),
        ("scrapy_time_machine", "DOWNLOADER_MIDDLEWARES", True),
        ("scrapy_qos", "DOWNLOADER_MIDDLEWARES", True),
        ("scrapy_itemlimit", "SPIDER_MIDDLEWARES", False),
        ("scrapy_count_filter", "DOWNLOADER_MIDDLEWARES", False),
    ],
)
def test_a_subclass_of_a_middleware_that_workers_cannot_share_is_found(
    package: str, setting: str, is_refused: bool
) -> None:
    middlewares = {setting: {subclass_of(package): 1}}
    (found,) = findings(2, **middlewares)
    assert str(found).startswith(f"{setting}=mine.Mine: ")
    assert found.is_refused is is_refused
    assert findings(1, **middlewares) == []
    assert findings(2, **{setting: {subclass_of(package): None}}) == []
    assert findings(2, **{setting: {subclass_of("scrapy_else"): 1}}) == []


def test_a_profile_on_disk_is_refused_with_several_workers() -> None:
    contexts = {"me": {"user_data_dir": "profile"}, "other": {"locale": "ca"}}
    (found,) = findings(2, PLAYWRIGHT_CONTEXTS=contexts)
    assert found.is_refused
    assert str(found).startswith("PLAYWRIGHT_CONTEXTS='me' with user_data_dir: ")
    assert findings(1, PLAYWRIGHT_CONTEXTS=contexts) == []


def test_a_library_that_workers_cannot_share_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(find_in_modules(settings_of(2))) == []
    monkeypatch.setitem(sys.modules, "scrapy_warcio", ModuleType("scrapy_warcio"))
    (found,) = find_in_modules(settings_of(2))
    assert not found.is_refused
    assert list(find_in_modules(settings_of(1))) == []


class Counts:
    """A middleware that filters by what it is told of."""

    def on_item(self) -> None:
        pass


def crawler_of(middleware: Any, extension: Any) -> Any:
    downloader = SimpleNamespace(middleware=SimpleNamespace(middlewares=[middleware]))
    spidermw = SimpleNamespace(middlewares=[])
    engine = SimpleNamespace(
        downloader=downloader, scraper=SimpleNamespace(spidermw=spidermw)
    )
    crawler = SimpleNamespace(settings=settings_of(2), engine=engine)
    for component in (middleware, extension):
        dispatcher.connect(component.on_item, signals.item_scraped, sender=crawler)
    return crawler


def test_a_middleware_that_is_told_in_the_supervisor_is_named() -> None:
    middleware, extension = Counts(), Counts()
    crawler = crawler_of(middleware, extension)
    (found,) = find_in_middlewares(crawler)
    assert str(found).startswith("signals.item_scraped=")
    assert f"{Counts.__name__}: it is called in the supervisor" in str(found)
