"""Scrapy's exporter of CSV, and the header that it writes with the first item."""

from __future__ import annotations

from typing import Any

from scrapy.exporters import CsvItemExporter

from concurcrawl.compat.parts import touches


@touches(
    "scrapy.exporters",
    "CsvItemExporter._headers_not_written",
    "CsvItemExporter._autodetected_fields",
    "CsvItemExporter._write_headers_and_set_fields_to_export",
)
class HeaderCsvExporter(CsvItemExporter):
    """An exporter whose subclass knows of the header, or goes on without one.

    Touches: overrides ``CsvItemExporter._write_headers_and_set_fields_to_export()``,
    and sets ``._headers_not_written`` and ``._autodetected_fields`` (Scrapy 2.19.0). If
    one moves, a feed that is resumed has a second header, or other columns than it
    began with. Wished for: an argument for a file that is continued.
    """

    def write_header(self, item: Any) -> None:
        """Write the header, and choose the columns by *item* if they are not given."""
        super()._write_headers_and_set_fields_to_export(item)

    def leave_out_header(self, *, has_chosen: bool) -> None:
        """Write no header.

        Args:
            has_chosen: Whether the columns are those that the exporter itself has
                chosen before. Scrapy then warns of items with others.
        """
        self._headers_not_written = False
        self._autodetected_fields = has_chosen and self.fields_to_export is not None

    def _write_headers_and_set_fields_to_export(self, item: Any) -> None:
        self.write_header(item)
