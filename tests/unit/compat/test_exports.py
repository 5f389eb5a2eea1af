"""Feeds and the extensions that count what goes into them."""

from __future__ import annotations

import io

from scrapy import Spider
from scrapy.utils.test import get_crawler

from concurcrawl.compat.closespider import PeriodicCloseSpider
from concurcrawl.compat.csv_export import HeaderCsvExporter
from concurcrawl.compat.feed_export import first_address


def test_a_table_has_a_header_unless_it_is_left_out() -> None:
    whole, rest = io.BytesIO(), io.BytesIO()
    begun = HeaderCsvExporter(whole)
    begun.export_item({"a": 1})
    continued = HeaderCsvExporter(rest, fields_to_export=["a"])
    continued.leave_out_header(has_chosen=True)
    continued.export_item({"a": 1})
    assert whole.getvalue().split() == [b"a", b"1"]
    assert rest.getvalue().split() == [b"1"]


def test_an_exporter_knows_when_its_header_is_written() -> None:
    written = []

    class Notes(HeaderCsvExporter):
        def write_header(self, item: object) -> None:
            super().write_header(item)
            written.append(self.fields_to_export)

    exporter = Notes(io.BytesIO())
    exporter.export_item({"a": 1, "b": 2})
    exporter.export_item({"a": 3, "b": 4})
    assert [[*(fields or ())] for fields in written] == [["a", "b"]]


def test_the_first_file_of_a_feed_has_the_address_that_scrapy_gives_it() -> None:
    spider = Spider("any")
    assert first_address(spider, "%(name)s-%(batch_id)d.csv", None) == "any-1.csv"
    assert first_address(spider, "%(none)s.csv", None) == "%(none)s.csv"


def test_the_subclass_looks_for_items() -> None:
    looked = []

    class Looks(PeriodicCloseSpider):
        def look_for_items(self) -> None:
            looked.append(self.close_on["timeout_no_item"])

    crawler = get_crawler(settings_dict={"CLOSESPIDER_TIMEOUT_NO_ITEM": 3})
    Looks.from_crawler(crawler)._count_items_produced()
    assert looked == [3]
