"""Items of any shape in one Parquet table."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import parquet

from concurcrawl.errors import ConfigError, MissingExtraError
from concurcrawl.tools.redis import feed
from concurcrawl.tools.redis.parquet import ParquetItemExporter

if TYPE_CHECKING:
    from pathlib import Path


def written(*items: dict[str, Any]) -> list[dict[str, Any]]:
    file = io.BytesIO()
    exporter = ParquetItemExporter(file)
    exporter.start_exporting()
    for item in items:
        exporter.export_item(item)
    exporter.finish_exporting()
    file.seek(0)
    found: list[dict[str, Any]] = parquet.read_table(file).to_pylist()
    return found


def test_each_field_of_any_item_is_a_column() -> None:
    assert written({"a": 1}, {"b": ["x"], "c": {"d": 2.5}}) == [
        {"a": 1, "b": None, "c": None},
        {"a": None, "b": ["x"], "c": {"d": 2.5}},
    ]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((1, "x"), ["1", '"x"']),
        ((1 << 80, 1), [str(1 << 80), "1"]),
        (({}, {}), ["{}", "{}"]),
        (([{}], []), ["[{}]", "[]"]),
        (("\ud800", "a"), ['"\\ud800"', '"a"']),
    ],
)
def test_values_without_a_common_type_are_json(
    values: tuple[Any, ...], texts: list[str]
) -> None:
    found = written(*({"a": value} for value in values))
    assert [row["a"] for row in found] == texts


def test_no_items_are_a_table_too() -> None:
    assert written() == []


def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # in a project Scrapy would set variables
    monkeypatch.setattr(feed, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"concurcrawl\[parquet\]"):
        feed.settings_of("items.parquet", overwrite=True, pairs=())
    with pytest.raises(ConfigError, match="ends with a format"):
        feed.settings_of("items.nothing", overwrite=True, pairs=())
