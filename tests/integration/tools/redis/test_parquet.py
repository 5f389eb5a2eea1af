"""Items of any shape in one Parquet table."""

from __future__ import annotations

import io
import os
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import parquet

from concurcrawl.errors import ConfigError, MissingExtraError
from concurcrawl.tools.redis import feed
from concurcrawl.tools.redis import parquet as writer
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


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((1, 2.5, None), [1.0, 2.5, None]),
        ((1, "x"), ["1", '"x"']),
        (((1 << 53) + 1, 2.5), [str((1 << 53) + 1), "2.5"]),
        (({"b": 1}, {"c": "x"}), [{"b": 1, "c": None}, {"b": None, "c": "x"}]),
        (([], ["x"], {}), ["[]", '["x"]', "{}"]),
        ((None, {}, {"b": 1}), [None, {"b": None}, {"b": 1}]),
        (({}, None), ["{}", None]),
    ],
)
def test_row_groups_of_different_types_have_one_in_common(
    monkeypatch: pytest.MonkeyPatch, values: tuple[Any, ...], texts: list[Any]
) -> None:
    monkeypatch.setattr(writer, "_MOST_ROWS", 1)
    found = written(*({"a": value, "n": n} for n, value in enumerate(values)))
    assert [row["a"] for row in found] == texts
    assert [row["n"] for row in found] == [*range(len(values))]


def test_items_beyond_a_row_group_are_not_in_memory() -> None:
    file = io.BytesIO()
    exporter = ParquetItemExporter(file)
    exporter.start_exporting()
    tracemalloc.start()
    try:
        for n in range(64):
            exporter.export_item({"n": n, "body": os.urandom(1 << 20).hex()})
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    exporter.finish_exporting()
    assert most_bytes < 32 << 20  # 128 MiB were exported
    assert parquet.ParquetFile(file).num_row_groups == 8
    assert parquet.read_table(file, columns=["n"])["n"].to_pylist() == [*range(64)]


def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # in a project Scrapy would set variables
    monkeypatch.setattr(feed, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"concurcrawl\[parquet\]"):
        feed.settings_of("items.parquet", overwrite=True, pairs=())
    with pytest.raises(ConfigError, match="ends with a format"):
        feed.settings_of("items.nothing", overwrite=True, pairs=())
