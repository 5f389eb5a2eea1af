"""What a method reads and callbacks change is found in the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import scrapy

from concurcrawl.integrations.own_state import gathered

if TYPE_CHECKING:
    import collections


class Base(scrapy.Spider):
    rows: list[str]
    counts: collections.Counter[str]
    by_site: dict[str, dict[str, int]]
    total = 0
    heard = 0
    page: Any = None
    state: dict[str, int]

    def __init__(self) -> None:
        super().__init__()
        self.options: dict[str, str] = {}
        self.options["a"] = "b"

    async def start(self) -> Any:
        self.started = True
        yield scrapy.Request("data:,")

    def parse(self, response: Any) -> Any:
        self.rows.append(response.url)
        self.total += 1

    async def parse_more(self, response: Any) -> Any:
        def one(key: str) -> None:
            self.by_site["a"][key] = len(self.options)

        one("b")
        self.counts.update(self.rows)
        self.page, self.state["n"] = response, 1
        self.crawler.stats.inc_value("n")

    def on_item(self) -> None:
        self.heard += 1


class Reads(Base):
    def closed(self, reason: str) -> None:
        self.logger.info("%s %s", self.rows, self.total)
        self.logger.info("%s %s %s", self.counts, self.by_site, self.page)
        self.logger.info("%s %s %s", self.options, self.started, self.heard)
        self.logger.info("%s %s", self.state, self.crawler)


class ReadsNone(Base):
    def closed(self, reason: str) -> None:
        self.logger.info("%s", self.options)
        self.rows = []


def test_what_callbacks_gather_is_found() -> None:
    changed = ["by_site", "counts", "page", "rows", "total"]
    assert gathered(Reads, "closed", {"on_item"}) == changed


def test_what_no_callback_changes_is_not_found() -> None:
    assert gathered(ReadsNone, "closed", {"on_item"}) == []


@pytest.mark.parametrize("reader", ["closed", "missing"])
def test_a_class_without_a_source_has_nothing(reader: str) -> None:
    made: dict[str, Any] = {}
    exec("class Made:\n def closed(self): pass\n def parse(self): self.n = 1", made)
    made["Made"].__module__ = "__main__"
    assert gathered(made["Made"], reader) == []
