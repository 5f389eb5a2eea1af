"""A feed exporter that writes Parquet, for ``concurcrawl items -O items.parquet``."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet
from scrapy.exporters import BaseItemExporter
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence


class ParquetItemExporter(BaseItemExporter):
    """Writes one table: a column for each field that any item has.

    A Parquet file has one schema, which the last item may still change. So all items
    are kept in memory until the feed ends.
    """

    def __init__(self, file: IO[bytes], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._file = file
        self._rows: list[dict[str, Any]] = []

    @override
    def export_item(self, item: Any) -> None:
        self._rows.append(dict(self.get_serialized_fields(item)))

    @override
    def finish_exporting(self) -> None:
        names = dict.fromkeys(name for row in self._rows for name in row)
        table = pa.table(
            {name: _column([row.get(name) for row in self._rows]) for name in names}
        )
        parquet.write_table(table, self._file)


def _column(values: Sequence[Any]) -> Any:
    """Return *values* as a column; as JSON if they have no type in common."""
    try:
        found = pa.array(values)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        found = None
    if found is None or not _can_be_written(found.type):
        texts = [None if value is None else json.dumps(value) for value in values]
        return pa.array(texts, pa.string())
    return found


def _can_be_written(kind: Any) -> bool:
    """Return whether Parquet has *kind*: it knows no structure without a field."""
    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(
            _can_be_written(kind.field(n).type) for n in range(kind.num_fields)
        )
    return not pa.types.is_list(kind) or _can_be_written(kind.value_type)
