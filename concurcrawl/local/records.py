"""Where records go: to the file of ``CONCURCRAWL_RECORDS``, and to OpenTelemetry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.tracing import record as records

if TYPE_CHECKING:
    from typing import TextIO

    from scrapy.crawler import Crawler

    from concurcrawl.config import Config
    from concurcrawl.tracing.opentelemetry import SpanExport
    from concurcrawl.tracing.record import Record


class RecordOutput:
    """Writes records, if they are wanted."""

    def __init__(self, config: Config, crawler: Crawler) -> None:
        """Make one that is not open.

        Args:
            config: Says where records go.
            crawler: Of the spider that spans are named after.
        """
        self._path = config.records
        self._has_spans = config.otel
        self._crawler = crawler
        self._file: TextIO | None = None
        self._spans: SpanExport | None = None

    def open(self) -> None:
        """Begin an empty file and the export of spans.

        Raises:
            OSError: If the file cannot be written.
        """
        if self._path:
            path = Path(self._path)
            self._file = path.open("w", encoding="utf-8", buffering=1)
        if self._has_spans:
            from concurcrawl.tracing.opentelemetry import SpanExport  # an extra

            self._spans = SpanExport(str(self._crawler.spidercls.name))

    @property
    def is_open(self) -> bool:
        """Whether records are written."""
        return self._file is not None or self._spans is not None

    def write(self, record: Record | None) -> None:
        """Pass *record* on, if there is one."""
        if record is None:
            return
        if self._file is not None:
            self._file.write(records.to_line(record))
        if self._spans is not None:
            self._spans.add(record)

    def close(self) -> None:
        """Close the file, and send the last spans."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._spans is not None:
            self._spans.close()
            self._spans = None
