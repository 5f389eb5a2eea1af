"""A feed exporter that writes Parquet, for ``concurcrawl items -O items.parquet``."""

from __future__ import annotations

import json
import pickle
import tempfile
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet
from scrapy.exporters import BaseItemExporter
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Row = dict[str, Any]

#: A row group ends with as many items, or as many bytes of them in the spool.
_MOST_ROWS = 20_000
_MOST_BYTES = 16 << 20

_ERRORS = (pa.ArrowException, ValueError, TypeError, OverflowError)


class ParquetItemExporter(BaseItemExporter):
    """Writes one table: a column for each field that any item has.

    A Parquet file has one schema, which the last item may still change. So items are
    spooled to a temporary file, and written from there when the feed ends. Never are
    more of them in memory than one row group has.
    """

    def __init__(self, file: IO[bytes], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._file = file
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._rows: list[Row] = []
        self._size_bytes = 0
        self._columns: dict[str, _ColumnType] = {}

    @override
    def export_item(self, item: Any) -> None:
        row = dict(self.get_serialized_fields(item))
        self._size_bytes += self._spool.write(pickle.dumps(row))
        self._rows.append(row)
        if len(self._rows) >= _MOST_ROWS or self._size_bytes >= _MOST_BYTES:
            self._end_group()

    @override
    def finish_exporting(self) -> None:
        with self._spool:
            self._end_group()
            self._fix_columns()
            kinds = [(name, column.kind) for name, column in self._columns.items()]
            with parquet.ParquetWriter(self._file, pa.schema(kinds)) as writer:
                for rows in self._groups():
                    arrays = {
                        name: column.array(_values(rows, name))
                        for name, column in self._columns.items()
                    }
                    writer.write_table(pa.table(arrays))

    def _end_group(self) -> None:
        """Learn the types of a row group that is complete, and forget its items."""
        if not self._rows:
            return
        for name in dict.fromkeys(name for row in self._rows for name in row):
            column = self._columns.setdefault(name, _ColumnType())
            column.learn(_values(self._rows, name))
        pickle.dump(None, self._spool)  # the end of the group
        self._rows, self._size_bytes = [], 0

    def _fix_columns(self) -> None:
        """See that each value has a place in its column's type.

        A type that two groups have in common need not hold all values of both: a large
        integer is no float.
        """
        for column in self._columns.values():
            column.finish()
        doubtful = {name: one for name, one in self._columns.items() if one.is_mixed}
        if doubtful:
            for rows in self._groups():
                for name, column in doubtful.items():
                    column.check(_values(rows, name))

    def _groups(self) -> Iterator[list[Row]]:
        self._spool.seek(0)
        rows: list[Row] = []
        while True:
            try:
                row = pickle.load(self._spool)  # noqa: S301 - written above
            except EOFError:
                return
            if row is None:
                yield rows
                rows = []
            else:
                rows.append(row)


class _ColumnType:
    """The type of a column; that of JSON if its values have none in common.

    Attributes:
        kind: The column's type.
        is_mixed: Whether row groups had different ones.
    """

    def __init__(self) -> None:
        self.kind: Any = pa.null()
        self.is_mixed = False
        self._is_json = False

    def learn(self, values: Sequence[Any]) -> None:
        """Take the values of one more row group into account."""
        if self._is_json:
            return
        try:
            self._widen(pa.array(values).type)
        except _ERRORS:
            self._give_up()

    def check(self, values: Sequence[Any]) -> None:
        """See whether *values* can be had in this column."""
        try:
            self.array(values)
        except _ERRORS:
            self._give_up()

    def array(self, values: Sequence[Any]) -> Any:
        """Return *values* as a part of this column."""
        if self._is_json:
            values = [None if value is None else json.dumps(value) for value in values]
        return pa.array(values, self.kind)

    def _widen(self, kind: Any) -> None:
        if kind.equals(self.kind):
            return
        self.is_mixed = self.is_mixed or not (
            pa.types.is_null(self.kind) or pa.types.is_null(kind)
        )
        both = [pa.schema([("it", one)]) for one in (self.kind, kind)]
        self.kind = pa.unify_schemas(both, promote_options="permissive").field(0).type

    def finish(self) -> None:
        """Note that all values are known."""
        if not _can_be_written(self.kind):
            self._give_up()

    def _give_up(self) -> None:
        self._is_json, self.kind = True, pa.string()


def _values(rows: Sequence[Row], name: str) -> list[Any]:
    return [row.get(name) for row in rows]


def _can_be_written(kind: Any) -> bool:
    """Return whether Parquet has *kind*: it knows no structure without a field."""
    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(
            _can_be_written(kind.field(n).type) for n in range(kind.num_fields)
        )
    return not pa.types.is_list(kind) or _can_be_written(kind.value_type)
