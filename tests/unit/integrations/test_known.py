"""Plugins that several workers cannot share are refused, or named once."""

from __future__ import annotations

import dbm
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydispatch import dispatcher  # type: ignore[import-untyped]
from scrapy import signals
from scrapy.settings import Settings

from concurcrawl.integrations.crawl_findings import find_in_middlewares
from concurcrawl.integrations.finding import HAS_WORKERS, SLOTS, Finding
from concurcrawl.integrations.settings_findings import find_in_modules, find_in_settings


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
        ("scrapy_qos", "DOWNLOADER_MIDDLEWARES", True),
        ("scrapy_itemlimit", "SPIDER_MIDDLEWARES", False),
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


class Database:
    def spider_opened(self) -> None:
        self.db = dbm.open("seen", "c")  # noqa: SIM115 - as middlewares do


class Dumps:
    def spider_closed(self) -> None:
        with Path("seen.json").open("w") as file:
            json.dump([], file)


class Saves:
    async def process_request(self) -> None:
        def save() -> None:
            Path("page").write_bytes(b"")

        save()


class Appends:
    @classmethod
    def from_crawler(cls) -> None:
        Path("seen.txt").open("a").close()
        Path("proxies.txt").open().close()


@pytest.mark.parametrize(
    ("cls", "reason", "is_refused"),
    [
        (Database, "only one process can open a dbm database", True),
        (type("Mine", (Database,), {}), "only one process can open a dbm", True),
        (Dumps, "it writes a file, and each worker", False),
        (Saves, "it writes a file, and each worker", False),
    ],
)
def test_a_middleware_whose_code_keeps_a_file_is_found(
    cls: type, reason: str, is_refused: bool
) -> None:
    (found,) = findings(2, SPIDER_MIDDLEWARES={cls: 1})
    assert found.reason.startswith(reason)
    assert found.is_refused is is_refused
    assert findings(1, SPIDER_MIDDLEWARES={cls: 1}) == []


def test_a_middleware_that_reads_or_appends_is_not_found() -> None:
    assert findings(2, DOWNLOADER_MIDDLEWARES={Appends: 1}) == []


def test_a_library_that_workers_cannot_share_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(find_in_modules(settings_of(2))) == []
    monkeypatch.setitem(sys.modules, "scrapy_warcio", ModuleType("scrapy_warcio"))
    (found,) = find_in_modules(settings_of(2))
    assert not found.is_refused
    assert list(find_in_modules(settings_of(1))) == []


class Hears:
    """A component that is told of items, and filters nothing."""

    def on_item(self) -> None:
        pass


class Counts(Hears):
    """A middleware that filters by what it is told of."""

    def process_request(self) -> None:
        pass


class Scrapys(Counts):
    """One of Scrapy's own."""

    __module__ = "scrapy.downloadermiddlewares.offsite"


def crawler_of(middleware: Hears, extension: Hears) -> Any:
    downloader = SimpleNamespace(middleware=SimpleNamespace(middlewares=[middleware]))
    scraper = SimpleNamespace(spidermw=SimpleNamespace(middlewares=[]))
    engine = SimpleNamespace(downloader=downloader, scraper=scraper)
    crawler = SimpleNamespace(settings=settings_of(2), engine=engine)
    for component in (middleware, extension):
        dispatcher.connect(component.on_item, signals.item_scraped, sender=crawler)
    return crawler


@pytest.mark.parametrize(
    ("middleware", "is_named"), [(Counts(), True), (Hears(), False), (Scrapys(), False)]
)
def test_a_middleware_that_filters_by_what_the_supervisor_is_told_is_named(
    middleware: Hears, is_named: bool
) -> None:
    extension = Counts()
    found = [str(one) for one in find_in_middlewares(crawler_of(middleware, extension))]
    assert len(found) == is_named
    assert all("Counts: it is called in the supervisor" in one for one in found)
